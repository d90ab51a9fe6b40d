package chains

import (
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"

	"github.com/gormcrypt/gormcrypt"
)

// What the encrypted world refuses, before anything is sent.

// drawRefusedCondition draws a condition on an encrypted column.
func drawRefusedCondition(t *rapid.T) operation {
	of := pick(t, accounts, cards, teams)
	f := pick(t, of.where(func(f *field) bool { return f.encrypted && f.bits == 0 && (f.kind == textKind || f.kind == heldKind) })...)
	mark := f.mark(t)
	c, qualified := f.column, of.name+"."+f.column
	where := func(text string, args ...any) piece { return constant(text, args...).piece() }
	text := func(query string) piece { return where(fmt.Sprintf("%q, %q", query, mark), query, mark) }
	argument := argument{cell{f, mark}, pick(t, asItIs, pointed, typed)}
	row := record{table: of, cells: []cell{{f, mark}}}
	const computed = 6 // of what no index helps with
	conditions := []piece{
		text("lower(" + c + ") = ?"), text(c + " LIKE ?"), text(c + " > ?"), text(c + " = upper(?)"), text("coalesce(" + c + ", ?) IS NULL"),
		where(fmt.Sprintf("%q", c+" = '"+mark+"'"), c+" = '"+mark+"'"),
		text(c + " = ?"), text(qualified + " = ?"), text(`"` + c + `" = ?`), text(strings.ToUpper(c) + " <> ?"), text("? = " + c), text("id = 1 OR " + c + " = ?"),
		where(fmt.Sprintf("%q, %q", c+" IN ?", []string{mark}), c+" IN ?", []string{mark}),
		where(fmt.Sprintf("map[string]any{%q: %q}", c, []string{mark}), map[string]any{c: []string{mark}}),
		{fmt.Sprintf(".Where(%q, %v)", c, argument), func(w *world, db *gorm.DB) *gorm.DB { return db.Where(c, w.argument(argument)) }},
		{fmt.Sprintf(".Where(map[string]any{%q: %v})", c, argument), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Where(map[string]any{c: w.argument(argument)})
		}},
		{fmt.Sprintf(".Not(map[string]any{%q: %v})", qualified, argument), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Not(map[string]any{qualified: w.argument(argument)})
		}},
		{fmt.Sprintf(".Where(&%v)", row), func(w *world, db *gorm.DB) *gorm.DB { return db.Where(w.row(row)) }},
		{fmt.Sprintf(".Where(id = 1).Or(&%v)", row), func(w *world, db *gorm.DB) *gorm.DB { return db.Where("id = 1").Or(w.row(row)) }},
		{fmt.Sprintf(".Where(clause.Eq{%q, %v})", c, argument), func(w *world, db *gorm.DB) *gorm.DB {
			return db.Where(clause.Eq{Column: c, Value: w.argument(argument)})
		}},
		{fmt.Sprintf(".Where(%q, a subquery where %s = %q)", "id IN (?)", c, mark), func(w *world, db *gorm.DB) *gorm.DB {
			sub := db.Session(&gorm.Session{NewDB: true}).Model(w.empty(of)).Select("id").Where(c+" = ?", mark)
			return db.Where("id IN (?)", sub)
		}},
	}
	if f.searchable() {
		conditions = conditions[:computed]
	}
	condition := pick(t, conditions...)
	run := func(name string, on func(db *gorm.DB, w *world) *gorm.DB) operation {
		return operation{
			text:    fmt.Sprintf("db%s.%s /* %s */", condition.text, name, of.name),
			refused: gormcrypt.ErrNotQueryable,
			run: func(w *world, db *gorm.DB, out *outcome) {
				out.done(on(condition.apply(w, db), w))
			},
		}
	}
	switch upTo(t, 9) {
	case 0, 1:
		return run("Find", func(db *gorm.DB, w *world) *gorm.DB { return db.Find(w.slice(of)) })
	case 2:
		return run("First", func(db *gorm.DB, w *world) *gorm.DB { return db.First(w.empty(of)) })
	case 3:
		return run("Count", func(db *gorm.DB, w *world) *gorm.DB { var n int64; return db.Model(w.empty(of)).Count(&n) })
	case 4:
		return run("Update", func(db *gorm.DB, w *world) *gorm.DB {
			return db.Model(w.empty(of)).Update(of.fields[0].column, "changed")
		})
	case 5:
		return run("Delete", func(db *gorm.DB, w *world) *gorm.DB { return db.Unscoped().Delete(w.empty(of)) })
	case 6:
		return run("Pluck", func(db *gorm.DB, w *world) *gorm.DB { return db.Model(w.empty(of)).Pluck("id", &[]uint{}) })
	case 7:
		return run("FirstOrCreate", func(db *gorm.DB, w *world) *gorm.DB { return db.FirstOrCreate(w.empty(of)) })
	}
	// What only reads can have.
	ways := []string{"order", "group", "having", "select", "join"}
	if f.searchable() {
		ways = ways[:3]
	}
	text2, query := pick(t, ways...), func(db *gorm.DB) *gorm.DB { return db }
	switch text2 {
	case "order":
		query = func(db *gorm.DB) *gorm.DB { return db.Order(c) }
	case "group":
		query = func(db *gorm.DB) *gorm.DB { return db.Select("count(*) AS id").Group(qualified) }
	case "having":
		query = func(db *gorm.DB) *gorm.DB { return db.Select("id").Group("id").Having("max("+c+") = ?", mark) }
	case "select":
		query = func(db *gorm.DB) *gorm.DB { return db.Select("id, "+c+" = ? AS hit", mark) }
	case "join":
		query = func(db *gorm.DB) *gorm.DB {
			return db.Joins("JOIN "+of.name+" AS other ON other.id = "+of.name+".id AND other."+c+" = ?", mark)
		}
	}
	return operation{text: fmt.Sprintf("db /* %s by %s %s */.Find(&%s)", text2, c, mark, of.name), refused: gormcrypt.ErrNotQueryable, run: func(w *world, db *gorm.DB, out *outcome) {
		out.done(query(db).Find(w.slice(of)))
	}}
}

