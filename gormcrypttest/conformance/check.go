package conformance

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/gormcrypttest"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// check is one run of a row: what the row does goes through it, and it does the
// checks.
type check struct {
	testing.TB
	secrets
	row   *row
	place *place
	keys  *keyring.Keyring

	wire *gormcrypttest.Wire
	pool *sql.DB // over the wire
	log  transcript
	said []string // texts of errors

	// db is what the row uses.
	db *gorm.DB
	// other is another one, with another plugin, to read what db wrote.
	other *gorm.DB

	arguments []argument
	frozen    []string // what the tables must hold in the end, if not nil
	values    int      // how often values were compared
	refusals  int
	failed    map[string]int // how often each of the checks failed
}

// argument is a value of the caller's, and what it was.
type argument struct {
	value  any
	before string
}

func newCheck(t testing.TB, r *row, p *place, keys *keyring.Keyring) *check {
	c := &check{TB: t, row: r, place: p, keys: keys, wire: gormcrypttest.NewSilentWire(t), failed: map[string]int{}}
	c.series, c.watch = r.number, func(markers ...string) { c.wire.Secret(markers...) }
	c.pool = c.wire.Open(p.Driver, p.DSN)
	c.pool.SetMaxOpenConns(4)
	c.db = c.handle(keys)
	return c
}

// handle opens the database again, with a plugin of its own.
func (c *check) handle(keys keyring.Source) *gorm.DB {
	c.Helper()
	db := c.without()
	_, err := register(db, keys, models()...)
	c.must(err)
	c.must(db.SetupJoinTable(&owner{}, "Groups", &membership{}))
	return db
}

// without opens the database again, without a plugin.
func (c *check) without() *gorm.DB {
	c.Helper()
	db, err := gorm.Open(c.place.Dialector(c.pool), &gorm.Config{Logger: c.log.logger(), NamingStrategy: names{}})
	c.must(err)
	return db
}

// fresh returns another *gorm.DB than db, with another plugin.
func (c *check) fresh() *gorm.DB {
	c.Helper()
	if c.other == nil {
		c.other = c.handle(c.keys)
	}
	return c.other
}

// must ends the row if there is an error.
func (c *check) must(err error) {
	c.Helper()
	c.heard(err)
	if err != nil {
		c.fail("run", "%v", err)
		c.FailNow()
	}
}

// heard keeps what an error says.
func (c *check) heard(err error) {
	if err != nil {
		c.said = append(c.said, fmt.Sprintf("%v %+v %#v", err, err, err))
	}
}

// fail notes that one of the checks failed. What one path does wrong, it may do
// many times; that is said only a few times.
func (c *check) fail(check, format string, args ...any) {
	c.Helper()
	const enough = 6
	switch c.failed[check]++; {
	case c.failed[check] == enough:
		c.Errorf("%s: and more", check)
	case c.failed[check] < enough:
		c.Errorf(check+": "+format, args...)
	}
}

// failures names the checks that failed.
func (c *check) failures() string {
	if len(c.failed) == 0 {
		return "run"
	}
	return strings.Join(slices.Sorted(maps.Keys(c.failed)), ", ")
}

// keep returns a value of the caller's, which must be in the end what it is now.
func keep[T any](c *check, value T) T {
	c.arguments = append(c.arguments, argument{value, dump(value)})
	return value
}

// expect is the check of values: a fresh handle reads all rows of a model, with
// what it is related to.
func expect[T any](c *check, want ...*T) {
	c.Helper()
	var got []*T
	db := c.fresh().Preload(clause.Associations)
	if _, ok := any(got).([]*owner); ok {
		db = db.Preload("Company.Country")
	}
	err := db.Order("name").Find(&got).Error
	c.heard(err)
	if err != nil {
		c.values++
		c.fail("value", "reading what was written: %v", err)
		return
	}
	c.same("what was written", got, want)
}

// same is the check of values that are at hand.
func (c *check) same(what string, got, want any) {
	c.Helper()
	c.values++
	if got, want := dump(got), dump(want); got != want {
		c.fail("value", "%s is another:%s", what, difference(got, want))
	}
}

// refuses checks that something is refused as the row says. Its error must name
// the column, unless that is empty, and nothing may be sent.
func (c *check) refuses(table, column string, do func() error) {
	c.Helper()
	c.freeze()
	before := c.wire.Statements()
	err := do()
	c.refused(err, table, column)
	if sent := c.wire.Statements() - before; sent > 0 {
		c.fail("refused", "%d statements were sent", sent)
	}
}

