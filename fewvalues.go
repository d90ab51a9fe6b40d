package gormcrypt

import (
	"fmt"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// A column of few possible values is told apart by its frequencies alone, without
// any key. Where the Go type says that there are few, a warning does too. An
// enumeration has a string or an int, which says nothing, and so has a type with
// constants: AnalyzeIndex finds these when there are rows.

// fewValues is the largest number of values of a type that is warned of: that of
// an int8.
const fewValues = 256

// possibleValues returns how many values a type has, or 0 if they are more than
// fewValues, or a pointer leads to them: types may lead to themselves by one.
func possibleValues(t reflect.Type) int {
	n := 0
	switch t.Kind() {
	case reflect.Bool:
		n = 2
	case reflect.Int8, reflect.Uint8:
		n = 256
	case reflect.Struct: // such as sql.NullBool
		n = 1
		for field := range t.Fields() {
			n *= possibleValues(field.Type)
		}
	}
	if n > fewValues {
		return 0
	}
	return n
}

// warnOfFewValues writes to the logger of a *gorm.DB which of the models' columns
// show their values by how often they occur.
func (p *Plugin) warnOfFewValues(db *gorm.DB) {
	warn := func(field *schema.Field, n int, what, fix string) {
		if n > 0 {
			db.Logger.Warn(db.Statement.Context, "%v", modelError(field,
				fmt.Sprintf("there are %d possible values, and %s: whoever reads the database sees which rows have the same one, and can tell by their numbers which it is", n, what), fix))
		}
	}
	for _, s := range p.registrations.schemas {
		m := p.known(s)
		for _, field := range s.Fields {
			if policy := m.byField[field]; policy != nil && policy.searchable() {
				warn(field, possibleValues(indirect(policy.inner)), "it is deterministic", "remove deterministic and compare in Go, or search it together with a field of many values: a blind index with of=Other+"+field.Name)
			}
		}
		for _, x := range m.indexes {
			n := 1
			for _, policy := range x.of {
				n *= possibleValues(indirect(policy.inner))
			}
			if n <= fewValues {
				warn(x.field, n, "the index tells them apart", "remove it and compare in Go, or add a field of many values to its of=; neither bits= nor slow helps")
			}
		}
	}
}
