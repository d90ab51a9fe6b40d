package chains

import (
	"fmt"
	"reflect"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"
)

// kinds are the operations that there are, but for transactions. Rapid prefers
// the first ones.
var kinds = []operationKind{
	{"create/struct", 3, drawCreate},
	{"create/related", 2, drawCreateRelated},
	{"create/map", 2, drawCreateMap},
	{"create/maps", 2, drawCreateMaps},
	{"create/contact", 1, drawCreateContact},
	{"update/column", 3, drawUpdateColumn},
	{"update/map", 3, drawUpdateMap},
	{"update/struct", 3, drawUpdateStruct},
	{"update/contact", 2, drawUpdateContact},
	{"update/table", 2, drawUpdateTable},
	{"save/loaded", 2, drawSaveLoaded},
	{"save/new", 1, drawSaveNew},
	{"delete", 2, drawDelete},
	{"firstor", 3, drawFirstOr},
	{"generic/create", 2, drawGenericCreate},
	{"generic/update", 2, drawGenericUpdate},
	{"generic/set", 2, drawGenericSet},
	{"generic/read", 2, drawGenericRead},
	{"association", 4, drawAssociation},
	{"association/owner", 2, drawAssociationOwner},
	{"bound/create", 3, drawBoundCreate},
	{"bound/update", 4, drawBoundUpdate},
	{"bound/read", 2, drawBoundRead},
	{"rotate", 2, drawRotate},
	{"read/models", 2, drawReadModels},
	{"read/one", 2, drawReadOne},
	{"read/related", 2, drawReadRelated},
	{"read/batches", 1, drawReadBatches},
	{"read/rows", 1, drawReadRows},
	{"read/rows-past", 1, drawReadRowsPast},
	{"read/joined", 1, drawReadJoined},
	{"read/maps", 2, drawReadMaps},
	{"read/contacts", 2, drawReadContacts},
	{"read/pluck", 2, drawReadPluck},
	{"read/scalar", 2, drawReadScalar},
	{"read/mismatch", 2, drawReadMismatch},
	{"read/generic-scan", 1, drawGenericScan},
	{"read/aliases", 2, drawReadAliases},
	{"read/aggregates", 1, drawReadAggregates},
	{"read/derived", 1, drawReadDerived},
	{"read/groups", 1, drawReadGroups},
	{"read/truncated", 2, drawReadTruncated},
	{"raw/select", 3, drawRawSelect},
	{"raw/update", 2, drawRawUpdate},
	{"raw/insert", 2, drawRawInsert},
	{"raw/upsert", 1, drawRawUpsert},
	{"refused/condition", 2, drawRefusedCondition},
	{"refused/truncated", 1, drawRefusedTruncated},
	{"refused/expression", 2, drawRefusedExpression},
	{"refused/raw", 1, drawRefusedRaw},
}

