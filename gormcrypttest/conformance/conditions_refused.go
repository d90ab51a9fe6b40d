package conformance

import (
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// Conditions that the database cannot decide, and those whose value cannot be had.

// refusesQueries has the queries refused, in reads, counts, updates and deletes.
func (s *search) refusesQueries(queries ...func() *gorm.DB) {
	s.Helper()
	for _, query := range queries {
		s.refuses("subscribers", s.column, func() error { return query().Find(&[]subscriber{}).Error })
		s.refuses("subscribers", s.column, func() error { return query().Model(&subscriber{}).Count(new(int64)).Error })
		s.refuses("subscribers", s.column, func() error { return query().Model(&subscriber{}).Update("city", "Oslo").Error })
		s.refuses("subscribers", s.column, func() error { return query().Delete(&subscriber{}).Error })
	}
}

// refusesReads has the queries refused in reads.
func (s *search) refusesReads(queries ...func() *gorm.DB) {
	s.Helper()
	for _, query := range queries {
		s.refuses("subscribers", s.column, func() error { return query().Find(&[]subscriber{}).Error })
		s.refuses("subscribers", s.column, func() error {
			return s.fresh().Where("id IN (?)", query().Model(&subscriber{}).Select("id")).Find(&[]subscriber{}).Error
		})
	}
}

// where returns a query under a condition.
func (s *search) where(query any, args ...any) func() *gorm.DB {
	return func() *gorm.DB { return s.fresh().Where(query, args...) }
}

const undecided = "nothing is sent"

var refusedConditions = []row{
	refusesSearches("`LIKE`, `<`, `>`, `BETWEEN`, as text and as clauses", errNotQueryable, undecided, func(s *search) {
		s.refusesQueries(
			s.where(s.sql("col LIKE ?"), s.one[:12]+"%"), s.where(s.sql("col NOT LIKE ?"), s.one), s.where(s.sql("col < ?"), s.one), s.where(s.sql("col >= ?"), s.one),
			s.where(s.sql("? > col"), s.one), s.where(s.sql("col BETWEEN ? AND ?"), s.one, s.other), s.where(clause.Like{Column: s.column, Value: s.one}),
			s.where(clause.Gt{Column: s.column, Value: s.one}), s.where(clause.Lte{Column: s.column, Value: s.one}),
		)
	}),
	refusesSearches("`lower(col) = ?`, `col || ? = ?`, `COALESCE(col, ?) = ?`, `CASE`, the comparison of a comparison", errNotQueryable, undecided, func(s *search) {
		s.refusesQueries(
			s.where(s.sql("lower(col) = ?"), s.one), s.where(s.sql("col || ? = ?"), s.one, s.one), s.where(s.sql("COALESCE(col, ?) = ?"), s.one, s.one),
			s.where(s.sql("CASE col WHEN ? THEN 1 ELSE 0 END = 1"), s.one), s.where(s.sql("col = ? = ?"), s.one, true), s.where(s.sql("col = lower(?)"), s.one),
			s.where(s.sql("(col, name) = (?, ?)"), s.one, "ada"), s.where(s.sql("col = ANY (?)"), s.one),
		)
	}),
	refusesSearches("A literal in the text: `col = 'x'`, `col IN ('x')`, `Raw(\"... col = 'x'\")`", errNotQueryable, undecided+"; give it as an argument", func(s *search) {
		s.refusesQueries(s.where(s.sql("col = 'x'")), s.where(s.sql("col IN ('x', ?)"), s.one), s.where(s.sql("'x' = col")))
		s.refusesReads(func() *gorm.DB { return s.fresh().Raw(s.sql("SELECT * FROM subscribers WHERE col = 'x'")) })
	}),
	refusesSearches("`ORDER BY col`, `max(col)` in `Having`", errNotQueryable, undecided, func(s *search) {
		s.refusesReads(
			func() *gorm.DB { return s.fresh().Order(s.column) },
			func() *gorm.DB { return s.fresh().Order("subscribers." + s.column + " DESC") },
			func() *gorm.DB { return s.fresh().Order(clause.OrderByColumn{Column: columnNamed(s.column)}) },
			func() *gorm.DB { return s.fresh().Group("id").Having(s.sql("max(col) = ?"), s.one) },
		)
	}),
	{path: "Equality in a column without an index: by text, map, struct, clause, `IN`, `Not`", refused: errNotQueryable, happens: undecided, run: func(c *check) {
		s := c.search(c.keys, "Email", 1)
		s.column = "note"
		s.refusesQueries(
			s.where("note = ?", s.one), s.where("note <> ?", s.one), s.where("? = subscribers.note", s.one), s.where("note IN ?", []string{s.one}), s.where("note", s.one),
			s.where(s.by(s.one)), s.where(&subscriber{Note: s.one}), s.where(clause.Eq{Column: "note", Value: s.one}), s.where(clause.IN{Column: "note", Values: []any{s.one, s.other}}),
			func() *gorm.DB { return s.fresh().Not(s.by(s.one)) }, func() *gorm.DB { return s.fresh().Where("email = ?", s.one).Or("note = ?", s.one) },
		)
		s.refusesReads(func() *gorm.DB {
			return s.fresh().Joins("JOIN subscribers s ON s.id = subscribers.sponsor_id AND s.note = ?", s.one)
		})
	}},
	{path: "An index that a derived table does not have: `Table(\"(?) AS u\", db.Select(\"id\", \"col\")).Where(\"u.col = ?\", v)`", refused: errNotQueryable, happens: undecided + "; of a deterministic column it works", run: func(c *check) {
		s := c.search(c.keys, "Email", 1)
		s.refuses("subscribers", "email", func() error {
			return s.fresh().Table("(?) AS u", s.model().Select("id", "email")).Where("u.email = ?", s.one).Find(&[]subscriber{}).Error
		})
		c.place.clear(c)
		c.frozen = nil
		s = c.search(s.keys, "TaxNumber", 1)
		s.finds("a deterministic column", s.fresh().Table("(?) AS u", s.model().Select("id", "name", "city", "email", "tax_number", "note")).Where("u.tax_number = ?", s.one), "ada", "cyd")
	}},
	{path: "The column of a blind index in `ORDER BY`, `LIKE`, a function, or compared with a term", refused: errNotQueryable, happens: undecided, run: func(c *check) {
		s := c.search(c.keys, "Email", 1)
		s.column = "email_index"
		term := fmt.Sprint(c.query("SELECT email_index FROM subscribers WHERE name = 'ada'")[0][0])
		s.refusesReads(
			s.where("email_index LIKE ?", term), s.where("lower(email_index) = ?", term), s.where("email_index = '"+term+"'"),
			func() *gorm.DB { return s.fresh().Order("email_index") },
		)
	}},
	refusesSearches("A ciphertext of `gormcrypt.Seal` as the value", errNotQueryable, undecided+"; it would match nothing", func(s *search) {
		sealed, err := gormcrypt.Seal(s.db, &subscriber{}, s.field, s.one)
		s.must(err)
		for _, query := range []func() *gorm.DB{s.where(s.sql("col = ?"), sealed), s.where(s.sql("col IN ?"), []any{sealed}), s.where(s.by(sealed)), s.where(s.column, sealed)} {
			s.refuses("", "", func() error { return query().Find(&[]subscriber{}).Error })
			s.refuses("", "", func() error { return query().Delete(&subscriber{}).Error })
		}
	}),
	refusesSearches("A value that cannot be had: its key source or its `driver.Valuer` fails", errType, "never taken for `IS NULL`, in subqueries neither; nothing is sent", func(s *search) {
		s.refusesValue(s.column, func() any { return down{} })
	}),
	refusesSearches("A value of `encryptedtype` that cannot be sealed", errType, "never taken for `IS NULL`, in subqueries neither; nothing is sent", func(s *search) {
		s.refusesValue("", func() any { return encryptedtype.NewEncrypted(make(chan int)) })
	}),
}

// refusesValue has a value refused in every form of condition, in every statement,
// by itself and in subqueries. The errors
// name the column, unless that is empty.
func (s *search) refusesValue(column string, value func() any) {
	s.Helper()
	conditions := []func() *gorm.DB{
		func() *gorm.DB { return s.fresh().Where(s.by(value())) },
		func() *gorm.DB { return s.fresh().Where(s.by([]any{s.one, value()})) },
		func() *gorm.DB { return s.fresh().Where(s.column, value()) },
		func() *gorm.DB { return s.fresh().Where(s.sql("col = ?"), value()) },
		func() *gorm.DB { return s.fresh().Where(s.sql("col <> ?"), value()) },
		func() *gorm.DB { return s.fresh().Where(s.sql("col IN ?"), []any{value(), s.one}) },
		func() *gorm.DB { return s.fresh().Where(s.sql("col = @v"), map[string]any{"v": value()}) },
		func() *gorm.DB { return s.fresh().Not(s.by(value())) },
		func() *gorm.DB { return s.fresh().Where("name = ?", "dan").Or(s.by(value())) },
		func() *gorm.DB {
			return s.fresh().Where(s.fresh().Where("name = ?", "dan").Or(s.column, value()))
		},
		func() *gorm.DB { return s.fresh().Where(clause.Eq{Column: s.column, Value: value()}) },
		func() *gorm.DB { return s.fresh().Where(clause.Neq{Column: s.column, Value: value()}) },
		func() *gorm.DB { return s.fresh().Where(clause.IN{Column: s.column, Values: []any{value()}}) },
	}
	for _, condition := range conditions {
		inner := func() *gorm.DB { return condition().Model(&subscriber{}).Select("id") }
		for _, query := range []func() *gorm.DB{
			condition,
			func() *gorm.DB { return s.fresh().Where("id IN (?)", inner()) },
			func() *gorm.DB {
				return s.fresh().Where("id IN (?)", s.fresh().Table("(?) AS u", inner()).Select("id"))
			},
		} {
			s.refuses("subscribers", column, func() error { return query().Find(&[]subscriber{}).Error })
			s.refuses("subscribers", column, func() error { return query().Model(&subscriber{}).Update("city", "Oslo").Error })
			s.refuses("subscribers", column, func() error { return query().Delete(&subscriber{}).Error })
		}
	}
	s.refuses("subscribers", column, func() error {
		return s.fresh().Raw(s.sql("SELECT * FROM subscribers WHERE col = ?"), value()).Scan(&[]subscriber{}).Error
	})
	s.refuses("subscribers", column, func() error { return s.fresh().Exec(s.sql("DELETE FROM subscribers WHERE col = ?"), value()).Error })
}

var groupConditions = []row{
	searched(row{path: "`GROUP BY`, `DISTINCT` and `count(DISTINCT col)` of a deterministic column, under one index key", happens: "work, and the group's value opens"}, bothSorts[1:], oneAndTwo[:1], func(s *search) {
		var groups []struct {
			TaxNumber *string
			N         int64
		}
		s.must(s.model().Select("tax_number, count(*) AS n").Group("tax_number").Find(&groups).Error)
		found := map[string]int64{}
		for _, group := range groups {
			if group.TaxNumber == nil {
				group.TaxNumber = new("NULL")
			}
			found[*group.TaxNumber] = group.N
		}
		s.same("the groups", found, map[string]int64{s.one: 2, s.other: 2, "NULL": 1})
		var values, distinct []string
		s.must(s.model().Select("tax_number").Group("subscribers.tax_number").Having("count(*) > ? AND tax_number = ?", 1, s.one).Find(&values).Error)
		s.same("GROUP BY with Having", values, []string{s.one})
		s.must(s.model().Distinct("tax_number").Where("tax_number IN ?", []string{s.one}).Pluck("tax_number", &distinct).Error)
		s.same("DISTINCT", distinct, []string{s.one})
		var n int64
		s.must(s.model().Distinct("tax_number").Count(&n).Error)
		s.same("count(DISTINCT col)", n, int64(2))
	}),
	searched(row{path: "A join of one deterministic column with another that is sealed alike, under one index key", happens: "matches"}, bothSorts[1:], oneAndTwo[:1], func(s *search) {
		s.finds("a join", s.fresh().Joins("JOIN subscribers s ON s.tax_number = subscribers.tax_number AND s.name = ?", "ada"), "ada", "cyd")
		s.finds("a condition", s.fresh().Joins("JOIN subscribers s ON s.id = subscribers.sponsor_id").Where("s.tax_number = subscribers.tax_number"), "cyd", "eve")
	}),
	searched(row{path: "`GROUP BY`, `DISTINCT`, `count(DISTINCT col)` and such a join while two index keys are live", refused: errNotQueryable, happens: "nothing is sent: equal values may be stored as two ciphertexts, until the column is sealed under one key and the other is retired"}, bothSorts[1:], oneAndTwo[1:], func(s *search) {
		for _, query := range []*gorm.DB{
			s.model().Select("tax_number, count(*) AS n").Group("tax_number"), s.model().Distinct("tax_number"),
			s.fresh().Joins("JOIN subscribers s ON s.tax_number = subscribers.tax_number"),
		} {
			s.refuses("subscribers", "tax_number", func() error { return query.Find(&[]subscriber{}).Error })
		}
		s.refuses("subscribers", "tax_number", func() error { return s.model().Distinct("tax_number").Count(new(int64)).Error })
	}),
	searched(row{path: "`GROUP BY` and `count(DISTINCT col)` of a column with a blind index, `GROUP BY` of the index, a join of such columns", refused: errNotQueryable, happens: undecided}, bothSorts[:1], oneAndTwo, func(s *search) {
		s.refuses("subscribers", "email", func() error { return s.model().Select("count(*)").Group("email").Find(&[]int64{}).Error })
		s.refuses("subscribers", "email", func() error { return s.model().Distinct("email").Count(new(int64)).Error })
		s.refuses("subscribers", "email", func() error {
			return s.fresh().Joins("JOIN subscribers s ON s.email = subscribers.email").Find(&[]subscriber{}).Error
		})
		s.refuses("subscribers", "email_index", func() error { return s.model().Select("count(*)").Group("email_index").Find(&[]int64{}).Error })
	}),
}
