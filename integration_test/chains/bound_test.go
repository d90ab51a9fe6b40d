package chains

import (
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"

	"github.com/gormcrypt/gormcrypt"
)

// Wallets have a value that is bound to another one of their row. What would part
// the two is refused, and nothing else.

// bound has an operation refused or done as in the plain world.
func bound(op operation) operation {
	op.mayRefuse, op.didRefuse = gormcrypt.ErrBinding, &[]bool{}
	return op
}

func drawBoundCreate(t *rapid.T) operation {
	byHolder := []clause.Column{{Name: "holder"}}
	upsert := func(text string, make func(w *world) clause.OnConflict) pieces {
		return pieces{{".Clauses(clause.OnConflict{Columns: holder, " + text + "})", func(w *world, db *gorm.DB) *gorm.DB { return db.Clauses(make(w)) }}}
	}
	before := drawSession(t)
	refusable := false
	switch upTo(t, 5) {
	case 0:
		before = append(before, upsert("UpdateAll: true", func(*world) clause.OnConflict {
			return clause.OnConflict{Columns: byHolder, UpdateAll: true}
		})...)
	case 1:
		columns := append([]string{"balance"}, some(t, 2, "memo", "payout")...)
		before = append(before, upsert(fmt.Sprintf("DoUpdates: AssignmentColumns(%q)", columns), func(*world) clause.OnConflict {
			return clause.OnConflict{Columns: byHolder, DoUpdates: clause.AssignmentColumns(columns)}
		})...)
	case 2:
		refusable = true
		v := append(drawValues(t, 2, true, wallets.fields[:3]...), drawValue(t, wallets.fields[3]))
		before = append(before, upsert(fmt.Sprintf("DoUpdates: Assignments(%v)", v), func(w *world) clause.OnConflict {
			return clause.OnConflict{Columns: byHolder, DoUpdates: clause.Assignments(w.values(v))}
		})...)
	}
	var op operation
	if sometimes(t, 3) {
		refusable = true // with UpdateAll, which sets the holder to what it is
		v := creatable(t, wallets, false)
		op = operation{text: fmt.Sprintf("db%v.Model(&wallet{}).Create(&%v)", before, v), run: func(w *world, db *gorm.DB, out *outcome) {
			row := w.values(v)
			out.done(before.on(w, db).Model(w.empty(wallets)).Create(&row))
			out.see("map", row)
		}}
	} else {
		op = createRecords(t, before, many(t, 1, 3, func(t *rapid.T) record { return wallets.draw(t, 3) }))
	}
	if refusable {
		return bound(op)
	}
	return op
}

