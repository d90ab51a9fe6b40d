package gormcrypt

import (
	"context"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// Blind indexes: columns with a keyed hash of what is in encrypted ones. They are
// written when their fields are, and a program cannot set them.

// index is what the tags of a field of type encryptedtype.BlindIndex say.
type index struct {
	*ciphertext.Index
	field *schema.Field
	of    []*policy
	// whole says that equal terms mean equal values, but for spelling: it is of one
	// field, and all of that.
	whole bool
	// normalize are the names in normalize=.
	normalize []string
	// migrating says whether rows may have no term yet.
	migrating migrating
}

var blindIndexType = reflect.TypeFor[encryptedtype.BlindIndex]()

func isBlindIndex(field *schema.Field) bool { return field.IndirectFieldType == blindIndexType }

// parseIndex reads the tags of an index, when those of the model's encrypted
// fields were read.
func (p *Plugin) parseIndex(field *schema.Field, m *modelPolicy) error {
	tag, ok := field.Tag.Lookup(tagName)
	if !ok {
		return modelError(field, "it is a blind index and does not say of what", `add encrypt:"of=Field"`)
	}
	o, err := parseIndexOptions(tag)
	if err != nil {
		return optionError(field, err)
	}
	if field.FieldType != blindIndexType {
		return modelError(field, "it is a pointer to a blind index, and holds nothing that could be nil", "use encryptedtype.BlindIndex itself")
	}
	if err := checkName(field); err != nil {
		return err
	}
	if field.PrimaryKey || field.HasDefaultValue || !isTextType(field) {
		return modelError(field, "it is a blind index with a type, a default or a primary key of its own", "remove that from its gorm tag: its column is text, and the plugin writes it")
	}
	x := &index{field: field, whole: len(o.of) == 1, normalize: o.normalize, migrating: o.migrating}
	for _, name := range o.of {
		policy := m.byField[namedBeside(field, name)]
		switch {
		case policy == nil:
			return modelError(field, "of="+name+" names no encrypted field of the model", "write the Go name of a field that is marked as encrypted")
		case slices.Contains(x.of, policy):
			return modelError(field, "of= names "+name+" twice", "keep one")
		}
		x.of = append(x.of, policy)
	}
	config := ciphertext.IndexConfig{Table: field.Schema.Table, Column: field.DBName, Bits: o.bits, Slow: o.slow}
	if o.table != "" {
		config.Table, config.Column = o.table, o.column
	}
	for _, name := range o.normalize {
		normalize, ok := p.config.Normalizations[name]
		if !ok {
			normalize, ok = ciphertext.Normalization(name)
			x.whole = x.whole && name != "last4" && name != "domain"
		}
		if !ok {
			return modelError(field, "normalize="+name+" is not known", "use lower, trim, digits, email, last4 or domain, or add it to gormcrypt.Config.Normalizations")
		}
		for _, of := range x.of {
			if of.inner.Kind() != reflect.String {
				return modelError(field, "normalize= is for text, and "+of.field.Name+" is a "+of.inner.String(), "remove it")
			}
		}
		config.Normalize = append(config.Normalize, normalize)
	}
	if x.Index, err = p.cipher.Index(config); err != nil {
		return modelError(field, err.Error(), "see the documentation of ciphertext.IndexConfig")
	}
	if x.truncated() && isUnique(field) {
		return modelError(field, "it is unique, and with bits= different values have one term", "remove the constraint, or bits=")
	}
	if err := checkIndexKey(field, p.cipher, "it"); err != nil {
		return err
	}
	if x.whole {
		x.of[0].indexed, x.of[0].building = !x.isBuilding(), x.isBuilding()
	}
	m.indexes = append(m.indexes, x)
	return nil
}

// sameAs reports whether both write what the other finds.
func (x *index) sameAs(other *index) bool {
	return x.field.Tag.Get(tagName) == other.field.Tag.Get(tagName) && x.Table == other.Table && x.Column == other.Column
}

// truncated reports whether values that differ may have one term.
func (x *index) truncated() bool { return x.Bits != 0 }

// index returns the blind index whose column has a name.
func (ms modelPolicies) index(column string) *index {
	for _, m := range ms {
		for _, x := range m.indexes {
			if fold(x.field.DBName) == fold(column) {
				return x
			}
		}
	}
	return nil
}

// indexes returns the blind indexes of a table.
func (ms modelPolicies) indexes() []*index {
	var all []*index
	for _, m := range ms {
		for _, x := range m.indexes {
			if !slices.ContainsFunc(all, func(other *index) bool { return fold(other.field.DBName) == fold(x.field.DBName) }) {
				all = append(all, x)
			}
		}
	}
	return all
}

// searchIndex returns the index by which equal values of a column are found: the
// first whole one, truncated ones last.
func (ms modelPolicies) searchIndex(column string) *index {
	var found *index
	for _, x := range ms.indexes() {
		if x.whole && !x.isBuilding() && fold(x.of[0].field.DBName) == fold(column) && (found == nil || found.truncated() && !x.truncated()) {
			found = x
		}
	}
	return found
}

// term returns what is stored for the values of the index's fields, nil for NULL.
func (x *index) term(ctx context.Context, values []any) (any, error) {
	if x.isLeftNull() {
		return nil, nil
	}
	plaintexts := make([]any, len(values))
	for i, value := range values {
		if _, ok := asSealed(value); ok {
			return nil, x.fail(fmt.Errorf("%w: %s has a blind index, which is of the value itself; pass that", ErrUnsealed, x.of[i].field.Name))
		}
		var err error
		if plaintexts[i], err = x.of[i].fieldPlaintext(ctx, value); err != nil {
			return nil, x.fail(err)
		}
	}
	term, err := x.Term(plaintexts...)
	if ciphertext.IsNull(err) {
		return nil, nil
	}
	return term, err
}

func (x *index) fail(err error) error {
	return &Error{Op: "index", Table: x.Table, Column: x.Column, Err: err}
}

// checkUnset refuses a value that a program gives for the column of the index.
func (x *index) checkUnset(value any) error {
	if _, ok := value.(encryptedtype.BlindIndex); ok || value == nil {
		return nil
	}
	return x.fail(fmt.Errorf("%w: a blind index is written with its fields, and not by the program; leave it out", ErrExpression))
}

// indexRows adds the terms to the rows of an INSERT, of those indexes whose fields
// it writes. The values are those before they are sealed.
func (ms modelPolicies) indexRows(ctx context.Context, values clause.Values) (clause.Values, error) {
	indexes := ms.indexes()
	if len(indexes) == 0 {
		return values, nil
	}
	values.Columns = slices.Clone(values.Columns)
	rows := make([][]any, len(values.Values))
	for i, row := range values.Values {
		rows[i] = slices.Clone(row)
	}
	place := func(field *schema.Field, from int) int {
		for i := from; i < len(values.Columns); i++ {
			if fold(values.Columns[i].Name) == fold(field.DBName) {
				return i
			}
		}
		return -1
	}
	for _, x := range indexes {
		sources := make([]int, len(x.of))
		written := false
		for i, policy := range x.of {
			if sources[i] = place(policy.field, 0); sources[i] < 0 {
				continue
			}
			written = true
			if place(policy.field, sources[i]+1) >= 0 {
				return values, x.fail(fmt.Errorf("%w: %s is written twice", ErrBinding, policy.field.DBName))
			}
		}
		at := place(x.field, 0)
		if at >= 0 {
			for _, row := range rows {
				if err := x.checkUnset(row[at]); err != nil {
					return values, err
				}
			}
		}
		switch {
		case !written && at >= 0:
			values.Columns = slices.Delete(values.Columns, at, at+1)
			for i, row := range rows {
				rows[i] = slices.Delete(row, at, at+1)
			}
			continue
		case !written:
			continue
		case at < 0:
			values.Columns = append(values.Columns, clause.Column{Name: x.field.DBName})
		}
		for i, row := range rows {
			of := make([]any, len(sources))
			for j, source := range sources {
				if source >= 0 {
					of[j] = row[source]
				}
			}
			term, err := x.term(ctx, of)
			if err != nil {
				return values, err
			}
			if at >= 0 {
				rows[i][at] = term
			} else {
				rows[i] = append(rows[i], term)
			}
		}
	}
	values.Values = rows
	return values, nil
}

// indexSet adds the terms to the assignments of an UPDATE or an upsert, before
// their values are sealed.
func (ms modelPolicies) indexSet(ctx context.Context, set clause.Set) (clause.Set, error) {
	for _, x := range ms.indexes() {
		of, written, excluded, missing := make([]any, len(x.of)), false, 0, ""
		for i, policy := range x.of {
			at := lastAssignment(set, policy.field)
			if at < 0 {
				missing = policy.field.Name
				continue
			}
			of[i], written = set[at].Value, true
			if isExcluded(set[at].Value, policy.field) {
				excluded++
			}
		}
		isOwn := func(a clause.Assignment) bool { return fold(a.Column.Name) == fold(x.field.DBName) }
		for _, assignment := range set {
			if isOwn(assignment) && !isExcluded(assignment.Value, x.field) {
				if err := x.checkUnset(assignment.Value); err != nil {
					return set, err
				}
			}
		}
		set = slices.DeleteFunc(slices.Clone(set), isOwn)
		assignment := clause.Assignment{Column: clause.Column{Name: x.field.DBName}}
		switch {
		case !written:
			continue
		case missing != "":
			return set, x.fail(fmt.Errorf("%w: it is of %s too; write all of its fields together", ErrBinding, missing))
		case excluded == len(of):
			assignment.Value = clause.Column{Table: "excluded", Name: x.field.DBName}
		case excluded > 0:
			return set, x.fail(fmt.Errorf("%w: some of its fields are taken from the new row, and some are not; take all of them from there, or none", ErrExpression))
		default:
			var err error
			if assignment.Value, err = x.term(ctx, of); err != nil {
				return set, err
			}
		}
		set = append(set, assignment)
	}
	return set, nil
}

// lastAssignment returns the index of the last assignment of a field, -1 if there is
// none. There are two where a hook sets by the field's name what a map has by the
// column's: SQLite takes the last, and PostgreSQL none.
func lastAssignment(set clause.Set, field *schema.Field) int {
	for i := len(set) - 1; i >= 0; i-- {
		if fold(set[i].Column.Name) == fold(field.DBName) {
			return i
		}
	}
	return -1
}

// checkOneTerm returns an error if equal values may have different terms, or none.
func (x *index) checkOneTerm() error {
	switch n := x.Live(); {
	case n > 1:
		return x.queryError(fmt.Sprintf("%d index keys are live, so equal values may have different terms; look for the row before writing it, until the column is under one key and the others are retired", n))
	case x.isBuilding() || x.isBeside():
		return x.queryError("rows may have no term while it or its field is migrating; look for the row before writing it, until that is finished")
	}
	return nil
}

// notComputable is the error of an expression with the index's column in it.
func (x *index) notComputable() error {
	return x.queryError("a blind index is compared with values of its fields by =, <>, IN or NOT IN, and with NULL")
}

func (x *index) queryError(problem string) error {
	return &Error{Op: "query", Table: x.Table, Column: x.Column, Err: fmt.Errorf("%w: %s", ErrNotQueryable, problem)}
}