// drawConflict draws an ON CONFLICT clause, or none.
func drawConflict(t *rapid.T) pieces {
	if !coin(t) {
		return nil
	}
	conflict := func(text string, make func(w *world) clause.OnConflict) pieces {
		return pieces{{".Clauses(clause.OnConflict{" + text + "})", func(w *world, db *gorm.DB) *gorm.DB { return db.Clauses(make(w)) }}}
	}
	if sometimes(t, 6) {
		return conflict("DoNothing: true", func(*world) clause.OnConflict { return clause.OnConflict{DoNothing: true} })
	}
	column := pick(t, "name", "name", "name", "tax_id")
	on := []clause.Column{{Name: column}}
	text := fmt.Sprintf("Columns: %q, ", column)
	if sometimes(t, 3) {
		return conflict(text+"UpdateAll: true", func(*world) clause.OnConflict { return clause.OnConflict{Columns: on, UpdateAll: true} })
	}
	var columns []string
	for _, f := range some(t, 4, accounts.choosable()...) {
		columns = append(columns, f.column)
	}
	assigned := drawValues(t, 3, true, accounts.choosable()...)
	if len(columns) == 0 {
		columns = append(columns, "city")
	}
	if len(assigned) == 0 {
		assigned = append(assigned, drawValue(t, accounts.choosable()[0]))
	}
	var where clause.Where
	var sought *argument
	switch upTo(t, 7) {
	case 6:
		where.Exprs = []clause.Expression{clause.Eq{Column: clause.Column{Table: "accounts", Name: "city"}, Value: "Rome"}}
		text += `Where: city = "Rome", `
	case 7:
		one := drawSought(t, pick(t, accounts.searchable()...))
		sought = &one
		text += fmt.Sprintf("Where: %s = %v, ", one.field.column, one)
	}
	within := func(w *world) clause.Where {
		if sought == nil {
			return where
		}
		return clause.Where{Exprs: []clause.Expression{clause.Eq{Column: clause.Column{Table: "accounts", Name: sought.field.column}, Value: w.argument(*sought)}}}
	}
	switch upTo(t, 2) {
	case 0:
		return conflict(text+fmt.Sprintf("DoUpdates: AssignmentColumns(%#v)", columns), func(w *world) clause.OnConflict {
			return clause.OnConflict{Columns: on, Where: within(w), DoUpdates: clause.AssignmentColumns(columns)}
		})
	case 1:
		return conflict(text+fmt.Sprintf("DoUpdates: Assignments(%v)", assigned), func(w *world) clause.OnConflict {
			return clause.OnConflict{Columns: on, Where: within(w), DoUpdates: clause.Assignments(w.values(assigned))}
		})
	}
	return conflict(text+fmt.Sprintf("DoUpdates: AssignmentColumns(%#v) and Assignments(%v)", columns, assigned), func(w *world) clause.OnConflict {
		set := clause.AssignmentColumns(columns)
		for _, one := range clause.Assignments(w.values(assigned)) {
			if !strings.Contains(strings.Join(columns, " ")+" ", one.Column.Name+" ") {
				set = append(set, one)
			}
		}
		return clause.OnConflict{Columns: on, Where: within(w), DoUpdates: set}
	})
}

func drawCreate(t *rapid.T) operation {
	before := append(append(append(drawSession(t), drawSelection(t, accounts)...), drawConflict(t)...), drawReturning(t, accounts)...)
	return createRecords(t, before, many(t, 1, 3, func(t *rapid.T) record { return accounts.draw(t, 5) }))
}

func drawCreateRelated(t *rapid.T) operation {
	before := append(drawSession(t), drawConflict(t)...)
	switch upTo(t, 3) {
	case 0: // the other way around
		card := cards.draw(t, 2)
		owner := accounts.draw(t, 4)
		card.owner = &owner
		return createRecords(t, drawSession(t), []record{card})
	case 1:
		before = append(before, pick(t, selected("Name", "Cards"), selected("*", "Cards.Number"), omitted("Cards"), omitted("Teams", "Cards.Number"), omitted("Teams.*"))...)
	}
	return createRecords(t, before, many(t, 1, 2, drawRelated))
}

// createRecords creates rows of structs, in one of the ways to pass them.
func createRecords(t *rapid.T, before pieces, records []record) operation {
	type way struct {
		text string
		rows func(w *world) any
	}
	elements := fmt.Sprint(records)
	elements = "{" + elements[1:len(elements)-1] + "}"
	ways := []way{
		{"&[]T" + elements, func(w *world) any { return w.rows(records) }},
		{"&[]*T" + elements, func(w *world) any { return w.pointers(records) }},
		{"[]*T" + elements, func(w *world) any { return reflect.ValueOf(w.pointers(records)).Elem().Interface() }},
		{fmt.Sprintf("&[%d]T%s", len(records), elements), func(w *world) any {
			slice := reflect.ValueOf(w.rows(records)).Elem()
			array := reflect.New(reflect.ArrayOf(slice.Len(), slice.Type().Elem()))
			reflect.Copy(array.Elem(), slice)
			return array.Interface()
		}},
	}
	switch {
	case strings.Contains(before.String(), "CreateBatchSize"):
		ways = ways[:3] // GORM panics when it is to cut an array into batches,
	case strings.Contains(before.String(), "Returning"):
		ways = append(ways[:2], ways[3]) // and when RETURNING is for what has no address
	}
	if len(records) == 1 {
		ways = append([]way{{"&" + records[0].String(), func(w *world) any { return w.row(records[0]) }}}, ways...)
	}
	to := pick(t, ways...)
	batches := sometimes(t, 4) && !strings.HasPrefix(to.text, fmt.Sprintf("&[%d]", len(records)))
	text := fmt.Sprintf("db%v.Create(%s)", before, to.text)
	if batches {
		text = fmt.Sprintf("db%v.CreateInBatches(%s, 2)", before, to.text)
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		rows := to.rows(w)
		if batches {
			out.done(before.on(w, db).CreateInBatches(rows, 2))
		} else {
			out.done(before.on(w, db).Create(rows))
		}
		out.see("rows", rows)
	}}
}

