package gormcrypt

import (
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// Columns that hold no text are migrated to a column beside. Each row has its value in
// one of the two: as it was, or as ciphertext. Whoever writes one makes the other NULL,
// so that a row is never found to have two values, whatever programs write it.

var besideType = reflect.TypeFor[encryptedtype.Beside]()

func isBeside(field *schema.Field) bool { return field.IndirectFieldType == besideType }

// besideField returns the field beside one, or nil.
func besideField(field *schema.Field) *schema.Field {
	for _, other := range field.Schema.Fields {
		if isBeside(other) && other.DBName != "" && namedBeside(other, besideOf(other)) == field {
			return other
		}
	}
	return nil
}

// besideOf returns the name of the field that a tag names.
func besideOf(field *schema.Field) string {
	of, _ := strings.CutPrefix(field.Tag.Get(tagName), "of=")
	return of
}

// parseBeside reads the tag of a field beside another, when those of the model's
// encrypted fields were read.
func (m *modelPolicy) parseBeside(field *schema.Field) error {
	p := m.byField[namedBeside(field, besideOf(field))]
	switch {
	case p == nil:
		return modelError(field, "it is beside no encrypted field", `write encrypt:"of=Field", with the Go name of a field that is marked as encrypted`)
	case p.migrating == "":
		return modelError(field, "it is beside "+p.field.Name+", which is not migrating", "remove it: when the migration is finished, the column has that one's name")
	case p.field.NotNull:
		return modelError(p.field, "it is not null, and while it is migrating beside "+field.Name+" one of the two is NULL", "remove not null from its gorm tag until the migration is finished")
	case p.beside != nil:
		return modelError(field, "there are two beside "+p.field.Name, "keep one")
	case field.PrimaryKey || field.HasDefaultValue || !isTextType(field) || field.FieldType != besideType:
		return modelError(field, "it has a type, a default or a primary key of its own, or is a pointer", "remove that: its column is text, and the plugin writes it")
	}
	if err := checkName(field); err != nil {
		return err
	}
	twin := *p
	twin.besideOf, twin.besideField = p, field
	p.beside, p.besideField = &twin, field
	m.columns[fold(field.DBName)] = &twin
	m.besides = append(m.besides, p)
	return nil
}

// ownField returns the field whose column the policy is of.
func (p *policy) ownField() *schema.Field {
	if p.besideOf != nil {
		return p.besideField
	}
	return p.field
}

// besides returns the policies of a table's columns that have another beside.
func (ms modelPolicies) besides() []*policy {
	var all []*policy
	for _, m := range ms {
		for _, p := range m.besides {
			if !slices.ContainsFunc(all, func(other *policy) bool { return other.beside == p.beside }) {
				all = append(all, p)
			}
		}
	}
	return all
}

// besideRows has the rows of an INSERT write both columns. The value of each is for
// their policies to say.
func (ms modelPolicies) besideRows(values clause.Values) (clause.Values, error) {
	besides := ms.besides()
	if len(besides) == 0 {
		return values, nil
	}
	values.Columns = slices.Clone(values.Columns)
	rows := make([][]any, len(values.Values))
	for i, row := range values.Values {
		rows[i] = slices.Clone(row)
	}
	place := func(field *schema.Field) int {
		return slices.IndexFunc(values.Columns, func(c clause.Column) bool { return fold(c.Name) == fold(field.DBName) })
	}
	for _, p := range besides {
		from, at := place(p.field), place(p.besideField)
		switch {
		case from < 0 && at < 0:
			continue
		case from < 0:
			from = len(values.Columns)
			values.Columns = append(values.Columns, clause.Column{Name: p.field.DBName})
			for i := range rows {
				rows[i] = append(rows[i], nil)
			}
		case at < 0:
			at = len(values.Columns)
			values.Columns = append(values.Columns, clause.Column{Name: p.besideField.DBName})
			for i := range rows {
				rows[i] = append(rows[i], nil)
			}
		}
		for _, row := range rows {
			if err := p.checkBesideUnset(row[at]); err != nil {
				return values, err
			}
			row[at] = row[from]
		}
	}
	values.Values = rows
	return values, nil
}

// besideSet is besideRows for the assignments of an UPDATE or an upsert.
func (ms modelPolicies) besideSet(set clause.Set) (clause.Set, error) {
	for _, p := range ms.besides() {
		isOwn := func(a clause.Assignment) bool { return fold(a.Column.Name) == fold(p.besideField.DBName) }
		for _, assignment := range set {
			if isOwn(assignment) && !isExcluded(assignment.Value, p.besideField) {
				if err := p.checkBesideUnset(assignment.Value); err != nil {
					return set, err
				}
			}
		}
		at := lastAssignment(set, p.field)
		if slices.ContainsFunc(set, isOwn) {
			set = slices.DeleteFunc(slices.Clone(set), isOwn)
			at = lastAssignment(set, p.field)
		}
		if at < 0 {
			continue
		}
		value := set[at].Value
		if isExcluded(value, p.field) {
			value = clause.Column{Table: "excluded", Name: p.besideField.DBName}
		}
		set = append(slices.Clip(set), clause.Assignment{Column: clause.Column{Name: p.besideField.DBName}, Value: value})
	}
	return set, nil
}

// checkBesideUnset refuses a value that a program gives for the column beside.
func (p *policy) checkBesideUnset(value any) error {
	if _, ok := value.(encryptedtype.Beside); ok || value == nil {
		return nil
	}
	return p.fail(fmt.Errorf("%w: the column %s is written with %s, and not by the program; leave it out", ErrExpression, p.besideField.DBName, p.field.Name))
}

// sealBeside returns what goes into one of two columns, and whether the policy is of
// one: NULL, unless it is the one that has the value.
func (p *policy) sealBeside(plaintext any) (stored any, null bool, err error) {
	switch {
	case p.beside != nil && p.migrating == migratingWrite, p.besideOf != nil && p.migrating == migratingRead:
		return nil, true, nil
	case p.beside != nil:
		plain, err := p.plainForm(plaintext)
		if err != nil {
			return nil, false, p.fail(err)
		}
		return p.asStored(plain), false, nil
	}
	return nil, false, nil
}

// rawForm returns a value as it is stored in a column of its own type.
func rawForm(plaintext any) (driver.Value, error) {
	v := reflect.ValueOf(plaintext)
	for v.Kind() == reflect.Pointer && !v.IsNil() && !v.Type().Implements(valuerType) {
		v = v.Elem()
	}
	if v.Kind() == reflect.Struct && v.Type().ConvertibleTo(timeType) && !v.Type().Implements(valuerType) {
		return v.Convert(timeType).Interface(), nil
	}
	if v.IsValid() && v.Type().Implements(valuerType) && !(v.Kind() == reflect.Pointer && v.IsNil()) {
		value, err := v.Interface().(driver.Valuer).Value()
		if _, again := value.(driver.Valuer); err != nil || again {
			return nil, fmt.Errorf("%w: the Value method of %s failed", ErrType, v.Type())
		}
		return value, nil
	}
	switch {
	case v.CanInt():
		return v.Int(), nil
	case v.CanUint():
		if v.Uint() > 1<<63-1 {
			return v.Uint(), nil
		}
		return int64(v.Uint()), nil
	case v.CanFloat():
		return v.Float(), nil
	case v.Kind() == reflect.Bool:
		return v.Bool(), nil
	}
	s, null, err := plainText(plaintext)
	if err != nil || null {
		return nil, err
	}
	return s, nil
}

// withBesides adds to a list of columns those beside the ones that are in it.
func (p *Plugin) withBesides(stmt *gorm.Statement, columns []clause.Column) []clause.Column {
	models := p.target(stmt)
	for _, column := range slices.Clone(columns) {
		policy := models.column(column.Name)
		if column.Raw || policy == nil || policy.beside == nil {
			continue
		}
		there := slices.ContainsFunc(columns, func(other clause.Column) bool {
			return fold(other.Name) == fold(policy.besideField.DBName) && other.Table == column.Table
		})
		if !there {
			columns = append(slices.Clip(columns), clause.Column{Table: column.Table, Name: policy.besideField.DBName})
		}
	}
	return columns
}

// hideBesides puts the columns that are beside others at the end, and returns how many
// others there are: nobody reads them but with those.
func (o *openedRows) hideBesides() (visible int) {
	isHidden := func(i int) bool { return o.origins[i].policy != nil && o.origins[i].policy.besideOf != nil }
	var order, hidden []int
	for i := range o.columns {
		if isHidden(i) {
			hidden = append(hidden, i)
		} else {
			order = append(order, i)
		}
	}
	visible = len(order)
	if len(hidden) == 0 {
		return visible
	}
	columns, origins, types := o.columns, o.origins, o.types
	o.columns, o.origins, o.types = nil, nil, nil
	into := make([]any, len(columns))
	for at, i := range append(order, hidden...) {
		o.columns, o.origins, o.types = append(o.columns, columns[i]), append(o.origins, origins[i]), append(o.types, types[i])
		into[i] = &o.values[at]
	}
	o.into = into
	return visible
}

// sealedBeside returns what the row has in the column beside another, if the result
// has that.
func (o *openedRows) sealedBeside(i int) (stored any, err error) {
	from := o.origins[i]
	for j, other := range o.origins {
		if other.policy != nil && other.policy.besideOf != nil && fold(other.policy.besideOf.field.DBName) == fold(from.policy.field.DBName) && other.table == from.table {
			return o.values[j], nil
		}
	}
	return nil, from.policy.openError(fmt.Errorf("%w: it is migrating beside %s, which was not selected; select both", ErrUnknownOrigin, from.policy.besideField.DBName))
}

// checkBesides refuses hand-written SQL that writes one of two columns.
func (r *resolver) checkBesides(models modelPolicies, row *rowOutline) error {
	for _, p := range models.besides() {
		plain, sealed := row.tokens(p.field.DBName), row.tokens(p.besideField.DBName)
		if (plain == nil) != (sealed == nil) {
			return p.fail(fmt.Errorf("%w (the columns %s and %s are written together, while it is migrating: give both the same value)", ErrHandWritten, p.field.DBName, p.besideField.DBName))
		}
	}
	return nil
}
