package conformance

import (
	"errors"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// Statements that have such conditions, but for joins and subqueries.

var statementConditions = []row{
	searches("`Count`, `Pluck`, `Scan`, `FindInBatches`, `Rows` and reads into maps by such a condition", found, func(s *search) {
		var n int64
		s.must(s.model().Where(s.sql("col = ?"), s.one).Count(&n).Error)
		s.same("Count", n, int64(2))
		var values []string
		s.must(s.model().Where(s.sql("col = ?"), s.one).Pluck(s.column, &values).Error)
		s.same("Pluck", values, []string{s.one, s.one})
		var note string
		s.must(s.model().Select("note").Where(s.sql("col = ? AND name = ?"), s.one, "cyd").Scan(&note).Error)
		s.same("Scan", note, s.rows[2].Note)
		var maps []map[string]any
		s.must(s.model().Select("name", s.column).Where(s.by(s.other)).Order("name").Find(&maps).Error)
		s.same("maps", maps, []map[string]any{{"name": "bob", s.column: &s.other}, {"name": "eve", s.column: &s.other}})
		var batch, all []*subscriber
		s.must(s.fresh().Where(s.sql("col = ?"), s.one).FindInBatches(&batch, 1, func(*gorm.DB, int) error { all = append(all, batch...); return nil }).Error)
		s.same("FindInBatches", all, s.people("ada", "cyd"))
		rows, err := s.model().Where(s.sql("col = ?"), s.one).Rows()
		s.must(err)
		defer rows.Close()
		var read []*subscriber
		for rows.Next() {
			var one subscriber
			s.must(s.fresh().ScanRows(rows, &one))
			read = append(read, &one)
		}
		s.must(rows.Err())
		s.same("Rows", read, s.people("ada", "cyd"))
		count, err := s.G().Where(s.sql("col = ?"), s.one).Count(s.Context(), "*")
		s.must(err)
		s.same("G.Count", count, int64(2))
	}),
	searches("`Update`, `Updates`, `UpdateColumns` and `Delete` by such a condition; of the column itself", found+"; nothing else is changed", func(s *search) {
		model := func() *gorm.DB { return s.db.Session(&gorm.Session{NewDB: true}).Model(&subscriber{}) }
		s.changes("Update", 2, model().Where(s.sql("col = ?"), s.one).Update("city", "Oslo"))
		s.rows[0].City, s.rows[2].City = "Oslo", "Oslo"
		note := s.text()
		s.changes("Updates of a map", 2, model().Where(s.by(s.other)).Updates(keep(s.check, map[string]any{"note": note})))
		s.changes("UpdateColumns of a struct", 2, model().Where(s.sql("col IN ?"), []string{s.other, s.text()}).UpdateColumns(&subscriber{City: "Rome"}))
		for _, person := range s.people("bob", "eve") {
			person.Note, person.City = note, "Rome"
		}
		s.stay(everyone...)
		other := s.text()
		s.changes("Update of the column itself", 1, model().Where(s.sql("col = ? AND name = ?"), s.one, "ada").Update(s.column, other))
		s.set(s.rows[0], &other)
		s.finds("the new value", s.fresh().Where(s.sql("col = ?"), other), "ada")
		s.finds("the old one", s.fresh().Where(s.sql("col = ?"), s.one), "cyd")
		n, err := gorm.G[*subscriber](s.db).Where(s.sql("col = ?"), s.one).Update(s.Context(), "city", "Bath")
		s.must(err)
		s.rows[2].City = "Bath"
		s.same("G.Update", n, 1)
		s.changes("Delete", 2, model().Where(s.sql("col = ?"), s.other).Delete(&subscriber{}))
		n, err = gorm.G[*subscriber](s.db).Where(s.by(s.one)).Delete(s.Context())
		s.must(err)
		s.same("G.Delete", n, 1)
		s.stay("ada", "dan")
	}),
	searches("`FirstOrCreate` and `FirstOrInit` by such a condition, as a map and as a struct", "finds the row that there is; creates one with the value, sealed, when there is none", func(s *search) {
		for what, query := range map[string]*gorm.DB{"a map": s.db.Where(s.by(s.one)), "a struct": s.db.Where(s.like(s.one))} {
			var got, init subscriber
			s.must(query.Session(&gorm.Session{}).FirstOrCreate(&got).Error)
			s.same("FirstOrCreate by "+what, []*subscriber{&got}, s.people("ada"))
			s.must(query.Session(&gorm.Session{}).FirstOrInit(&init).Error)
			s.same("FirstOrInit by "+what, []*subscriber{&init}, s.people("ada"))
		}
		fay := s.like(s.text())
		var init, created subscriber
		s.must(s.db.Where(fay).FirstOrInit(&init).Error)
		s.same("FirstOrInit of a new one", &init, fay)
		s.must(s.db.Where(fay).Attrs(&subscriber{Name: "fay"}).FirstOrCreate(&created).Error)
		want := *fay
		want.Name = "fay"
		s.same("FirstOrCreate of a new one", &created, &want)
		s.rows = append(s.rows, &want)
		var got []*subscriber
		s.must(s.fresh().Where(fay).Find(&got).Error)
		s.same("who was created", got, []*subscriber{&want})
	}),
	searches("`Raw(\"SELECT ... WHERE col = ?\", v)`, with an alias, a list, a name, a `UNION`, a common table", found, func(s *search) {
		s.finds("=", s.fresh().Raw(s.sql("SELECT * FROM subscribers WHERE col = ?"), s.one), "ada", "cyd")
		s.finds("an alias", s.fresh().Raw(s.sql("SELECT s.* FROM subscribers s WHERE s.name <> ? AND s.col = ?"), "ada", s.one), "cyd")
		s.finds("a list", s.fresh().Raw(s.sql("SELECT * FROM subscribers WHERE col IN (?, ?) AND name <> ?"), s.one, s.other, "eve"), "ada", "bob", "cyd")
		s.finds("a slice", s.fresh().Raw(s.sql("SELECT * FROM subscribers WHERE col NOT IN ?"), []string{s.one}), "bob", "eve")
		s.finds("a name", s.fresh().Raw(s.sql("SELECT * FROM subscribers WHERE col = @v"), map[string]any{"v": s.one}), "ada", "cyd")
		s.finds("UNION", s.fresh().Raw(s.sql("SELECT * FROM subscribers WHERE col = ? UNION ALL SELECT * FROM subscribers WHERE name = ?"), s.one, "dan"), "ada", "cyd", "dan")
		s.finds("a common table", s.fresh().Raw(s.sql("WITH u AS (SELECT * FROM subscribers WHERE col = ?) SELECT * FROM u WHERE name = ?"), s.one, "cyd"), "cyd")
		s.findsG("G", gorm.G[*subscriber](s.fresh()).Raw(s.sql("SELECT * FROM subscribers WHERE col = ?"), s.one), "ada", "cyd")
		var n int64
		s.must(s.fresh().Raw(s.sql("SELECT count(*) FROM subscribers WHERE col = ?"), s.one).Scan(&n).Error)
		s.same("count(*)", n, int64(2))
	}),
	searches("`Exec(\"UPDATE ... WHERE col = ?\", v)`, `Exec(\"DELETE ... WHERE col = ?\", v)`", found, func(s *search) {
		note := s.text()
		s.changes("UPDATE", 2, s.db.Exec(s.sql("UPDATE subscribers SET note = ?, city = ? WHERE col = ?"), note, "Oslo", s.one))
		for _, person := range s.people("ada", "cyd") {
			person.Note, person.City = note, "Oslo"
		}
		s.stay(everyone...)
		s.changes("DELETE", 2, s.db.Exec(s.sql("DELETE FROM subscribers WHERE col IN ? OR col = ?"), []string{s.other}, s.text()))
		s.stay("ada", "cyd", "dan")
	}),
	searches("Prepared statements, transactions, `Session`, `Scopes`, `DryRun` and `ToSQL` of such a condition", found+"; a dry run has nothing else in it either", func(s *search) {
		prepared := s.fresh().Session(&gorm.Session{PrepareStmt: true})
		for range 2 {
			s.finds("prepared", prepared.Where(s.sql("col = ?"), s.one), "ada", "cyd")
			s.finds("prepared, another value", prepared.Where(s.sql("col = ?"), s.other), "bob", "eve")
		}
		s.must(s.fresh().Transaction(func(tx *gorm.DB) error {
			s.finds("a transaction", tx.Where(s.sql("col = ?"), s.one), "ada", "cyd")
			return nil
		}))
		once := s.fresh().Where(s.sql("col = ?"), s.one).Session(&gorm.Session{})
		s.finds("a session", once, "ada", "cyd")
		s.finds("the session again", once.Where("name = ?", "ada"), "ada")
		s.finds("Scopes", s.fresh().Scopes(func(tx *gorm.DB) *gorm.DB { return tx.Where(s.sql("col = ?"), s.one) }), "ada", "cyd")
		s.finds("Unscoped", s.fresh().Unscoped().Where(s.sql("col = ?"), s.one), "ada", "cyd")
		query := s.fresh().ToSQL(func(tx *gorm.DB) *gorm.DB { return tx.Where(s.sql("col = ?"), s.one).Find(&[]subscriber{}) })
		dry := s.fresh().Session(&gorm.Session{DryRun: true}).Where(s.sql("col = ?"), s.one).Find(&[]subscriber{})
		s.must(dry.Error)
		s.heard(errors.New(query + dry.Statement.SQL.String()))
		if !strings.Contains(query, "i1:") {
			s.fail("value", "a dry run gives %s", query)
		}
	}),
	searched(row{path: "`OnConflict{Where: ...}` with such a condition", happens: "updates the row that is in the way only if it matches", needs: Upserts}, bothSorts, oneAndTwo, func(s *search) {
		set := clause.AssignmentColumns([]string{"city"})
		for _, person := range s.people("ada", "bob") {
			where := clause.Where{Exprs: []clause.Expression{clause.Eq{Column: clause.Column{Table: "subscribers", Name: s.column}, Value: s.one}}}
			s.must(s.db.Clauses(clause.OnConflict{Columns: byName, Where: where, DoUpdates: set}).Create(&subscriber{Name: person.Name, City: "Oslo"}).Error)
		}
		s.rows[0].City = "Oslo"
		s.stay(everyone...)
	}),
}