// creatable are the fields that maps set. Nothing sets the others of a row that
// is created from a map.
func creatable(t *rapid.T, of *table, byColumn bool) values {
	key := of.fields[0]
	v := drawValues(t, 4, byColumn, of.choosable()...)
	v = append(v, keyed{key.column, argument{cell: cell{key, key.draw(t)}}})
	if !byColumn && sometimes(t, 3) {
		v[len(v)-1].key = key.name
	}
	return v
}

// target is the table that maps are for, by a model or by its name.
func drawTarget(t *rapid.T, of *table) (p piece, byColumn bool) {
	if sometimes(t, 3) {
		return piece{fmt.Sprintf(".Table(%q)", of.name), func(_ *world, db *gorm.DB) *gorm.DB { return db.Table(of.name) }}, true
	}
	return piece{fmt.Sprintf(".Model(&%s{})", of.model), func(w *world, db *gorm.DB) *gorm.DB { return db.Model(w.empty(of)) }}, false
}

func drawCreateMap(t *rapid.T) operation {
	of := pick(t, accounts, accounts, accounts, cards, teams)
	target, byColumn := drawTarget(t, of)
	before := append(drawSession(t), target)
	if of == accounts && !byColumn {
		before = append(append(before, drawSelection(t, of)...), drawConflict(t)...)
	}
	v := creatable(t, of, byColumn)
	byPointer := coin(t)
	text := fmt.Sprintf("db%v.Create(%v)", before, v)
	if byPointer {
		text = fmt.Sprintf("db%v.Create(&%v)", before, v)
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		row := w.values(v)
		if byPointer {
			out.done(before.on(w, db).Create(&row))
		} else {
			out.done(before.on(w, db).Create(row))
		}
		out.see("map", row)
	}}
}

func drawCreateMaps(t *rapid.T) operation {
	of := pick(t, accounts, accounts, accounts, cards, teams)
	target, byColumn := drawTarget(t, of)
	before := append(drawSession(t), target)
	if strings.Contains(before.String(), "CreateBatchSize") {
		before = before[1:] // GORM panics when it is to cut maps into batches
	}
	if of == accounts && !byColumn {
		before = append(append(before, drawSelection(t, of)...), drawConflict(t)...)
	}
	rows := many(t, 1, 3, func(t *rapid.T) values { return creatable(t, of, true) })
	return operation{text: fmt.Sprintf("db%v.Create(&%v)", before, rows), run: func(w *world, db *gorm.DB, out *outcome) {
		var maps []map[string]any
		for _, v := range rows {
			maps = append(maps, w.values(v))
		}
		out.done(before.on(w, db).Create(&maps))
		out.see("maps", maps)
	}}
}

func drawCreateContact(t *rapid.T) operation {
	before := drawSession(t)
	r := drawContact(t)
	return operation{text: fmt.Sprintf("db%v.Table(%q).Create(&contact %v)", before, "accounts", r), run: func(w *world, db *gorm.DB, out *outcome) {
		row := r.contact()
		out.done(before.on(w, db).Table("accounts").Create(row))
		out.see("contact", row)
	}}
}

// updated is what an update is of: a model with conditions, or a row.
type updated struct {
	text string
	// on returns the *gorm.DB to call Updates on, and the model, or nil.
	on func(w *world, db *gorm.DB, out *outcome) (*gorm.DB, any)
}