func drawBoundUpdate(t *rapid.T) operation {
	before := drawSession(t)
	holder, id := pick(t, names...), uint(upTo(t, 2)+1)
	f := pick(t, wallets.fields[:4]...)
	one := drawValue(t, f)
	v := drawValues(t, 3, false, wallets.fields[:4]...)
	r := wallets.draw(t, 3)
	if coin(t) {
		r.cells = r.cells[1:]
	}
	load := func(w *world, db *gorm.DB, out *outcome) any {
		row := w.empty(wallets)
		if err := db.Session(&gorm.Session{NewDB: true}).Where("holder = ?", holder).Take(row).Error; err != nil {
			out.failed(err)
			return nil
		}
		return row
	}
	of := pick(t,
		updated{fmt.Sprintf("db.Take(&w, holder = %q); db%v.Model(&w)", holder, before), func(w *world, db *gorm.DB, out *outcome) (*gorm.DB, any) {
			row := load(w, db, out)
			if row == nil {
				return nil, nil
			}
			return before.on(w, db).Model(row), row
		}},
		updated{fmt.Sprintf("db%v.Model(&wallet{ID: %d, Holder: %q})", before, id, holder), func(w *world, db *gorm.DB, _ *outcome) (*gorm.DB, any) {
			row := w.row(record{table: wallets, cells: []cell{{wallets.fields[0], holder}}})
			reflect.ValueOf(row).Elem().FieldByName("ID").SetUint(uint64(id))
			return before.on(w, db).Model(row), row
		}},
		updated{fmt.Sprintf("db%v.Model(&wallet{}).Where(holder = %q)", before, holder), func(w *world, db *gorm.DB, _ *outcome) (*gorm.DB, any) {
			row := w.empty(wallets)
			return before.on(w, db).Model(row).Where("holder = ?", holder), row
		}},
		updated{fmt.Sprintf("db%v.Table(wallets).Where(holder = %q)", before, holder), func(w *world, db *gorm.DB, _ *outcome) (*gorm.DB, any) {
			return before.on(w, db).Table("wallets").Where("holder = ?", holder), nil
		}},
	)
	update := func(text string, run func(w *world, db *gorm.DB) *gorm.DB) operation {
		return bound(operation{text: of.text + text, run: func(w *world, db *gorm.DB, out *outcome) {
			db, row := of.on(w, db, out)
			if db == nil {
				return
			}
			out.done(run(w, db))
			out.see("row", row)
		}})
	}
	return pick(t,
		update(fmt.Sprintf(".Update(%q, %v)", one.key, one.argument), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Update(one.key, w.argument(one.argument))
		}),
		update(fmt.Sprintf(".Updates(%v)", v), func(w *world, db *gorm.DB) *gorm.DB { return db.Updates(w.values(v)) }),
		update(fmt.Sprintf(".UpdateColumns(%v)", r), func(w *world, db *gorm.DB) *gorm.DB { return db.UpdateColumns(w.row(r)) }),
		update(fmt.Sprintf(".Updates(%v)", r), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Updates(reflect.ValueOf(w.row(r)).Elem().Interface())
		}),
		operation{text: fmt.Sprintf("db.Take(&w, holder = %q); w = %v; db%v.Save(&w)", holder, r, before), run: func(w *world, db *gorm.DB, out *outcome) {
			row := load(w, db, out)
			if row == nil {
				return
			}
			for _, c := range r.cells {
				w.set(reflect.ValueOf(row).Elem(), c)
			}
			out.done(before.on(w, db).Save(row))
			out.see("row", row)
		}},
		bound(operation{text: fmt.Sprintf("db.Exec(%q, %v, %q)", "UPDATE wallets SET "+one.key+" = ? WHERE holder = ?", one.argument, holder), run: func(w *world, db *gorm.DB, out *outcome) {
			out.done(db.Exec("UPDATE wallets SET "+one.key+" = ? WHERE holder = ?", w.argument(one.argument), holder))
		}}),
		bound(operation{text: fmt.Sprintf("gorm.G[wallet](db).Where(holder = %q).Updates(ctx, %v)", holder, r), run: func(w *world, db *gorm.DB, out *outcome) {
			n, err := w.generics[wallets].chain(db, [][]any{{"holder = ?", holder}}).updates(w.row(r))
			out.failed(err)
			out.note("rows affected: %d", n)
		}}),
	)
}

func drawBoundRead(t *rapid.T) operation {
	query := drawQuery(t, wallets)
	columns := some(t, 3, "id", "memo", "payout", "holder")
	read := func(text string, run func(w *world, db *gorm.DB, out *outcome)) operation {
		return operation{text: fmt.Sprintf("db%v%s", query, text), run: func(w *world, db *gorm.DB, out *outcome) { run(w, query.on(w, db), out) }}
	}
	return pick(t,
		read(".Find(&wallets)", func(w *world, db *gorm.DB, out *outcome) {
			rows := w.slice(wallets)
			out.done(db.Find(rows))
			out.see("rows", rows)
		}),
		read(".Model(&wallet{}).Find(&maps)", func(w *world, db *gorm.DB, out *outcome) {
			var maps []map[string]any
			out.done(db.Model(w.empty(wallets)).Find(&maps))
			out.seeMaps("maps", wallets, maps, nil)
		}),
		bound(read(fmt.Sprintf(".Select(%q).Find(&wallets)", columns), func(w *world, db *gorm.DB, out *outcome) {
			rows := w.slice(wallets)
			out.done(db.Select(columns).Find(rows))
			out.see("rows", rows)
		})),
		bound(read(fmt.Sprintf(".Table(wallets).Select(%q).Find(&maps)", columns), func(w *world, db *gorm.DB, out *outcome) {
			var maps []map[string]any
			out.done(db.Table("wallets").Select(columns).Find(&maps))
			out.seeMaps("maps", wallets, maps, nil)
		})),
		bound(read(`.Model(&wallet{}).Pluck("payout", &values)`, func(w *world, db *gorm.DB, out *outcome) {
			var values []string
			out.done(db.Model(w.empty(wallets)).Pluck("payout", &values))
			out.see("values", values)
		})),
		operation{text: `db.Raw("SELECT holder, payout FROM wallets ORDER BY id").Scan(&structs)`, run: func(w *world, db *gorm.DB, out *outcome) {
			var rows []struct{ Holder, Payout string }
			out.done(db.Raw("SELECT holder, payout FROM wallets ORDER BY id").Scan(&rows))
			out.see("rows", rows)
		}},
	)
}
