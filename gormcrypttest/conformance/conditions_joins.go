package conformance

import (
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Conditions on the columns of joined tables, and in subqueries. The sponsor of
// cyd is ada, that of dan is cyd, and that of eve is bob.

var joinConditions = []row{
	searches("`Joins(\"JOIN ... ON t.col = ?\", v)`, `LEFT JOIN`; conditions on the joined table and on both", found, func(s *search) {
		join := "JOIN subscribers s ON s.id = subscribers.sponsor_id"
		s.finds("ON", s.fresh().Joins(s.sql(join+" AND s.col = ?"), s.one), "cyd", "dan")
		s.finds("WHERE", s.fresh().Joins(join).Where(s.sql("s.col = ?"), s.one), "cyd", "dan")
		s.finds("both tables", s.fresh().Joins(join).Where(s.sql("s.col = ? AND subscribers.col = ?"), s.one, s.one), "cyd")
		s.finds("both, by ON and WHERE", s.fresh().Joins(s.sql(join+" AND s.col <> ?"), s.one).Where(s.sql("subscribers.col = ?"), s.other), "eve")
		s.finds("a plain column between", s.fresh().Joins(s.sql(join+" AND s.name = ? AND s.col = ?"), "cyd", s.one).Where("subscribers.name = ?", "dan"), "dan")
		s.finds("LEFT JOIN", s.fresh().Joins(s.sql("LEFT "+join+" AND s.col = ?"), s.one).Where("s.id IS NULL"), "ada", "bob", "eve")
		s.finds("a comma", s.fresh().Table("subscribers, subscribers s").Select("subscribers.*").Where(s.sql("s.id = subscribers.sponsor_id AND s.col IN ?"), []string{s.one}), "cyd", "dan")
	}),
	searches("`Joins(\"Relation\")` and a condition on the relation's column, by text, map and clause", found, func(s *search) {
		for what, query := range map[string]*gorm.DB{
			"text":   s.fresh().Joins("Sponsor").Where(s.fresh().Statement.Quote("Sponsor."+s.column)+" = ?", s.one),
			"a map":  s.fresh().Joins("Sponsor").Where(keep(s.check, map[string]any{"Sponsor." + s.column: s.one})),
			"clause": s.fresh().InnerJoins("Sponsor").Where(clause.Eq{Column: clause.Column{Table: "Sponsor", Name: s.column}, Value: s.one}),
		} {
			var got []*subscriber
			s.must(query.Find(&got).Error)
			s.same(what, got, s.sponsored("cyd", "dan"))
		}
	}),
	searches("`Joins(\"Relation\", db.Where(...))`, `InnerJoins`; `G[T].Joins` with `Where`", found, func(s *search) {
		for what, query := range map[string]*gorm.DB{
			"a struct": s.fresh().InnerJoins("Sponsor", s.fresh().Where(s.like(s.one))),
			"a map":    s.fresh().InnerJoins("Sponsor", s.fresh().Where(s.by(s.one))),
		} {
			var got []*subscriber
			s.must(query.Find(&got).Error)
			s.same(what, got, s.sponsored("cyd", "dan"))
		}
		var left []*subscriber
		s.must(s.fresh().Joins("Sponsor", s.fresh().Where(s.like(s.other))).Where("subscribers.name IN ?", []string{"dan", "eve"}).Find(&left).Error)
		s.same("a left join", left, append(s.people("dan"), s.sponsored("eve")...))
		got, err := s.G().Joins(clause.InnerJoin.Association("Sponsor"), func(on gorm.JoinBuilder, _, _ clause.Table) error {
			on.Where(s.by(s.one))
			return nil
		}).Find(s.Context())
		s.must(err)
		s.same("G", got, s.sponsored("cyd", "dan"))
	}),
	searches("`Preload(\"Relation\", \"col = ?\", v)`, with a function; `G[T].Preload`", found, func(s *search) {
		want := append(s.people("ada", "bob", "eve"), s.sponsored("cyd", "dan")...)
		for what, query := range map[string]*gorm.DB{
			"text":       s.fresh().Preload("Sponsor", s.sql("col = ?"), s.one),
			"a map":      s.fresh().Preload("Sponsor", s.by(s.one)),
			"a function": s.fresh().Preload("Sponsor", func(tx *gorm.DB) *gorm.DB { return tx.Where(s.sql("col = ?"), s.one) }),
		} {
			var got []*subscriber
			s.must(query.Find(&got).Error)
			s.same(what, got, want)
		}
		got, err := s.G().Preload("Sponsor", func(on gorm.PreloadBuilder) error {
			on.Where(s.sql("col = ?"), s.one)
			return nil
		}).Find(s.Context())
		s.must(err)
		s.same("G", got, want)
	}),
}

var subqueryConditions = []row{
	searches("A subquery in `Where`: `IN (?)`, `EXISTS (?)`, as text, of `Raw`, in a subquery", found, func(s *search) {
		ids := func() *gorm.DB { return s.model().Select("id").Where(s.sql("col = ?"), s.one) }
		s.finds("IN", s.fresh().Where("id IN (?)", ids()), "ada", "cyd")
		s.finds("NOT IN", s.fresh().Where("id NOT IN (?)", ids()), "bob", "dan", "eve")
		s.finds("by a map", s.fresh().Where("id IN (?)", s.model().Select("id").Where(s.by(s.one))), "ada", "cyd")
		s.finds("arguments around it", s.fresh().Where(s.sql("name <> ? AND id IN (?) AND col IN ?"), "ada", ids(), []string{s.one, s.other}), "cyd")
		s.finds("EXISTS", s.fresh().Where("EXISTS (?)", s.fresh().Table("subscribers AS s").Select("1").Where(s.sql("s.id = subscribers.sponsor_id AND s.col = ?"), s.one)), "cyd", "dan")
		s.finds("text", s.fresh().Where(s.sql("id IN (SELECT s.id FROM subscribers s WHERE s.col = ?)"), s.one), "ada", "cyd")
		s.finds("of Raw", s.fresh().Where("id IN (?)", s.fresh().Raw(s.sql("SELECT id FROM subscribers WHERE col = ?"), s.one)), "ada", "cyd")
		s.finds("in a subquery", s.fresh().Where("id IN (?)", s.model().Select("id").Where("id IN (?)", ids())), "ada", "cyd")
		s.finds("a correlated column", s.fresh().Where(s.sql("EXISTS (SELECT 1 FROM subscribers s WHERE s.sponsor_id = subscribers.id AND subscribers.col = ?)"), s.one), "ada", "cyd")
		s.findsG("G", s.G().Where("id IN (?)", ids()), "ada", "cyd")
	}),
	searches("A condition in `Having`, by itself and in a subquery", found, func(s *search) {
		var sponsors []int64
		s.must(s.model().Select("count(*)").Group("sponsor_id").Having("sponsor_id IN (?)", s.model().Select("id").Where(s.sql("col = ?"), s.one)).Find(&sponsors).Error)
		s.same("in a subquery", sponsors, []int64{1, 1})
		var names []string
		s.must(s.model().Select("name").Group(s.sql("name, id, subscribers.city")).Having("name <> ? AND id IN (?)", "ada", s.model().Select("id").Where(s.by(s.one))).Find(&names).Error)
		s.same("behind an argument", names, []string{"cyd"})
	}),
	searches("`Table(\"(?) AS u\", db)` with a condition, inside or outside", found, func(s *search) {
		s.finds("inside", s.fresh().Table("(?) AS u", s.model().Where(s.sql("col = ?"), s.one)), "ada", "cyd")
		s.finds("outside", s.fresh().Table("(?) AS u", s.model()).Where(s.sql("u.col = ?"), s.one), "ada", "cyd")
		s.finds("outside, without the table", s.fresh().Table("(?) AS u", s.model()).Where(s.sql("col <> ?"), s.one), "bob", "eve")
		s.finds("both", s.fresh().Table("(?) AS u", s.model().Where(s.sql("col = ?"), s.one)).Where(s.sql("u.name = ? AND u.col = ?"), "cyd", s.one), "cyd")
	}),
	searches("`Joins(\"JOIN (?) AS u ON ...\", db)` with a condition", found, func(s *search) {
		sponsors := func() *gorm.DB { return s.model().Select("id").Where(s.sql("col = ?"), s.one) }
		s.finds("inside", s.fresh().Joins("JOIN (?) AS u ON u.id = subscribers.sponsor_id", sponsors()), "cyd", "dan")
		s.finds("and outside", s.fresh().Joins("JOIN (?) AS u ON u.id = subscribers.sponsor_id", sponsors()).Where(s.sql("subscribers.col = ?"), s.one), "cyd")
		s.finds("ON", s.fresh().Joins(s.sql("JOIN (?) AS u ON u.id = subscribers.sponsor_id AND u.col = ?"), s.model(), s.other), "eve")
	}),
}
