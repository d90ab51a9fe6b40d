package chains

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"

	"github.com/gormcrypt/gormcrypt"
)

// Conditions on encrypted columns, by what is stored for a value.

// called draws a name for a column in a statement's text.
func (f *field) called(t *rapid.T, of *table) string {
	return pick(t, f.column, of.name+"."+f.column, `"`+f.column+`"`, `"`+of.name+`"."`+f.column+`"`, strings.ToUpper(f.column))
}

// drawSought draws a value to search for, as it is passed.
func drawSought(t *rapid.T, f *field) argument {
	return argument{cell{f, f.sought(t)}, pick(t, asItIs, asItIs, pointed, typed)}
}

// soughtList draws some values to search for, which may be none.
type soughtList []argument

func drawSoughtList(t *rapid.T, f *field) soughtList {
	return many(t, 0, 3, func(t *rapid.T) argument { return drawSought(t, f) })
}

func (w *world) list(l soughtList) []any {
	list := make([]any, len(l))
	for i, one := range l {
		list[i] = w.argument(one)
	}
	return list
}

// drawSearch draws a condition on an encrypted column that can be searched.
func drawSearch(t *rapid.T, of *table) condition {
	f := pick(t, of.searchable()...)
	c, a, b := f.called(t, of), drawSought(t, f), drawSought(t, f)
	all := drawSoughtList(t, f)
	text := func(query string, args ...argument) condition {
		return condition{"Where", fmt.Sprintf("%q, %v", query, args), func(w *world, _ *gorm.DB) []any { return append([]any{query}, w.list(args)...) }}
	}
	switch upTo(t, 15) {
	case 0, 1:
		return text(pick(t, c+" = ?", c+"=?", "? = "+c, "("+c+" = ?)"), a)
	case 2:
		return text(pick(t, c+" <> ?", c+" != ?", "? <> "+c, "NOT "+c+" = ?"), a)
	case 3:
		query := c + pick(t, " IN ?", " IN (?)", " NOT IN ?", " not in (?)")
		return condition{"Where", fmt.Sprintf("%q, %v", query, all), func(w *world, _ *gorm.DB) []any { return []any{query, w.list(all)} }}
	case 4:
		return text(c+pick(t, " IN (?, ?)", " NOT IN (?, ?)", " NOT IN (?, NULL, ?)", " IN (?,?) AND "+c+" IS NOT NULL"), a, b)
	case 5:
		return condition{"Where", fmt.Sprintf("%q, %v", f.column, a), func(w *world, _ *gorm.DB) []any { return []any{f.column, w.argument(a)} }}
	case 6:
		key := pick(t, f.column, of.name+"."+f.column)
		return condition{"Where", fmt.Sprintf("map[string]any{%q: %v}", key, a), func(w *world, _ *gorm.DB) []any {
			return []any{map[string]any{key: w.argument(a)}}
		}}
	case 7:
		return condition{"Where", fmt.Sprintf("map[string]any{%q: %v}", f.column, all), func(w *world, _ *gorm.DB) []any {
			return []any{map[string]any{f.column: w.list(all)}}
		}}
	case 8:
		r := record{table: of, cells: []cell{a.cell}}
		if coin(t) {
			r.cells = append(r.cells, cell{of.fields[0], of.fields[0].draw(t)})
		}
		return condition{"Where", "&" + r.String(), func(w *world, _ *gorm.DB) []any { return []any{w.row(r)} }}
	case 9:
		column := pick(t, clause.Column{Name: f.column}, clause.Column{Table: of.name, Name: f.column}, clause.Column{Table: clause.CurrentTable, Name: f.column})
		switch upTo(t, 2) {
		case 0:
			return condition{"Where", fmt.Sprintf("clause.Eq{%#v, %v}", column, a), func(w *world, _ *gorm.DB) []any {
				return []any{clause.Eq{Column: column, Value: w.argument(a)}}
			}}
		case 1:
			return condition{"Where", fmt.Sprintf("clause.Neq{%#v, %v}", column, a), func(w *world, _ *gorm.DB) []any {
				return []any{clause.Neq{Column: column, Value: w.argument(a)}}
			}}
		}
		return condition{"Where", fmt.Sprintf("clause.IN{%#v, %v}", column, all), func(w *world, _ *gorm.DB) []any {
			return []any{clause.IN{Column: column, Values: w.list(all)}}
		}}
	case 10:
		query := pick(t, c+" = @v", c+" <> @v AND "+of.fields[0].column+" <> @n", c+" = @v OR "+of.name+".id = 1 AND "+c+" = @v")
		return condition{"Where", fmt.Sprintf("%q, v: %v", query, a), func(w *world, _ *gorm.DB) []any {
			return []any{query, map[string]any{"v": w.argument(a), "n": "bob"}}
		}}
	case 11:
		plain := of.fields[0].column
		query := pick(t, plain+" = ? OR "+c+" = ?", plain+" <> ? AND "+c+" = ?", "NOT ("+plain+" = ? OR "+c+" = ?)")
		name := of.fields[0].draw(t)
		return condition{"Where", fmt.Sprintf("%q, %q, %v", query, name, a), func(w *world, _ *gorm.DB) []any { return []any{query, name, w.argument(a)} }}
	case 12:
		inner := pick(t, "SELECT x.id FROM "+of.name+" x WHERE x."+f.column+" = ?", "SELECT id FROM "+of.name+" WHERE "+f.column+" <> ?")
		return text(of.name+pick(t, ".id IN (", ".id NOT IN (")+inner+")", a)
	case 13:
		inner := drawSearch(t, of)
		query := of.name + pick(t, ".id IN (?)", ".id NOT IN (?)")
		return condition{"Where", fmt.Sprintf("%q, db.Model(&%s{}).Select(id).Where(%s)", query, of.model, inner.text), func(w *world, db *gorm.DB) []any {
			args := inner.args(w, db)
			return []any{query, db.Model(w.empty(of)).Select("id").Where(args[0], args[1:]...)}
		}}
	case 14:
		if of != accounts {
			return text("EXISTS (SELECT 1 FROM accounts a WHERE a.id = cards.account_id AND a.tax_id = ?)", drawSought(t, accounts.field("tax_id")))
		}
		return text("EXISTS (SELECT 1 FROM cards WHERE cards.account_id = accounts.id AND ceiling = ? AND accounts.salary <> ?)",
			drawSought(t, cards.field("ceiling")), drawSought(t, accounts.field("salary")))
	}
	return text("("+c+" = ? OR "+c+" IS NULL)", a)
}