func drawUpdated(t *rapid.T) updated {
	switch upTo(t, 4) {
	case 0:
		name := pick(t, names...)
		return updated{fmt.Sprintf(".Model(&a /* the account of %s */)", name), func(w *world, db *gorm.DB, out *outcome) (*gorm.DB, any) {
			row := w.account(db, out, name)
			if row == nil {
				return nil, nil
			}
			return db.Model(row), row
		}}
	case 1:
		id := uint(upTo(t, 3) + 1)
		return updated{fmt.Sprintf(".Model(&account{ID: %d})", id), func(w *world, db *gorm.DB, _ *outcome) (*gorm.DB, any) {
			row := w.empty(accounts)
			reflect.ValueOf(row).Elem().FieldByName("ID").SetUint(uint64(id))
			return db.Model(row), row
		}}
	case 2:
		return updated{".Model(&all /* accounts */)", func(w *world, db *gorm.DB, out *outcome) (*gorm.DB, any) {
			rows := w.slice(accounts)
			out.failed(db.Session(&gorm.Session{NewDB: true}).Order("id").Find(rows).Error)
			return db.Model(rows), rows
		}}
	}
	conditions := toPieces(drawConditions(t, accounts, 1, 2))
	returning := drawReturning(t, accounts)
	if len(returning) > 0 && coin(t) { // one row is returned
		conditions = pieces{constant(`"name = ?", "ada"`, "name = ?", "ada").piece()}
	} else if len(returning) > 0 {
		return updated{".Model(&rows)" + returning.String() + conditions.String(), func(w *world, db *gorm.DB, _ *outcome) (*gorm.DB, any) {
			rows := w.slice(accounts)
			return conditions.on(w, returning.on(w, db.Model(rows))), rows
		}}
	}
	return updated{".Model(&account{})" + returning.String() + conditions.String(), func(w *world, db *gorm.DB, _ *outcome) (*gorm.DB, any) {
		row := w.empty(accounts)
		return conditions.on(w, returning.on(w, db.Model(row))), row
	}}
}

// updateOf runs an update on what it is of.
func updateOf(t *rapid.T, text string, run func(w *world, db *gorm.DB, out *outcome)) operation {
	before := drawSession(t)
	of := drawUpdated(t)
	selection := drawSelection(t, accounts)
	return operation{text: "db" + before.String() + of.text + selection.String() + text, run: func(w *world, db *gorm.DB, out *outcome) {
		db, model := of.on(w, before.on(w, db), out)
		if db == nil {
			return
		}
		run(w, selection.on(w, db), out)
		out.seeUnordered("model", model)
	}}
}

func drawUpdateColumn(t *rapid.T) operation {
	f := pick(t, accounts.choosable()...)
	a := drawArgument(t, f)
	key := f.column
	if !strings.Contains(f.name, ".") && coin(t) {
		key = f.name
	}
	if sometimes(t, 10) {
		key = strings.ToUpper(key)
	}
	name := pick(t, "Update", "UpdateColumn")
	return updateOf(t, fmt.Sprintf(".%s(%q, %v)", name, key, a), func(w *world, db *gorm.DB, out *outcome) {
		value := w.argument(a)
		if name == "Update" {
			out.done(db.Update(key, value))
		} else {
			out.done(db.UpdateColumn(key, value))
		}
		out.see("value", value)
	})
}

func drawUpdateMap(t *rapid.T) operation {
	v := drawValues(t, 4, false, accounts.choosable()...)
	visits := sometimes(t, 4)
	name := pick(t, "Updates", "Updates", "UpdateColumns")
	text := v.String()
	if visits {
		text += ` with "visits": gorm.Expr("visits + ?", 1)`
	}
	return updateOf(t, fmt.Sprintf(".%s(%s)", name, text), func(w *world, db *gorm.DB, out *outcome) {
		m := w.values(v)
		if visits {
			delete(m, "Visits")
			m["visits"] = gorm.Expr("visits + ?", 1)
		}
		if name == "Updates" {
			out.done(db.Updates(m))
		} else {
			out.done(db.UpdateColumns(m))
		}
		delete(m, "visits")
		out.see("map", m)
	})
}

func drawUpdateStruct(t *rapid.T) operation {
	r := accounts.draw(t, 4)
	if !sometimes(t, 5) {
		r.cells = r.cells[1:]
	}
	name := pick(t, "Updates", "Updates", "UpdateColumns")
	byPointer := coin(t)
	return updateOf(t, fmt.Sprintf(".%s(%v)", name, r), func(w *world, db *gorm.DB, out *outcome) {
		row := w.row(r)
		passed := row
		if !byPointer {
			passed = reflect.ValueOf(row).Elem().Interface()
		}
		if name == "Updates" {
			out.done(db.Updates(passed))
		} else {
			out.done(db.UpdateColumns(passed))
		}
		out.see("row", row)
	})
}

