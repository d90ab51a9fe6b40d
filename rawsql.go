package gormcrypt

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The gate for SQL that the program wrote by hand, for Raw and Exec. What goes
// into an encrypted column as an argument is sealed. What cannot be read for
// certain is refused before it is sent.

// checkHandWritten seals the arguments of a hand-written statement, or has it
// fail.
func (p *Plugin) checkHandWritten(db *gorm.DB) {
	stmt := db.Statement
	if db.Error != nil || stmt.SQL.Len() == 0 || p.tables.empty() {
		return
	}
	query, vars, err := p.handWritten(stmt, stmt.SQL.String(), stmt.Vars)
	if p.refuse(stmt, err) {
		p.conceal(stmt, err)
		return
	}
	replace(stmt, query, vars)
}

// replace has a statement go on with another text and other arguments.
func replace(stmt *gorm.Statement, query string, vars []any) {
	stmt.Vars = vars
	if stmt.SQL.String() != query {
		stmt.SQL.Reset()
		stmt.SQL.WriteString(query)
	}
}

// failedRow gives a Row that was refused an error, in place of a nil that Scan
// would panic on.
func failedRow(db *gorm.DB) {
	if rows, ok := db.Get("rows"); db.Error == nil || !ok || rows == true {
		return
	}
	if _, ok := db.Statement.Dest.(*sql.Row); !ok {
		db.Statement.Dest = rowOf(db.Error)
	}
}

// handWritten returns a hand-written statement as it is to be sent, with its
// arguments sealed.
func (p *Plugin) handWritten(stmt *gorm.Statement, query string, vars []any) (string, []any, error) {
	if err := refusedArgument(vars); err != nil {
		return "", nil, err
	}
	read := p.read(stmt, query)
	switch {
	case !read.touches:
		return query, vars, nil
	case read.err != nil:
		return "", nil, read.err
	case read.unread != nil:
		return query, vars, checkAllSealed(read.unread, vars)
	}
	sealed, err := p.sealPlaced(stmt, read, vars)
	if err != nil {
		return "", nil, err
	}
	return p.rewrite(stmt, read, query, sealed)
}

// sealPlaced returns the arguments of a statement, with those sealed that go into
// encrypted columns, and with the terms of blind indexes.
func (p *Plugin) sealPlaced(stmt *gorm.Statement, read *readStatement, vars []any) ([]any, error) {
	uses, compared := map[int]int{}, map[int]bool{}
	for _, place := range read.places {
		uses[place.arg]++
	}
	for _, c := range read.comparisons {
		for _, operand := range c.operands {
			compared[operand] = true
		}
	}
	sealed := slices.Clone(vars)
	for i, value := range vars {
		places := read.placements[i]
		if len(places) == 0 {
			if !compared[i] {
				if err := checkPlace(value); err != nil {
					return nil, err
				}
			}
			if uses[i] == 0 && len(read.placements) > 0 {
				return nil, anyPlace(read.placements).fail(fmt.Sprintf("no placeholder stands for argument %d", i+1))
			}
			continue
		}
		place := places[0]
		for _, other := range places[1:] {
			if place.index != other.index || place.policy == nil || !other.policy.sameAs(place.policy) {
				return nil, place.fail("one argument goes into two encrypted columns")
			}
		}
		if uses[i] != len(places) {
			return nil, place.fail("an argument that goes into it is used elsewhere too")
		}
		var err error
		if sealed[i], err = place.seal(stmt.Context, value, vars); err != nil {
			return nil, err
		}
	}
	for i, places := range read.placements {
		if i >= len(vars) {
			return nil, places[0].fail("there are fewer arguments than placeholders")
		}
	}
	return sealed, nil
}

// seal returns what is stored for an argument.
func (p *placement) seal(ctx context.Context, value any, vars []any) (any, error) {
	if p.index == nil {
		return p.policy.seal(ctx, value, &handWrittenRow{p.row, vars})
	}
	if err := p.index.checkUnset(value); err != nil {
		return nil, err
	}
	values := make([]any, len(p.index.of))
	for i, policy := range p.index.of {
		if tokens := p.row.tokens(policy.field.DBName); len(tokens) > 0 && tokens[0].Arg() >= 0 {
			values[i] = vars[tokens[0].Arg()]
		}
	}
	return p.index.term(ctx, values)
}

func (p *placement) fail(reason string) error {
	if p.index != nil {
		return p.index.fail(fmt.Errorf("%w (%s)", ErrHandWritten, reason))
	}
	return handWrittenError(p.policy, reason)
}

func anyPlace(placements map[int][]placement) *placement {
	for _, places := range placements {
		return &places[0]
	}
	return nil
}

// checkAllSealed returns the error of a statement that was not understood, unless
// all its arguments are sealed.
func checkAllSealed(unread error, vars []any) error {
	for _, value := range vars {
		if _, ok := asSealed(value); !ok {
			return unread
		}
	}
	if len(vars) == 0 {
		return unread
	}
	return nil
}

// checkPlace refuses an argument that is to be encrypted and goes nowhere where it
// would be opened.
func checkPlace(value any) error {
	if isHeld(value) {
		return &Error{Op: "seal", Err: ErrUnsealed}
	}
	return nil
}

// isHeld reports whether a value is for encrypted columns only.
func isHeld(value any) bool {
	if isBasic(value) {
		return false
	}
	if _, ok := asSealed(value); ok || wrapped(value) != nil {
		return true
	}
	for v := reflect.ValueOf(value); v.IsValid(); v = v.Elem() {
		if v.CanInterface() {
			if _, ok := encryptedtype.Plaintext(v.Interface()); ok {
				return true
			}
		}
		if v.Kind() != reflect.Pointer || v.IsNil() {
			break
		}
	}
	return false
}

// handWrittenRow is a row that a hand-written statement writes.
type handWrittenRow struct {
	*rowOutline
	vars []any
}

func (r *handWrittenRow) value(field *schema.Field) (any, error) {
	tokens := r.tokens(field.DBName)
	if len(tokens) == 0 {
		return nil, fmt.Errorf("the statement does not write %s; give it as an argument too, or pass the value as one of gormcrypt.Seal, with a model that has %[1]s", field.Name)
	}
	if i := tokens[0].Arg(); len(tokens) == 1 && i >= 0 && i < len(r.vars) {
		return r.vars[i], nil
	}
	return nil, fmt.Errorf("the statement does not give %s as an argument; do, or pass the value as one of gormcrypt.Seal, with a model that has %[1]s", field.Name)
}

func isHandWritten(err error) bool { return errors.Is(err, ErrHandWritten) }