// drawReadDerived draws reads from a statement in place of a table.
func drawReadDerived(t *rapid.T) operation {
	inner, f := drawSearch(t, accounts), pick(t, accounts.searchable()...)
	a := drawSought(t, f)
	query := pick(t, "u."+f.column+" = ?", f.column+" <> ?", "u."+f.column+" IN (?, NULL)")
	into := pick(t, "accounts", "maps")
	return operation{text: fmt.Sprintf("db.Table(%q, db.Model(&account{}).Where(%s)).Where(%q, %v).Order(id).Find(&%s)", "(?) AS u", inner.text, query, a, into), run: func(w *world, db *gorm.DB, out *outcome) {
		args := inner.args(w, db.Session(&gorm.Session{NewDB: true}))
		tx := db.Table("(?) AS u", db.Session(&gorm.Session{NewDB: true}).Model(w.empty(accounts)).Where(args[0], args[1:]...)).Where(query, w.argument(a)).Order("id")
		if into == "maps" {
			var maps []map[string]any
			out.done(tx.Find(&maps))
			out.seeMaps("maps", accounts, maps, nil)
			return
		}
		rows := w.slice(accounts)
		out.done(tx.Unscoped().Find(rows))
		out.see("rows", rows)
	}}
}

// drawReadGroups draws what is done with equal values of a deterministic column.
// It is refused while two index keys are live.
func drawReadGroups(t *rapid.T) operation {
	where := toPieces(drawConditions(t, accounts, 0, 1))
	group := func(text string, run func(w *world, db *gorm.DB, out *outcome)) operation {
		return operation{oneKey: true, text: fmt.Sprintf("db%v%s", where, text), run: func(w *world, db *gorm.DB, out *outcome) {
			run(w, where.on(w, db.Model(w.empty(accounts))), out)
		}}
	}
	return pick(t,
		group(".Select(tax_id, count(*) AS n).Group(tax_id).Scan(&groups)", func(_ *world, db *gorm.DB, out *outcome) {
			var groups []struct {
				TaxID *string
				N     int64
			}
			out.done(db.Select("tax_id, count(*) AS n").Group("tax_id").Scan(&groups))
			out.seeUnordered("groups", groups)
		}),
		group(".Distinct(tax_id).Count(&n)", func(_ *world, db *gorm.DB, out *outcome) {
			var n int64
			out.done(db.Distinct("tax_id").Count(&n))
			out.see("n", n)
		}),
		group(".Distinct(tax_id).Find(&accounts)", func(w *world, db *gorm.DB, out *outcome) {
			rows := w.slice(accounts)
			out.done(db.Distinct("tax_id").Find(rows))
			out.seeUnordered("rows", rows)
		}),
		group(".Joins(JOIN accounts o ON o.tax_id = accounts.tax_id).Find(&accounts)", func(w *world, db *gorm.DB, out *outcome) {
			rows := w.slice(accounts)
			out.done(db.Session(&gorm.Session{NewDB: true}).Joins("JOIN accounts o ON o.tax_id = accounts.tax_id").Find(rows))
			out.seeUnordered("rows", rows)
		}),
	)
}