// refused checks an error.
func (c *check) refused(err error, table, column string) {
	c.Helper()
	c.refusals++
	c.heard(err)
	if err == nil || !c.row.refused.matches(err) {
		c.fail("refused", "%s.%s: the error is %v, want %s", table, column, err, c.row.refused.name)
		return
	}
	var detail *gormcrypt.Error
	if column != "" && (!errors.As(err, &detail) || detail.Table != table || detail.Column != column || !strings.Contains(err.Error(), table+"."+column)) {
		c.fail("refused", "the error does not name %s.%s: %v", table, column, err)
	}
}

// freeze has the tables hold in the end what they hold now.
func (c *check) freeze() {
	c.Helper()
	if c.frozen == nil {
		c.frozen = c.contents()
	}
}

// thaw checks that they do.
func (c *check) thaw() {
	c.Helper()
	if c.frozen != nil && !slices.Equal(c.contents(), c.frozen) {
		c.fail("refused", "what is stored has changed")
	}
	c.frozen = nil
}

// contents returns all that the tables hold.
func (c *check) contents() []string {
	c.Helper()
	contents := []string{}
	for _, table := range c.place.tables {
		for _, row := range c.query("SELECT * FROM " + table.name) {
			contents = append(contents, fmt.Sprintf("%s %q", table.name, row))
		}
	}
	slices.Sort(contents)
	return contents
}

// query reads with plain database/sql.
func (c *check) query(query string) [][]any {
	c.Helper()
	rows, err := c.place.raw.Query(query)
	if err != nil {
		c.Fatalf("%s: %v", query, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		c.Fatal(err)
	}
	var all [][]any
	for rows.Next() {
		row := make([]any, len(columns))
		for i := range row {
			row[i] = new(any)
		}
		if err := rows.Scan(row...); err != nil {
			c.Fatal(err)
		}
		for i := range row {
			row[i] = *row[i].(*any)
			if text, ok := row[i].([]byte); ok {
				row[i] = string(text)
			}
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		c.Fatal(err)
	}
	return all
}

// execute changes the tables with plain database/sql, past GORM and the wire.
func (c *check) execute(statement string) {
	c.Helper()
	if _, err := c.place.raw.Exec(statement); err != nil {
		c.Fatalf("%s: %v", statement, err)
	}
}

// finish does the checks that are the same for every row.
func (c *check) finish() {
	c.Helper()
	if c.row.refused == nil && c.values == 0 && !c.Failed() {
		c.fail("run", "the row compares no value")
	}
	if c.row.refused != nil && c.refusals == 0 && !c.Failed() {
		c.fail("run", "the row has nothing refused")
	}
	c.checkStored()
	c.thaw()
	for _, leak := range c.wire.Leaks() {
		c.fail("wire", "%v", leak)
	}
	for _, text := range append(c.said, strings.Split(c.log.String(), "\n")...) {
		if found := c.in(text); len(found) > 0 {
			c.fail("said", "%q is in %.300q", found, text)
		}
	}
	for _, argument := range c.arguments {
		if now := dump(argument.value); now != argument.before {
			c.fail("said", "an argument was changed:%s", difference(now, argument.before))
		}
	}
}

// checkStored looks at the values of all encrypted columns, and of all blind
// indexes.
func (c *check) checkStored() {
	c.Helper()
	for _, table := range c.place.tables {
		c.requireSealed(table.name, table.encrypted...)
		if len(table.indexes) > 0 {
			c.requirePrefix("i", table.name, table.indexes...)
		}
	}
}

// requireSealed is the check of what is stored.
func (c *check) requireSealed(table string, columns ...string) {
	c.Helper()
	c.requirePrefix("gc1:", table, columns...)
}

func (c *check) requirePrefix(prefix, table string, columns ...string) {
	c.Helper()
	for _, row := range c.query("SELECT " + strings.Join(columns, ", ") + " FROM " + table) {
		for i, value := range row {
			if text, ok := value.(string); value != nil && (!ok || !strings.HasPrefix(text, prefix)) {
				c.fail("stored", "%s.%s holds a %T, %.20q", table, columns[i], value, fmt.Sprint(value))
			}
		}
	}
}

// requireNull checks that nothing is stored in some columns.
func (c *check) requireNull(table string, columns ...string) {
	c.Helper()
	for _, row := range c.query("SELECT " + strings.Join(columns, ", ") + " FROM " + table) {
		for i, value := range row {
			if value != nil {
				c.fail("stored", "%s.%s is not NULL", table, columns[i])
			}
		}
	}
}
