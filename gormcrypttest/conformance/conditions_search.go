package conformance

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Conditions on columns whose values can be found.

// search is a table of subscribers that is searched by one of their columns: ada
// and cyd have one value in it, bob and eve another, and dan has NULL.
type search struct {
	*check
	field, column string
	one, other    string
	rows          []*subscriber
}

// everyone are the names of the subscribers.
var everyone = []string{"ada", "bob", "cyd", "dan", "eve"}

var (
	bothSorts = []string{"Email", "TaxNumber"}
	oneAndTwo = []int{1, 2} // live index keys
)

// searches is a row that does the same by each sort of column, with one index key
// and with two.
func searches(path, happens string, run func(s *search)) row {
	return searched(row{path: path, happens: happens}, bothSorts, oneAndTwo, run)
}

// refusesSearches is a row that has the same refused.
func refusesSearches(path string, refused *refusal, happens string, run func(s *search)) row {
	return searched(row{path: path, refused: refused, happens: happens}, bothSorts, oneAndTwo, run)
}

// searched returns a row that runs by each of the fields, with so many live keys.
func searched(r row, fields []string, live []int, run func(s *search)) row {
	r.run = func(c *check) {
		keys := c.keys
		for _, n := range live {
			for _, field := range fields {
				run(c.search(keys, field, n))
				c.thaw()
				c.checkStored()
				c.place.clear(c)
			}
		}
	}
	return r
}

// search fills the table. With two keys, ada and bob are written under the first
// one, and the others when the second one seals.
func (c *check) search(keys *keyring.Keyring, field string, live int) *search {
	c.Helper()
	s := &search{check: c, field: field, column: map[string]string{"Email": "email", "TaxNumber": "tax_number"}[field], one: c.text(), other: c.text()}
	first := keys
	if live == 2 {
		added, version, err := keys.Add(keyring.IndexKeys)
		c.must(err)
		first = added
		keys, err = added.Promote(version)
		c.must(err)
	}
	if c.keys != keys {
		c.keys, c.other = keys, nil
	}
	c.db = c.handle(first)
	for i, name := range everyone {
		person := &subscriber{Name: name, City: "London", Email: new(c.text()), TaxNumber: new(c.text()), Note: c.text()}
		s.set(person, []*string{&s.one, &s.other, &s.one, nil, &s.other}[i])
		s.rows = append(s.rows, person)
	}
	c.must(c.db.Create(s.rows[:2]).Error)
	c.must(c.db.Plugins["gormcrypt"].(*gormcrypt.Plugin).SetKeys(c.Context(), keys))
	for i, sponsor := range []int{0, 2, 1} {
		s.rows[2+i].SponsorID = &s.rows[sponsor].ID
		c.must(c.db.Create(s.rows[2+i]).Error)
	}
	s.requireVersions(live)
	s.fresh() // GORM asks a database for its version
	return s
}

// requireVersions checks that so many key versions are in what is searched.
func (s *search) requireVersions(live int) {
	s.Helper()
	column, prefix := s.column, "gc1:i%d:"
	if s.field == "Email" {
		column, prefix = "email_index", "i%d:"
	}
	found := map[string]bool{}
	for _, row := range s.query("SELECT " + column + " FROM subscribers WHERE " + column + " IS NOT NULL") {
		for version := 1; version <= 2; version++ {
			if prefix := fmt.Sprintf(prefix, version); strings.HasPrefix(row[0].(string), prefix) {
				found[prefix] = true
			}
		}
	}
	if len(found) != live {
		s.fail("stored", "%s is under the keys %v", column, found)
	}
}

// value returns the field that is searched, and set sets it.
func (s *search) value(of *subscriber) reflect.Value {
	return reflect.ValueOf(of).Elem().FieldByName(s.field)
}

func (s *search) set(of *subscriber, value *string) { s.value(of).Set(reflect.ValueOf(value)) }

// like returns a subscriber with nothing but a value to search for.
func (s *search) like(value string) *subscriber {
	person := &subscriber{}
	s.set(person, &value)
	return keep(s.check, person)
}

// fresh returns a *gorm.DB that did not write the rows.
func (s *search) fresh() *gorm.DB { return s.check.fresh().Session(&gorm.Session{NewDB: true}) }

// model returns it with the model.
func (s *search) model() *gorm.DB { return s.fresh().Model(&subscriber{}) }

// sql returns SQL with the name of the column where it says col.
func (s *search) sql(text string) string { return strings.ReplaceAll(text, "col", s.column) }

// by returns a map with a value for the column.
func (s *search) by(value any) map[string]any {
	return keep(s.check, map[string]any{s.column: value})
}

// people are the subscribers with these names.
func (s *search) people(names ...string) []*subscriber {
	found := []*subscriber{}
	for _, name := range names {
		found = append(found, s.rows[slices.Index(everyone, name)])
	}
	return found
}

// sponsored are the same with their sponsors.
func (s *search) sponsored(names ...string) []*subscriber {
	people := s.people(names...)
	for i, person := range people {
		with := *person
		for _, sponsor := range s.rows {
			if person.SponsorID != nil && *person.SponsorID == sponsor.ID {
				with.Sponsor = sponsor
			}
		}
		people[i] = &with
	}
	return people
}

// finds checks whom a query finds, with all that they have.
func (s *search) finds(what string, query *gorm.DB, names ...string) {
	s.Helper()
	var got []*subscriber
	err := query.Find(&got).Error
	if s.heard(err); err != nil {
		s.values++
		s.fail("value", "%s: %v", what, err)
		return
	}
	s.same(what, got, s.people(names...))
}

// findsG checks whom a query of the generic API finds.
func (s *search) findsG(what string, query interface {
	Find(ctx context.Context) ([]*subscriber, error)
}, names ...string) {
	s.Helper()
	got, err := query.Find(s.Context())
	s.must(err)
	s.same(what, got, s.people(names...))
}

// changes checks how many rows a statement works on.
func (s *search) changes(what string, rows int64, tx *gorm.DB) {
	s.Helper()
	s.must(tx.Error)
	s.same(what+": the number of rows", tx.RowsAffected, rows)
}

// stay checks who is left in the table, and that they are as they were.
func (s *search) stay(names ...string) {
	s.Helper()
	s.finds("who is left", s.fresh(), names...)
}
