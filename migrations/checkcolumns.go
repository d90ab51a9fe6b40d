package migrations

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// place is where a column, or a blind index, is in the database.
type place struct{ table, column string }

func (p place) String() string { return p.table + "." + p.column }

// declared is a column, or a blind index, of today's models.
type declared[T manifest.Column | manifest.Index] struct {
	it      T
	at      place
	context manifest.Context
	model   *gormcrypt.Declaration
}

// stored is the same of the manifest.
type stored[T manifest.Column | manifest.Index] struct {
	it      T
	at      place
	context manifest.Context
	table   manifest.Table
}

// comparison finds what has changed between a manifest and today's models.
type comparison struct {
	columns      []stored[manifest.Column]
	indexes      []stored[manifest.Index]
	columnsToday []declared[manifest.Column]
	indexesToday []declared[manifest.Index]
	// tables has today's by name; storedTables the names in the manifest.
	tables       map[string]*gormcrypt.Declaration
	storedTables map[string]bool
	// heirs are the columns of today that read what is stored in those of the
	// manifest, and origins the reverse. Where none does, the one that the column was
	// probably renamed to is an heir, and among those likely.
	heirs   map[place][]declared[manifest.Column]
	origins map[place]stored[manifest.Column]
	likely  map[place]bool
	// indexHeirs and indexOrigins are the same of blind indexes, the certain ones.
	indexHeirs   map[place]declared[manifest.Index]
	indexOrigins map[place]stored[manifest.Index]
	// sample is a column to try types with.
	sample *ciphertext.Column
	found  []*Change
}

func newComparison(m manifest.Manifest, today []gormcrypt.Declaration) (*comparison, error) {
	c := &comparison{
		tables: map[string]*gormcrypt.Declaration{}, storedTables: map[string]bool{},
		heirs: map[place][]declared[manifest.Column]{}, origins: map[place]stored[manifest.Column]{}, likely: map[place]bool{},
		indexHeirs: map[place]declared[manifest.Index]{}, indexOrigins: map[place]stored[manifest.Index]{},
	}
	for _, table := range m.Tables {
		c.storedTables[table.Name] = true
		for _, column := range table.Columns {
			c.columns = append(c.columns, stored[manifest.Column]{column, place{table.Name, column.Name}, column.Context, table})
		}
		for _, x := range table.Indexes {
			c.indexes = append(c.indexes, stored[manifest.Index]{x, place{table.Name, x.Name}, x.Context, table})
		}
	}
	for i := range today {
		model := &today[i]
		c.tables[model.Name] = model
		for _, column := range model.Columns {
			c.columnsToday = append(c.columnsToday, declared[manifest.Column]{column, place{model.Name, column.Name}, column.Context, model})
		}
		for _, x := range model.Indexes {
			c.indexesToday = append(c.indexesToday, declared[manifest.Index]{x, place{model.Name, x.Name}, x.Context, model})
		}
	}
	keys, err := keyring.Generate()
	if err != nil {
		return nil, err
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		return nil, err
	}
	c.sample, err = cipher.Column(ciphertext.ColumnConfig{Table: "table", Column: "column"})
	return c, err
}

// follow returns what may have the data of a column, or an index, today: what has
// its context, and otherwise what has its place. Structs that results are read into
// and copies of a table have the context too, and do not count beside the table.
func follow[T manifest.Column | manifest.Index](before stored[T], all []stored[T], today []declared[T]) []declared[T] {
	var here, renamed, moved []declared[T]
	for _, d := range today {
		switch {
		case d.at == before.at:
			here = append(here, d)
		case isStored(all, d.at) || d.context != before.context:
		case d.at.table == before.at.table:
			renamed = append(renamed, d)
		default:
			moved = append(moved, d)
		}
	}
	switch {
	case len(here) > 0 && (here[0].context == before.context || len(renamed) == 0):
		return here
	case len(renamed) > 0:
		return renamed
	}
	return moved
}

func isStored[T manifest.Column | manifest.Index](all []stored[T], at place) bool {
	return slices.ContainsFunc(all, func(s stored[T]) bool { return s.at == at })
}

func (c *comparison) compareColumns() {
	for _, before := range c.columns {
		heirs := follow(before, c.columns, c.columnsToday)
		if len(heirs) == 0 {
			if before.it.Migrating != "read" { // whose values are plaintext
				c.orphan(before)
			}
			continue
		}
		var fewest []*Change // one that reads it all is enough
		for i, heir := range heirs {
			if changes := c.compareColumn(before, heir); i == 0 || len(changes) < len(fewest) {
				fewest = changes
			}
			c.origins[heir.at] = before
		}
		c.heirs[before.at] = heirs
		c.found = append(c.found, fewest...)
	}
	for _, d := range c.columnsToday {
		if _, ok := c.origins[d.at]; !ok && d.it.Migrating == "write" && !c.likely[d.at] && !c.hasContext(d.context) {
			c.report(d.at, "it is migrating=write, and programs of the last deployment take its ciphertext for plaintext",
				"deploy it with migrating=read first; or, if the column is new and empty, leave migrating= out")
		}
	}
}