func drawUpdateContact(t *rapid.T) operation {
	r := drawContact(t)
	if !sometimes(t, 5) {
		r.cells = r.cells[1:]
	}
	return updateOf(t, fmt.Sprintf(".Updates(contact %v)", r), func(w *world, db *gorm.DB, out *outcome) {
		c := r.contact()
		out.done(db.Updates(c))
		out.see("contact", c)
	})
}

func drawUpdateTable(t *rapid.T) operation {
	of := pick(t, accounts, accounts, cards, teams)
	before := drawSession(t)
	conditions := toPieces(drawConditions(t, of, 1, 2))
	v := drawValues(t, 4, true, of.choosable()...)
	name := pick(t, of.name, of.name, of.name+" AS "+of.name)
	return operation{text: fmt.Sprintf("db%v.Table(%q)%v.Updates(%v)", before, name, conditions, v), run: func(w *world, db *gorm.DB, out *outcome) {
		m := w.values(v)
		out.done(conditions.on(w, before.on(w, db).Table(name)).Updates(m))
		out.see("map", m)
	}}
}

func drawSaveLoaded(t *rapid.T) operation {
	before := append(drawSession(t), drawSelection(t, accounts)...)
	r := accounts.draw(t, 3)
	if !sometimes(t, 5) {
		r.cells = r.cells[1:]
	}
	change := func(w *world, row reflect.Value) {
		for _, c := range r.cells {
			w.set(row, c)
		}
	}
	if sometimes(t, 3) {
		related := coin(t)
		text := fmt.Sprintf("db.Find(&all); all[i] = %v; db%v.Save(&all)", r, before)
		if related {
			text = strings.Replace(text, "db.Find", `db.Preload("Cards").Find`, 1)
		}
		return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
			rows := w.slice(accounts)
			reading := db.Order("id")
			if related {
				reading = reading.Preload("Cards")
			}
			out.failed(reading.Find(rows).Error)
			slice := reflect.ValueOf(rows).Elem()
			for i := range slice.Len() {
				if i == 0 || len(r.cells) == 0 || r.cells[0].field.name != "Name" {
					change(w, slice.Index(i))
				}
			}
			out.done(before.on(w, db).Save(rows))
			out.see("rows", rows)
		}}
	}
	name := pick(t, names...)
	return operation{text: fmt.Sprintf("db.Take(&a, name = %q); a = %v; db%v.Save(&a)", name, r, before), run: func(w *world, db *gorm.DB, out *outcome) {
		row := w.account(db, out, name)
		if row == nil {
			return
		}
		change(w, reflect.ValueOf(row).Elem())
		out.done(before.on(w, db).Save(row))
		out.see("row", row)
	}}
}

func drawSaveNew(t *rapid.T) operation {
	before := append(drawSession(t), drawSelection(t, accounts)...)
	r := drawRelated(t)
	id := upTo(t, 4)
	return operation{text: fmt.Sprintf("db%v.Save(&%v with ID: %d)", before, r, id), run: func(w *world, db *gorm.DB, out *outcome) {
		row := w.row(r)
		reflect.ValueOf(row).Elem().FieldByName("ID").SetUint(uint64(id))
		out.done(before.on(w, db).Save(row))
		out.see("row", row)
	}}
}

func drawDelete(t *rapid.T) operation {
	before := drawSession(t)
	if sometimes(t, 3) {
		before = append(before, unscoped)
	}
	switch upTo(t, 3) {
	case 0:
		name := pick(t, names...)
		selection := pick(t, pieces(nil), selected("Cards"), selected(clause.Associations))
		return operation{text: fmt.Sprintf("db.Take(&a, name = %q); db%v%v.Delete(&a)", name, before, selection), run: func(w *world, db *gorm.DB, out *outcome) {
			row := w.account(db, out, name)
			if row == nil {
				return
			}
			out.done(selection.on(w, before.on(w, db)).Delete(row))
			out.see("row", row)
		}}
	case 1:
		of := pick(t, accounts, cards, teams)
		id := upTo(t, 3) + 1
		return operation{text: fmt.Sprintf("db%v.Delete(&%s{}, %d)", before, of.model, id), run: func(w *world, db *gorm.DB, out *outcome) {
			row := w.empty(of)
			out.done(before.on(w, db).Delete(row, id))
			out.see("row", row)
		}}
	}
	of := pick(t, accounts, accounts, cards)
	conditions := toPieces(drawConditions(t, of, 1, 2))
	returning := drawReturning(t, of)
	return operation{text: fmt.Sprintf("db%v%v%v.Delete(&rows)", before, returning, conditions), run: func(w *world, db *gorm.DB, out *outcome) {
		rows := w.slice(of)
		out.done(conditions.on(w, returning.on(w, before.on(w, db))).Delete(rows))
		out.seeUnordered("rows", rows)
	}}
}

