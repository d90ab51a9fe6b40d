package chains

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"
	"pgregory.net/rapid"
)

// What programs write by hand.

func drawRawSelect(t *rapid.T) operation {
	name := pick(t, names...)
	f := pick(t, accounts.searchable()...)
	a, b := drawSought(t, f), drawSought(t, f)
	where := pick(t, " WHERE name = ?", " WHERE accounts.name = ?", ` WHERE "name" <> ? AND phone IS NOT NULL`)
	var sought []argument
	switch upTo(t, 5) {
	case 3:
		where, sought = where+" OR "+f.column+" = ?", []argument{a}
	case 4:
		where, sought = where+" AND accounts."+f.column+" <> ?", []argument{a}
	case 5:
		where, sought = where+" OR "+f.column+pick(t, " IN (?, ?)", " NOT IN (?, ?)"), []argument{a, b}
	}
	where += " ORDER BY id"
	raw := func(columns, into string, run func(w *world, tx *gorm.DB, out *outcome)) operation {
		query := "SELECT " + columns + " FROM accounts" + where
		return operation{text: fmt.Sprintf("db.Raw(%q, %q, %v).Scan(&%s)", query, name, sought, into), run: func(w *world, db *gorm.DB, out *outcome) {
			run(w, db.Raw(query, append([]any{name}, w.list(sought)...)...), out)
		}}
	}
	columns := pick(t, "*", "accounts.*", "id, name, email, phone, salary, active, photo, born, api_key", "id, name, accounts.email, salary", `id, "name", "email"`)
	switch upTo(t, 6) {
	case 0:
		return raw(columns, "accounts", func(w *world, tx *gorm.DB, out *outcome) {
			rows := w.slice(accounts)
			out.done(tx.Scan(rows))
			out.see("rows", rows)
		})
	case 1:
		return raw(columns, "account", func(w *world, tx *gorm.DB, out *outcome) {
			row := w.empty(accounts)
			out.done(tx.Scan(row))
			out.see("row", row)
		})
	case 2:
		return raw(columns, "contacts", func(w *world, tx *gorm.DB, out *outcome) {
			var rows []contact
			out.done(tx.Scan(&rows))
			out.see("rows", rows)
		})
	case 3:
		return raw(columns, "maps", func(w *world, tx *gorm.DB, out *outcome) {
			var maps []map[string]any
			out.done(tx.Scan(&maps))
			out.seeMaps("maps", accounts, maps, nil)
		})
	case 4:
		return raw(columns, "map", func(w *world, tx *gorm.DB, out *outcome) {
			m := map[string]any{}
			out.done(tx.Scan(&m))
			out.seeMap("map", accounts, m, nil)
		})
	case 5:
		f := pick(t, single(accounts)...)
		plural := coin(t)
		into := pick(t, f.destinations(plural)...)
		if !plural && into[0] != into[1] { // GORM scans all rows into some types, and the first into others
			where += " LIMIT 1"
		}
		return raw(f.column, into[1].String(), func(w *world, tx *gorm.DB, out *outcome) {
			value := w.destination(into)
			out.done(tx.Scan(value))
			out.see("value", value)
		})
	}
	return raw("name AS n, email AS mail, accounts.phone AS tel, salary AS pay, born AS since, api_key AS key", "named", func(w *world, tx *gorm.DB, out *outcome) {
		var rows []named
		out.done(tx.Scan(&rows))
		out.see("rows", rows)
	})
}

// drawRawValues draws values for statements with a placeholder for each.
func drawRawValues(t *rapid.T, most int) values {
	var drawn values
	for _, f := range some(t, most, single(accounts)...) {
		if !untracked[f.name] && f.name != "Name" {
			drawn = append(drawn, drawValue(t, f))
		}
	}
	return drawn
}

// withIndexes returns the values with those of the blind indexes that are written
// with them.
func (v values) withIndexes() values {
	all := slices.Clone(v)
	for _, one := range v {
		if f := one.field; f.index != "" {
			all = append(all, keyed{f.index, argument{cell: cell{field: &field{column: f.index, kind: indexKind}}}})
		}
	}
	return all
}