func (c *comparison) report(at place, problem, fix string) {
	c.found = append(c.found, &Change{at.table, at.column, problem, fix})
}

// hasContext reports whether the manifest has a column of that context.
func (c *comparison) hasContext(context manifest.Context) bool {
	return slices.ContainsFunc(c.columns, func(s stored[manifest.Column]) bool { return s.context == context })
}

// orphan reports a column that no model has.
func (c *comparison) orphan(before stored[manifest.Column]) {
	step := "migrating=write, and then migrating=read,"
	if before.it.Migrating == "write" {
		step = "migrating=read"
	}
	if t := c.tables[before.at.table]; t != nil && slices.Contains(t.Names, before.at.column) {
		c.report(before.at, "it is not encrypted any more, so that its ciphertext would be taken for plaintext",
			`mark it with serializer:encrypted again; if it is to be plaintext again, deploy it with `+step+` first`)
		return
	}
	rename := "if it was renamed or moved, add " + tagOf(before.context) + " to the encrypt tag of the field that has it now"
	if heir, ok := c.likelyHeir(before); ok {
		c.heirs[before.at] = append(c.heirs[before.at], heir)
		c.likely[heir.at] = true
		rename = "if it was renamed to " + heir.at.String() + ", add " + tagOf(before.context) + " to the encrypt tag of that"
	}
	for _, x := range c.indexes {
		if _, ok := c.indexHeirs[x.at]; !ok && x.at.table == before.at.table && slices.Contains(x.it.Of, before.at.column) {
			rename += ", and " + tagOf(x.context) + " to that of its blind index"
		}
	}
	c.report(before.at, "no model has this encrypted column any more",
		rename+"; if it is to be plaintext again, deploy it with "+step+" first; if it is dropped, write the manifest again")
}

// tagOf returns the option that gives a column a context.
func tagOf(context manifest.Context) string {
	return "context=" + context.Table + "." + context.Column
}

// likelyHeir returns the one column of today that a column of the manifest may have
// been renamed to: a new one in its table or, if that is gone, in a new table.
func (c *comparison) likelyHeir(before stored[manifest.Column]) (declared[manifest.Column], bool) {
	var alike, named []declared[manifest.Column]
	for _, d := range c.columnsToday {
		inPlace := d.at.table == before.at.table
		if c.tables[before.at.table] == nil {
			inPlace = !c.storedTables[d.at.table]
		}
		likened := d
		likened.context = before.context
		if !inPlace || isStored(c.columns, d.at) || c.hasContext(d.context) || d.it.Type != before.it.Type || d.it.Binary != before.it.Binary || len(c.compareColumn(before, likened)) > 0 {
			continue
		}
		alike = append(alike, d)
		if d.at.column == before.at.column {
			named = append(named, d)
		}
	}
	switch {
	case len(named) == 1:
		return named[0], true
	case len(alike) == 1:
		return alike[0], true
	}
	return declared[manifest.Column]{}, false
}