// drawReadTruncated draws reads by a truncated index, which are filtered when they
// are opened.
func drawReadTruncated(t *rapid.T) operation {
	f := accounts.field("home_street")
	c, a, b := f.called(t, accounts), drawSought(t, f), drawSought(t, f)
	row := record{table: accounts, cells: []cell{a.cell}}
	query := pieces{pick(t,
		piece{fmt.Sprintf(".Where(%q, %v)", c+" = ?", a), func(w *world, db *gorm.DB) *gorm.DB { return db.Where(c+" = ?", w.argument(a)) }},
		piece{fmt.Sprintf(".Where(%q, %v, %v)", c+" IN (?, ?)", a, b), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Where(c+" IN (?, ?)", w.argument(a), w.argument(b))
		}},
		piece{fmt.Sprintf(".Where(map %q: %v)", f.column, a), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Where(map[string]any{f.column: w.argument(a)})
		}},
		piece{fmt.Sprintf(".Where(&%v)", row), func(w *world, db *gorm.DB) *gorm.DB { return db.Where(w.row(row)) }},
	)}
	if coin(t) {
		id := upTo(t, 3)
		query = append(query, constant(fmt.Sprintf("%q, %d", "id <> ?", id), "id <> ?", id).piece())
	}
	if coin(t) {
		other := pick(t, accounts.field("email"), accounts.field("tax_id"))
		sought := drawSought(t, other)
		query = append(query, piece{fmt.Sprintf(".Where(%q, %v)", other.column, sought), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Where(other.column+" = ?", w.argument(sought))
		}})
	}
	query = append(query, drawOrder(t, accounts))
	if coin(t) {
		limit, offset := upTo(t, 3), upTo(t, 2)
		query = append(query, piece{fmt.Sprintf(".Limit(%d).Offset(%d)", limit, offset), func(_ *world, db *gorm.DB) *gorm.DB { return db.Limit(limit).Offset(offset) }})
	}
	how := pick(t, "Find(&accounts)", "Select(id, home_street, name).Find(&accounts)", "Find(&maps)", "Pluck(home_street)", "First(&account)")
	return operation{text: fmt.Sprintf("db%v.%s", query, how), run: func(w *world, db *gorm.DB, out *outcome) {
		tx := query.on(w, db.Model(w.empty(accounts)))
		switch how {
		case "Find(&maps)":
			var maps []map[string]any
			out.done(tx.Find(&maps))
			out.seeMaps("maps", accounts, maps, nil)
		case "Pluck(home_street)":
			var values []*string
			out.done(tx.Pluck(f.column, &values))
			out.see("values", values)
		case "First(&account)":
			row := w.empty(accounts)
			out.done(tx.First(row))
			out.see("row", row)
		default:
			if strings.HasPrefix(how, "Select") {
				tx = tx.Select("id", "home_street", "name")
			}
			rows := w.slice(accounts)
			out.done(tx.Find(rows))
			out.see("rows", rows)
		}
	}}
}

// drawRefusedTruncated draws what would take all that a truncated index matches
// for a match.
func drawRefusedTruncated(t *rapid.T) operation {
	f := accounts.field("home_street")
	a := argument{cell: cell{f, f.mark(t)}}
	refuse := func(text string, run func(w *world, db *gorm.DB, value any) *gorm.DB) operation {
		return operation{text: fmt.Sprintf("db /* %v */%s", a, text), refused: gormcrypt.ErrNotQueryable, run: func(w *world, db *gorm.DB, out *outcome) {
			out.done(run(w, db, w.argument(a)))
		}}
	}
	equal := f.column + " = ?"
	return pick(t,
		refuse(".Where(home_street = ?).Count(&n)", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Model(w.empty(accounts)).Where(equal, v).Count(new(int64))
		}),
		refuse(".Where(home_street = ?).Update(note)", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Model(w.empty(accounts)).Where(equal, v).Update("note", "changed")
		}),
		refuse(".Where(home_street = ?).Delete(&account{})", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Where(equal, v).Delete(w.empty(accounts))
		}),
		refuse(".Unscoped().Delete(&account{}, map)", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Unscoped().Delete(w.empty(accounts), map[string]any{f.column: v})
		}),
		refuse(".Where(home_street <> ?).Find(&accounts)", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Where(f.column+" <> ?", v).Find(w.slice(accounts))
		}),
		refuse(".Where(city).Or(home_street = ?).Find(&accounts)", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Where("city = ?", "Rome").Or(equal, v).Find(w.slice(accounts))
		}),
		refuse(".Where(id IN (?), a subquery).Find(&accounts)", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Where("id IN (?)", db.Session(&gorm.Session{NewDB: true}).Model(w.empty(accounts)).Select("id").Where(equal, v)).Find(w.slice(accounts))
		}),
		refuse(".Exec(UPDATE accounts SET note WHERE home_street = ?)", func(w *world, db *gorm.DB, v any) *gorm.DB {
			return db.Exec("UPDATE accounts SET note = ? WHERE "+equal, "changed", v)
		}),
	)
}
