package conformance

import (
	"database/sql"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

const (
	found = "matches what is stored for the value, under every live index key"
	// apart is what becomes of NULL.
	apart = "matches the other values; NULL neither equals a value nor differs from one"
)

// G is the generic API for subscribers.
func (s *search) G() gorm.Interface[*subscriber] { return gorm.G[*subscriber](s.fresh()) }

// quoted returns the column's name, and that with its table, as the dialect quotes
// them.
func (s *search) quoted() (column, qualified string) {
	return s.fresh().Statement.Quote(s.column), s.fresh().Statement.Quote("subscribers." + s.column)
}

var equalityConditions = []row{
	searches("`Where(struct)`, `Where(&struct)`, `Where(&struct, \"Field\")`, `G[T].Where(struct)`", found, func(s *search) {
		s.finds("a pointer", s.fresh().Where(s.like(s.one)), "ada", "cyd")
		s.finds("a struct", s.fresh().Where(*s.like(s.other)), "bob", "eve")
		named := &subscriber{Name: "cyd"}
		s.set(named, &s.one)
		keep(s.check, named)
		s.finds("with a plain field", s.fresh().Where(named), "cyd")
		s.finds("one of its fields", s.fresh().Where(named, s.field), "ada", "cyd")
		s.finds("by column", s.fresh().Where(named, s.column, "Name"), "cyd")
		s.finds("a slice of structs", s.fresh().Where([]subscriber{*s.like(s.one)}), "ada", "cyd")
		s.finds("nobody", s.fresh().Where(s.like(s.text())))
		s.findsG("G", s.G().Where(s.like(s.one)), "ada", "cyd")
	}),
	searches("`Where(map)`, by column, by table and column, or with `Table`; `G[T].Where(map)`", found, func(s *search) {
		s.finds("a map", s.fresh().Where(s.by(s.one)), "ada", "cyd")
		s.finds("with a plain column", s.fresh().Where(keep(s.check, map[string]any{s.column: s.other, "name": "bob"})), "bob")
		s.finds("by table and column", s.fresh().Where(keep(s.check, map[string]any{"subscribers." + s.column: s.one})), "ada", "cyd")
		s.finds("Table", s.fresh().Table("subscribers").Where(s.by(s.one)), "ada", "cyd")
		s.finds("nobody", s.fresh().Where(s.by(s.text())))
		s.findsG("G", s.G().Where(s.by(s.one)), "ada", "cyd")
	}),
	searches("`Where(\"col\", v)`, `Where(\"t.col\", v)`, `G[T].Where(\"col\", v)`", found, func(s *search) {
		s.finds("a column", s.fresh().Where(s.column, s.one), "ada", "cyd")
		s.finds("with its table", s.fresh().Where("subscribers."+s.column, s.one), "ada", "cyd")
		s.finds("a slice", s.fresh().Where(s.column, []string{s.one, s.other}), "ada", "bob", "cyd", "eve")
		s.findsG("G", s.G().Where(s.column, s.other), "bob", "eve")
	}),
	searches("`Where(\"col = ?\", v)`, `\"? = col\"`, `\"(col = ?)\"`, with a condition on a plain column, `G[T].Where(\"col = ?\", v)`", found, func(s *search) {
		s.finds("text", s.fresh().Where(s.sql("col = ?"), s.one), "ada", "cyd")
		s.finds("reversed", s.fresh().Where(s.sql("? = col"), s.one), "ada", "cyd")
		s.finds("in parentheses", s.fresh().Where(s.sql("((col = ?))"), s.one), "ada", "cyd")
		s.finds("a plain column behind it", s.fresh().Where(s.sql("col=? AND name = ?"), s.one, "cyd"), "cyd")
		s.finds("a plain column in front", s.fresh().Where(s.sql("name <> ? AND col = ?"), "cyd", s.one), "ada")
		s.finds("in two calls", s.fresh().Where(s.sql("col = ?"), s.one).Where("name = ?", "ada"), "ada")
		s.finds("two values", s.fresh().Where(s.sql("col = ? AND col = ?"), s.one, s.other))
		s.finds("nobody", s.fresh().Where(s.sql("col = ?"), s.text()))
		s.findsG("G", s.G().Where(s.sql("col = ?"), s.one), "ada", "cyd")
	}),
	searches("`\"t.col = ?\"`, quoted, in capitals, with an alias of the table", found, func(s *search) {
		column, qualified := s.quoted()
		s.finds("with its table", s.fresh().Where(s.sql("subscribers.col = ?"), s.one), "ada", "cyd")
		s.finds("quoted", s.fresh().Where(column+" = ?", s.one), "ada", "cyd")
		s.finds("quoted, with its table", s.fresh().Where(qualified+" = ?", s.one), "ada", "cyd")
		s.finds("in capitals", s.fresh().Where("SUBSCRIBERS."+map[string]string{"email": "EMAIL", "tax_number": "TAX_NUMBER"}[s.column]+" = ?", s.one), "ada", "cyd")
		s.finds("an alias", s.fresh().Table("subscribers AS s").Where(s.sql("s.col = ?"), s.one), "ada", "cyd")
		s.finds("an alias, and no table", s.fresh().Table("subscribers AS s").Where(s.sql("col = ?"), s.one), "ada", "cyd")
		s.finds("an alias, of a map", s.fresh().Table("subscribers AS s").Where(keep(s.check, map[string]any{"s." + s.column: s.one})), "ada", "cyd")
	}),
	searches("`\"col = @name\"` with `sql.Named`, a map or a struct; a name that is used twice", found, func(s *search) {
		s.finds("sql.Named", s.fresh().Where(s.sql("col = @v"), sql.Named("v", s.one)), "ada", "cyd")
		s.finds("a map", s.fresh().Where(s.sql("name = @n AND col = @v"), keep(s.check, map[string]any{"v": s.one, "n": "ada"})), "ada")
		s.finds("a struct", s.fresh().Where(s.sql("col = @V"), keep(s.check, struct{ V string }{s.one})), "ada", "cyd")
		s.finds("a list", s.fresh().Where(s.sql("col IN @v"), keep(s.check, map[string]any{"v": []string{s.one, s.other}})), "ada", "bob", "cyd", "eve")
		s.finds("twice", s.fresh().Where(s.sql("col = @v OR col = @v AND name = @n"), keep(s.check, map[string]any{"v": s.one, "n": "ada"})), "ada", "cyd")
		s.findsG("G", s.G().Where(s.sql("col = @v"), sql.Named("v", s.other)), "bob", "eve")
	}),
	searches("Inline conditions of `First`, `Take`, `Last`, `Find` and `Delete`", found, func(s *search) {
		for what, one := range map[string]func(dst any, conditions ...any) *gorm.DB{"First": s.fresh().First, "Take": s.fresh().Where("name <> ?", "cyd").Take} {
			var got subscriber
			s.must(one(&got, s.sql("col = ?"), s.one).Error)
			s.same(what, []*subscriber{&got}, s.people("ada"))
		}
		var last, none subscriber
		s.must(s.fresh().Last(&last, s.by(s.one)).Error)
		s.same("Last", []*subscriber{&last}, s.people("cyd"))
		s.heard(s.fresh().First(&none, s.sql("col = ?"), s.text()).Error)
		s.same("nobody", none, subscriber{})
		var got []*subscriber
		s.must(s.fresh().Find(&got, s.like(s.other)).Error)
		s.same("Find", got, s.people("bob", "eve"))
		s.changes("Delete", 2, s.db.Delete(&subscriber{}, s.sql("col = ?"), s.one))
		s.stay("bob", "dan", "eve")
		s.changes("Delete of a map", 2, s.db.Delete(&subscriber{}, s.by(s.other)))
		s.stay("dan")
	}),
	searches("A value as a pointer, as a type of `database/sql` or of `encryptedtype`, as a `driver.Valuer`", found, func(s *search) {
		for what, value := range map[string]any{
			"a pointer": &s.one, "sql.NullString": sql.NullString{String: s.one, Valid: true}, "EncryptedString": encryptedtype.NewEncryptedString(s.one),
			"Encrypted": encryptedtype.NewEncrypted(s.one), "a pointer to a type": new(encryptedtype.NewEncryptedString(s.one)), "sql.Null": sql.Null[string]{V: s.one, Valid: true},
		} {
			s.finds(what, s.fresh().Where(s.sql("col = ?"), value), "ada", "cyd")
			s.finds(what+" in a map", s.fresh().Where(s.by(value)), "ada", "cyd")
			s.finds(what+" in a list", s.fresh().Where(s.sql("col IN ?"), []any{value, s.text()}), "ada", "cyd")
		}
	}),
	searches("`col IN ?`, `IN (?)`, `IN (?, ?)`, a slice in a map, `clause.IN`", found, func(s *search) {
		values := keep(s.check, []string{s.one, s.text()})
		s.finds("a slice", s.fresh().Where(s.sql("col IN ?"), values), "ada", "cyd")
		s.finds("in parentheses", s.fresh().Where(s.sql("col IN (?)"), values), "ada", "cyd")
		s.finds("one by one", s.fresh().Where(s.sql("col IN (?, ?)"), s.one, s.other), "ada", "bob", "cyd", "eve")
		s.finds("one", s.fresh().Where(s.sql("col in (?)"), s.other), "bob", "eve")
		s.finds("in a map", s.fresh().Where(s.by(values)), "ada", "cyd")
		s.finds("a clause", s.fresh().Where(clause.IN{Column: s.column, Values: []any{s.one, s.other}}), "ada", "bob", "cyd", "eve")
		s.finds("with NULL", s.fresh().Where(s.sql("col IN ?"), []*string{&s.one, nil}), "ada", "cyd")
		s.findsG("G", s.G().Where(s.sql("col IN ?"), values), "ada", "cyd")
	}),
	searches("`IN` with an empty slice, of `Where`, of a map and of `Not`", "matches nothing; with `Not`, what GORM makes of it", func(s *search) {
		s.finds("text", s.fresh().Where(s.sql("col IN ?"), []string{}))
		s.finds("in parentheses", s.fresh().Where(s.sql("col IN (?)"), []string{}))
		s.finds("a map", s.fresh().Where(s.by([]string{})))
		s.finds("a clause", s.fresh().Where(clause.IN{Column: s.column}))
		s.finds("NOT IN", s.fresh().Where(s.sql("col NOT IN ?"), []string{}))
		s.finds("Not of a map", s.fresh().Not(s.by([]string{})), "ada", "bob", "cyd", "eve")
	}),
	searches("`<>`, `!=`, `NOT IN`, `NOT col = ?`, `clause.Neq`, `Not(...)` of a text, a map, a struct", apart, func(s *search) {
		values := keep(s.check, []string{s.one, s.text()})
		s.finds("<>", s.fresh().Where(s.sql("col <> ?"), s.one), "bob", "eve")
		s.finds("!=", s.fresh().Where(s.sql("col != ?"), s.one), "bob", "eve")
		s.finds("reversed", s.fresh().Where(s.sql("? <> col"), s.one), "bob", "eve")
		s.finds("NOT IN", s.fresh().Where(s.sql("col NOT IN ?"), values), "bob", "eve")
		s.finds("NOT IN, one by one", s.fresh().Where(s.sql("col NOT IN (?, ?)"), s.one, s.other))
		s.finds("NOT IN with NULL", s.fresh().Where(s.sql("col NOT IN (?, NULL)"), s.one))
		s.finds("NOT", s.fresh().Where(s.sql("NOT col = ?"), s.one), "bob", "eve")
		s.finds("Neq", s.fresh().Where(clause.Neq{Column: s.column, Value: s.one}), "bob", "eve")
		s.finds("Not of a text", s.fresh().Not(s.sql("col = ?"), s.one), "bob", "eve")
		s.finds("Not of a column", s.fresh().Not(s.column, s.one), "bob", "eve")
		s.finds("Not of a map", s.fresh().Not(s.by(s.one)), "bob", "eve")
		s.finds("Not of a slice in a map", s.fresh().Not(s.by(values)), "bob", "eve")
		s.finds("Not of a struct", s.fresh().Not(s.like(s.one)), "bob", "eve")
		s.finds("Not of a clause", s.fresh().Not(clause.IN{Column: s.column, Values: []any{s.one}}), "bob", "eve")
		s.finds("nobody has it", s.fresh().Where(s.sql("col <> ?"), s.text()), "ada", "bob", "cyd", "eve")
		s.findsG("G", s.G().Not(s.sql("col = ?"), s.one), "bob", "eve")
	}),
	searches("`Or(...)`, `OR`, nested groups, `clause.And`, `clause.Or`, `clause.Not`", found, func(s *search) {
		s.finds("Or", s.fresh().Where(s.sql("col = ?"), s.one).Or("name = ?", "dan"), "ada", "cyd", "dan")
		s.finds("Or of a map", s.fresh().Where("name = ?", "dan").Or(s.by(s.one)), "ada", "cyd", "dan")
		s.finds("Or of a struct", s.fresh().Where("name = ?", "dan").Or(s.like(s.one)), "ada", "cyd", "dan")
		s.finds("OR", s.fresh().Where(s.sql("name = ? OR col = ? OR col IS NULL"), "bob", s.one), "ada", "bob", "cyd", "dan")
		group := s.fresh().Where(s.sql("col = ?"), s.one).Or(s.sql("col = ? AND name = ?"), s.other, "eve")
		s.finds("a group", s.fresh().Where("name <> ?", "ada").Where(group), "cyd", "eve")
		s.finds("a group in a group", s.fresh().Where(s.fresh().Where(group).Where("name <> ?", "ada")), "cyd", "eve")
		s.finds("Not of a group", s.fresh().Not(s.fresh().Where(s.sql("col = ?"), s.one).Where("name = ?", "ada")), "bob", "cyd", "dan", "eve")
		equal := clause.Eq{Column: clause.Column{Table: clause.CurrentTable, Name: s.column}, Value: s.one}
		s.finds("clause.Or", s.fresh().Where(clause.Or(equal, clause.Eq{Column: "name", Value: "dan"})), "ada", "cyd", "dan")
		s.finds("clause.And", s.fresh().Where(clause.And(equal, clause.Eq{Column: "name", Value: "ada"})), "ada")
		s.finds("clause.Not", s.fresh().Where(clause.Not(equal)), "bob", "eve")
		s.finds("Clauses", s.fresh().Clauses(clause.Where{Exprs: []clause.Expression{equal}}), "ada", "cyd")
		s.findsG("G", s.G().Where(equal).Or(clause.Eq{Column: "name", Value: "dan"}), "ada", "cyd", "dan")
	}),
	searches("`IS NULL`, `IS NOT NULL`, a nil in a map or a struct, `= NULL`", "unchanged: NULL is stored for NULL, and `= NULL` matches nothing", func(s *search) {
		s.finds("IS NULL", s.fresh().Where(s.sql("col IS NULL")), "dan")
		s.finds("IS NOT NULL", s.fresh().Where(s.sql("col IS NOT NULL AND col <> ?"), s.one), "bob", "eve")
		s.finds("nil in a map", s.fresh().Where(s.by(nil)), "dan")
		s.finds("a nil pointer in a map", s.fresh().Where(s.by((*string)(nil))), "dan")
		s.finds("a type that holds nothing", s.fresh().Where(s.by(sql.NullString{})), "dan")
		s.finds("nil in a struct", s.fresh().Where(&subscriber{Name: "ada"}, "Name", s.field))
		s.finds("Not of nil", s.fresh().Not(s.by(nil)), "ada", "bob", "cyd", "eve")
		s.finds("Eq", s.fresh().Where(clause.Eq{Column: s.column}), "dan")
		s.finds("= nil", s.fresh().Where(s.sql("col = ?"), nil))
		s.finds("= NULL", s.fresh().Where(s.sql("col = NULL")))
		s.finds("<> nil", s.fresh().Where(s.sql("col <> ?"), (*string)(nil)))
	}),
	searches("An empty text", "matches the empty text, which is not NULL", func(s *search) {
		s.must(s.db.Model(s.rows[4]).Update(s.column, "").Error)
		s.set(s.rows[4], new(""))
		s.finds("text", s.fresh().Where(s.sql("col = ?"), ""), "eve")
		s.finds("a map", s.fresh().Where(s.by("")), "eve")
		s.finds("another", s.fresh().Where(s.sql("col <> ?"), ""), "ada", "bob", "cyd")
	}),
}