func (w *world) arguments(v values) []any {
	args := make([]any, len(v))
	for i, one := range v {
		args[i] = w.argument(one.argument)
	}
	return args
}

func drawRawUpdate(t *rapid.T) operation {
	v := drawRawValues(t, 3)
	name := pick(t, names...)
	form := pick(t, "%s = ?", `"%s" = ?`, "%s=?", "%s = @%[1]s")
	var set []string
	v = v.withIndexes()
	for _, one := range v {
		set = append(set, fmt.Sprintf(form, one.key))
	}
	set = append(set, "note = 'by hand'")
	statement := pick(t, "UPDATE accounts SET ", "update accounts set ", `UPDATE "accounts" SET `, "UPDATE\n\taccounts\nSET ") + strings.Join(set, ", ")
	if strings.Contains(form, "@") {
		statement += " WHERE name = @name"
		return operation{text: fmt.Sprintf("db.Exec(%q, %v with name: %q)", statement, v, name), run: func(w *world, db *gorm.DB, out *outcome) {
			args := w.values(v)
			args["name"] = name
			out.done(db.Exec(statement, args))
			out.see("map", args)
		}}
	}
	statement += pick(t, " WHERE name = ?", " WHERE accounts.name = ?", " WHERE name = ? AND phone IS NULL")
	var sought []argument
	if sometimes(t, 3) {
		f := pick(t, accounts.searchable()...)
		sought = []argument{drawSought(t, f)}
		statement += pick(t, " OR ", " AND NOT ") + f.column + " = ?"
	}
	if sometimes(t, 5) {
		statement += " RETURNING *"
		return operation{text: fmt.Sprintf("db.Raw(%q, %v, %q, %v).Scan(&accounts)", statement, v, name, sought), run: func(w *world, db *gorm.DB, out *outcome) {
			rows := w.slice(accounts)
			out.done(db.Raw(statement, append(append(w.arguments(v), name), w.list(sought)...)...).Scan(rows))
			out.seeUnordered("rows", rows)
		}}
	}
	return operation{text: fmt.Sprintf("db.Exec(%q, %v, %q, %v)", statement, v, name, sought), run: func(w *world, db *gorm.DB, out *outcome) {
		args := append(append(w.arguments(v), name), w.list(sought)...)
		out.done(db.Exec(statement, args...))
		out.see("arguments", args)
	}}
}

func drawRawInsert(t *rapid.T) operation { return drawInsert(t, false) }

func drawRawUpsert(t *rapid.T) operation { return drawInsert(t, true) }

func drawInsert(t *rapid.T, upsert bool) operation {
	first := drawRawValues(t, 3).withIndexes()
	rows := []values{first}
	columns := []string{"name"}
	for _, one := range first {
		columns = append(columns, one.key)
	}
	if sometimes(t, 3) {
		second := make(values, len(first))
		for i, one := range first {
			if second[i] = one; one.field.kind != indexKind {
				second[i].argument = drawArgument(t, one.field)
			}
		}
		rows = append(rows, second)
	}
	var keys []string
	for range rows {
		keys = append(keys, pick(t, names...))
	}
	row := "(?" + strings.Repeat(", ?", len(first)) + ")"
	statement := pick(t, "INSERT INTO accounts (", `insert into "accounts"(`) + strings.Join(columns, ", ") + ") VALUES " + row + strings.Repeat(", "+row, len(rows)-1)
	if upsert {
		set := []string{"city = excluded.city"}
		for _, column := range columns[1:] {
			set = append(set, column+" = excluded."+column)
		}
		statement += " ON CONFLICT (name) DO UPDATE SET " + strings.Join(set, ", ")
	}
	return operation{text: fmt.Sprintf("db.Exec(%q, %q, %v)", statement, keys, rows), run: func(w *world, db *gorm.DB, out *outcome) {
		var args []any
		for i, v := range rows {
			args = append(append(args, keys[i]), w.arguments(v)...)
		}
		out.done(db.Exec(statement, args...))
		out.see("arguments", args)
	}}
}