// drawFirstOr draws FirstOrCreate and FirstOrInit.
func drawFirstOr(t *rapid.T) operation {
	before := drawSession(t)
	name := pick(t, names...)
	by := pick(t, constant(fmt.Sprintf("map[string]any{%q: %q}", "name", name), map[string]any{"name": name}),
		condition{"Where", fmt.Sprintf("&account{Name: %q}", name), func(w *world, _ *gorm.DB) []any {
			return []any{w.row(record{table: accounts, cells: []cell{{accounts.fields[0], name}}})}
		}},
		constant(fmt.Sprintf("%q, %q", "name = ?", name), "name = ?", name),
		drawSearchedFirst(t, name))
	var extra pieces
	for _, verb := range some(t, 2, "Attrs", "Assign") {
		extra = append(extra, drawAttributes(t, verb))
	}
	finish := pick(t, "FirstOrCreate", "FirstOrCreate", "FirstOrInit")
	return operation{text: fmt.Sprintf("db%v%v%v.%s(&a)", before, by, extra, finish), run: func(w *world, db *gorm.DB, out *outcome) {
		row := w.empty(accounts)
		db = extra.on(w, by.piece().apply(w, before.on(w, db)))
		if finish == "FirstOrInit" {
			out.done(db.FirstOrInit(row))
		} else {
			out.done(db.FirstOrCreate(row))
		}
		out.see("row", row)
	}}
}

// drawSearchedFirst draws a condition on an encrypted field, with the name of the
// account that is to be created, or not.
func drawSearchedFirst(t *rapid.T, name string) condition {
	f := pick(t, accounts.searchable()...)
	a := argument{cell: cell{f, f.sought(t)}}
	named := coin(t)
	switch upTo(t, 2) {
	case 0:
		return condition{"Where", fmt.Sprintf("map[string]any{%q: %v, name: %q if %t}", f.column, a, name, named), func(w *world, _ *gorm.DB) []any {
			m := map[string]any{f.column: w.argument(a)}
			if named {
				m["name"] = name
			}
			return []any{m}
		}}
	case 1:
		r := record{table: accounts, cells: []cell{a.cell}}
		if named {
			r.cells = append(r.cells, cell{accounts.fields[0], name})
		}
		return condition{"Where", "&" + r.String(), func(w *world, _ *gorm.DB) []any { return []any{w.row(r)} }}
	}
	return condition{"Where", fmt.Sprintf("%q, %v", f.column+" = ?", a), func(w *world, _ *gorm.DB) []any { return []any{f.column + " = ?", w.argument(a)} }}
}

func drawAttributes(t *rapid.T, verb string) piece {
	// GORM takes a list for a condition with IN.
	fields := accounts.where(func(f *field) bool { return !untracked[f.name] && f.name != "Name" && f.kind != listKind })
	apply := func(db *gorm.DB, args ...any) *gorm.DB {
		if verb == "Attrs" {
			return db.Attrs(args...)
		}
		return db.Assign(args...)
	}
	switch upTo(t, 2) {
	case 0:
		r := accounts.draw(t, 3)
		r.cells = r.cells[1:]
		return piece{fmt.Sprintf(".%s(%v)", verb, r), func(w *world, db *gorm.DB) *gorm.DB {
			return apply(db, reflect.ValueOf(w.row(r)).Elem().Interface())
		}}
	case 1:
		f := pick(t, fields...)
		a := drawArgument(t, f)
		return piece{fmt.Sprintf(".%s(%q, %v)", verb, f.column, a), func(w *world, db *gorm.DB) *gorm.DB {
			return apply(db, f.column, w.argument(a))
		}}
	}
	v := drawValues(t, 3, false, fields...)
	return piece{fmt.Sprintf(".%s(%v)", verb, v), func(w *world, db *gorm.DB) *gorm.DB { return apply(db, w.values(v)) }}
}