// drawRefusedExpression draws an expression as the new value of an encrypted
// column.
func drawRefusedExpression(t *rapid.T) operation {
	f := pick(t, accounts.encrypted()...)
	mark := "hushhush~expression~" + fmt.Sprint(upTo(t, 99))
	type expression struct {
		text string
		make func(w *world, db *gorm.DB) any
	}
	e := pick(t,
		expression{`gorm.Expr("name")`, func(*world, *gorm.DB) any { return gorm.Expr("name") }},
		expression{fmt.Sprintf("gorm.Expr(%q, %q)", "?", mark), func(*world, *gorm.DB) any { return gorm.Expr("?", mark) }},
		expression{fmt.Sprintf("gorm.Expr(%q, %q)", f.column+" || ?", mark), func(*world, *gorm.DB) any { return gorm.Expr(f.column+" || ?", mark) }},
		expression{"clause.Column{Name: name}", func(*world, *gorm.DB) any { return clause.Column{Name: "name"} }},
		expression{"a subquery", func(w *world, db *gorm.DB) any {
			return db.Session(&gorm.Session{NewDB: true}).Model(w.empty(accounts)).Select("name").Limit(1)
		}},
	)
	conditions := toPieces([]condition{drawWhere(t, accounts)})
	refuse := func(text string, run func(w *world, db *gorm.DB, value any) *gorm.DB) operation {
		return operation{text: text, refused: gormcrypt.ErrExpression, run: func(w *world, db *gorm.DB, out *outcome) {
			out.done(run(w, db, e.make(w, db)))
		}}
	}
	others := drawValues(t, 2, true, accounts.where(func(g *field) bool { return g != f && !untracked[g.name] && g.name != "Name" })...)
	switch upTo(t, 5) {
	case 0:
		return refuse(fmt.Sprintf("db.Model(&account{})%v.Update(%q, %s)", conditions, f.column, e.text), func(w *world, db *gorm.DB, value any) *gorm.DB {
			return conditions.on(w, db.Model(w.empty(accounts))).Update(f.column, value)
		})
	case 1:
		return refuse(fmt.Sprintf("db.Model(&account{})%v.UpdateColumn(%q, %s)", conditions, f.column, e.text), func(w *world, db *gorm.DB, value any) *gorm.DB {
			return conditions.on(w, db.Model(w.empty(accounts))).UpdateColumn(f.column, value)
		})
	case 2:
		return refuse(fmt.Sprintf("db.Table(accounts)%v.Updates(%v with %q: %s)", conditions, others, f.column, e.text), func(w *world, db *gorm.DB, value any) *gorm.DB {
			m := w.values(others)
			m[f.column] = value
			return conditions.on(w, db.Table("accounts")).Updates(m)
		})
	case 3:
		name := pick(t, names...)
		return refuse(fmt.Sprintf("db.Model(&account{}).Create(&%v with name: %q, %q: %s)", others, name, f.column, e.text), func(w *world, db *gorm.DB, value any) *gorm.DB {
			m := w.values(others)
			m["name"], m[f.column] = name, value
			return db.Model(w.empty(accounts)).Create(&m)
		})
	case 4:
		r := accounts.draw(t, 2)
		return refuse(fmt.Sprintf("db.Clauses(OnConflict{name, Assignments(%v with %q: %s)}).Create(&%v)", others, f.column, e.text, r), func(w *world, db *gorm.DB, value any) *gorm.DB {
			m := w.values(others)
			m[f.column] = value
			return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, DoUpdates: clause.Assignments(m)}).Create(w.row(r))
		})
	}
	f = pick(t, cards.encrypted()...)
	text, chain := drawGenericChain(t, cards)
	return operation{text: fmt.Sprintf("%s.Update(ctx, %q, %s)", text, f.column, e.text), refused: gormcrypt.ErrExpression, run: func(w *world, db *gorm.DB, out *outcome) {
		_, err := chain(w, db).update(f.column, e.make(w, db))
		out.failed(err)
	}}
}