// compareColumn returns why values of a column would not open, or not be found, in
// the column that has them today.
func (c *comparison) compareColumn(before stored[manifest.Column], d declared[manifest.Column]) []*Change {
	var found []*Change
	report := func(problem, fix string) {
		found = append(found, &Change{before.at.table, before.at.column, problem, fix})
	}
	if before.context != d.context {
		report(fmt.Sprintf("its context was %s.%s and is %s.%s, so its values do not open", before.context.Table, before.context.Column, d.context.Table, d.context.Column),
			"write "+tagOf(before.context)+" in its encrypt tag")
	}
	if !c.sameBind(before, d) {
		report(fmt.Sprintf("its values are bound to %s, and do not open bound to %s", list(before.it.Bind), list(d.it.Bind)),
			"leave bind= as it was, in the same order, or put the values into a new column")
	}
	opens := c.opens(before.it.Type, d.model.Types[d.at.column])
	if !opens {
		report(fmt.Sprintf("its values are of the type %s, and do not open as %s", before.it.Type, d.model.Types[d.at.column]),
			"leave the type as it was, or put the values into a new column")
	}
	was, is := before.it, d.it
	if was.Binary && !is.Binary {
		report("its column was of bytes and is of text: values open in a column of bytes, but AutoMigrate alters it, and PostgreSQL then stores hexadecimal digits, which do not open",
			"leave its type as it was, or put the values into a new column")
	}
	switch {
	case !was.Deterministic && is.Deterministic:
		report("it is deterministic now: stored values open, but are not found, nor kept unique",
			"add a blind index with migrating=read instead, or put the values into a new column")
	case was.Deterministic && !is.Deterministic:
		report("it is not deterministic any more: stored values open, but nothing is found by it, nor kept unique",
			"leave deterministic; if neither is needed any more, write the manifest again")
	case was.Deterministic && opens:
		if changed := form(was, is); len(changed) > 0 {
			report("it is deterministic, and "+strings.Join(changed, ", and ")+": stored values open, but are not found, nor kept unique",
				"leave that as it was, or put the values into a new column")
		}
	}
	switch {
	case was.Migrating == "" && is.Migrating == "read":
		report("it is migrating=read, and programs of the last deployment do not read the plaintext that it writes",
			"deploy it with migrating=write in between")
	case was.Migrating == "read" && is.Migrating == "":
		report("it is not migrating any more, and was migrating=read: rows with plaintext are not read",
			"deploy it with migrating=write in between, and finish its migration")
	}
	return found
}

// list names what values are bound to.
func list(bind []manifest.Bound) string {
	if len(bind) == 0 {
		return "nothing"
	}
	var names []string
	for _, bound := range bind {
		names = append(names, bound.Column+" ("+string(bound.Type)+")")
	}
	return strings.Join(names, ", ")
}

// sameBind reports whether values have the same associated data. That holds the
// values that they are bound to, in order and by type, and not their names.
func (c *comparison) sameBind(before stored[manifest.Column], d declared[manifest.Column]) bool {
	return slices.EqualFunc(before.it.Bind, d.it.Bind, func(was, is manifest.Bound) bool {
		return was.Type == is.Type && (strings.EqualFold(was.Column, is.Column) || isRename(before.table, was.Column, d.model, is.Column))
	})
}

// isRename reports whether a column that is not encrypted may have been renamed: the
// one is gone, and the other was not there. The manifest does not name all that was.
func isRename(before manifest.Table, was string, today *gormcrypt.Declaration, is string) bool {
	there := slices.Contains(before.PrimaryKey, is)
	for _, column := range before.Columns {
		there = there || column.Name == is || slices.ContainsFunc(column.Bind, func(bound manifest.Bound) bool { return bound.Column == is })
	}
	return !there && !slices.Contains(today.Names, was)
}

// form returns what makes equal values of a deterministic column have other
// ciphertexts, though they open.
func form(was, is manifest.Column) []string {
	var changed []string
	if was.Pad != is.Pad {
		changed = append(changed, fmt.Sprintf("its pad= was %d and is %d", was.Pad, is.Pad))
	}
	if was.Binary != is.Binary {
		changed = append(changed, "the type of its column changed between text and bytes")
	}
	if was.Named != is.Named {
		changed = append(changed, "its type became one of package encryptedtype, or was one")
	}
	if otherKind(was, is) {
		changed = append(changed, fmt.Sprintf("its values were of the type %s and are of the type %s", was.Type, is.Type))
	}
	return changed
}

// otherKind reports whether equal values are encoded otherwise.
func otherKind(was, is manifest.Column) bool {
	return was.Type != is.Type && was.Type != manifest.AnyValue && is.Type != manifest.AnyValue
}

// samples are values of each type that is sealed. None of them would be taken by
// chance for one of another type, as 1 is for true.
var samples = map[manifest.ValueType][]any{
	manifest.StringValue: {"a"},
	manifest.BytesValue:  {[]byte("a")},
	manifest.IntValue:    {int64(2)},
	manifest.UintValue:   {uint64(2)},
	manifest.FloatValue:  {1.5},
	manifest.BoolValue:   {true},
	manifest.TimeValue:   {time.Unix(1, 0)},
	manifest.JSONValue:   {map[string]string{"a": "b"}, []string{"a"}},
}

// opens reports whether values that were sealed as a type open in a Go type. It
// tries: what a Scan method takes is its own affair.
func (c *comparison) opens(as manifest.ValueType, in reflect.Type) bool {
	if as == manifest.AnyValue {
		return true // or not, each by itself
	}
	return slices.ContainsFunc(samples[as], func(sample any) bool {
		sealed, err := c.sample.Seal(nil, sample)
		return err == nil && c.sample.Open(reflect.New(in).Interface(), sealed) == nil
	})
}
