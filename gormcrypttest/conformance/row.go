package conformance

import (
	"errors"
	"slices"
	"strings"

	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt"
)

// row is one path through GORM.
type row struct {
	// number is the row's place among all, from 1.
	number int
	// path is how a program takes it, in Markdown.
	path string
	// happens is what becomes of the values. Of a refusal it is what there is to
	// say beside the error, if anything.
	happens string
	// refused is set if the path is refused, and never if it is not.
	refused *refusal
	// needs is what the dialect must have.
	needs Feature
	// alone says that no plugin may be registered meanwhile.
	alone bool
	run   func(c *check)
}

// refusal is an error that a program can test for.
type refusal struct {
	name string
	is   []error
	// or is for errors that no program can test for with errors.Is.
	or func(error) bool
}

var (
	errExpression     = &refusal{name: "ErrExpression", is: []error{gormcrypt.ErrExpression}}
	errNotQueryable   = &refusal{name: "ErrNotQueryable", is: []error{gormcrypt.ErrNotQueryable}}
	errNoTerm         = &refusal{name: "ErrNotQueryable` or `ErrType", is: []error{gormcrypt.ErrNotQueryable, gormcrypt.ErrType}}
	errDefinition     = &refusal{name: "ErrNotQueryable` or `ErrHandWritten", is: []error{gormcrypt.ErrNotQueryable, gormcrypt.ErrHandWritten}}
	errBinding        = &refusal{name: "ErrBinding", is: []error{gormcrypt.ErrBinding}}
	errHandWritten    = &refusal{name: "ErrHandWritten", is: []error{gormcrypt.ErrHandWritten}}
	errAuthentication = &refusal{name: "ErrAuthentication", is: []error{gormcrypt.ErrAuthentication}}
	errUnsealed       = &refusal{name: "ErrUnsealed", is: []error{gormcrypt.ErrUnsealed}}
	errType           = &refusal{name: "ErrType", is: []error{gormcrypt.ErrType}}
	errNoTable        = &refusal{name: "schema.ErrUnsupportedDataType", is: []error{schema.ErrUnsupportedDataType}}
	errNoPlugin       = &refusal{name: "ErrNoPlugin`, or GORM's own `invalid serializer type encrypted", is: []error{gormcrypt.ErrNoPlugin}, or: noPlugin}
	errModel          = &refusal{name: "ErrModel", is: []error{gormcrypt.ErrModel}}
)

// matches reports whether an error is the one of the refusal.
func (r *refusal) matches(err error) bool {
	for _, target := range r.is {
		if errors.Is(err, target) {
			return true
		}
	}
	return r.or != nil && r.or(err)
}

// name is that of the row's subtest.
func (r *row) name() string { return strings.ReplaceAll(r.path, "`", "") }

// effect is what stands in the page.
func (r *row) effect() string {
	switch {
	case r.refused == nil:
		return r.happens
	case r.happens == "":
		return "refused, `" + r.refused.name + "`"
	}
	return "refused, `" + r.refused.name + "`: " + r.happens
}

// section is one table of the page.
type section struct {
	name string
	rows []row
}

// sections are all rows, in the order of the page.
var sections = number(
	section{"Writes", slices.Concat(
		createRows, updateRows, upsertRows, firstOrRows, associationRows, hookRows,
		sessionRows, returningRows, expressionRows, rawSQLRows, valueRows,
		modelRows, lossRows,
	)},
	section{"Reads", slices.Concat(
		modelReads, relationReads, structReads, mapReads, valueReads, sqlReads, failureReads,
	)},
	section{"Conditions", slices.Concat(
		equalityConditions, statementConditions, joinConditions, subqueryConditions, refusedConditions, groupConditions,
	)},
)

// number numbers the rows, for their secrets.
func number(sections ...section) []section {
	last := 0
	for _, section := range sections {
		for i := range section.rows {
			last++
			section.rows[i].number = last
		}
	}
	return sections
}