// drawRefusedRaw draws statements written by hand that nothing can seal.
func drawRefusedRaw(t *rapid.T) operation {
	f := cards.field("number")
	c, mark, label := f.column, f.mark(t), pick(t, labels...)
	refuse := func(refused error, query string, args ...any) operation {
		return operation{text: fmt.Sprintf("db.Exec or db.Raw(%q, %q)", query, args), refused: refused, run: func(w *world, db *gorm.DB, out *outcome) {
			if strings.HasPrefix(query, "SELECT") {
				out.done(db.Raw(query, args...).Scan(w.slice(cards)))
			} else {
				out.done(db.Exec(query, args...))
			}
		}}
	}
	return pick(t,
		refuse(gormcrypt.ErrNotQueryable, "SELECT * FROM cards WHERE "+c+" = ?", mark),
		refuse(gormcrypt.ErrNotQueryable, "SELECT * FROM cards AS a WHERE a."+c+" LIKE ?", mark),
		refuse(gormcrypt.ErrNotQueryable, "SELECT * FROM cards WHERE "+c+" = '"+mark+"'"),
		refuse(gormcrypt.ErrNotQueryable, "DELETE FROM cards WHERE "+c+" = ?", mark),
		refuse(gormcrypt.ErrNotQueryable, "UPDATE cards SET label = ? WHERE "+c+" = ?", "x", mark),
		refuse(gormcrypt.ErrExpression, "UPDATE cards SET "+c+" = upper(?) WHERE label = ?", mark, label),
		refuse(gormcrypt.ErrExpression, "UPDATE cards SET "+c+" = label WHERE label = ?", label),
		refuse(gormcrypt.ErrExpression, "UPDATE cards SET "+c+" = '"+mark+"' WHERE label = ?", label),
		refuse(gormcrypt.ErrExpression, "INSERT INTO cards (label, "+c+") VALUES (?, lower(?))", label, mark),
		refuse(gormcrypt.ErrExpression, "INSERT INTO cards (label, "+c+") SELECT ?, ?", label, mark),
	)
}
