package gormcrypt

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"reflect"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"
	"gorm.io/gorm/schema"
)

// The read gate sees results where they come in: between GORM and its
// connection pool, for as long as a callback of GORM's own runs.

// openingPool is the connection pool of one statement. It opens what is read.
type openingPool struct {
	gorm.ConnPool
	plugin *Plugin
	stmt   *gorm.Statement
	// writes says that the destination is what the program writes.
	writes bool
	// closed says that results are not opened: those of Row and Rows.
	closed bool
	// alone says that no gate looks at what GORM builds: the statement is read
	// here, when it is text.
	alone bool
	// own says that the result goes to fields that the serializer opens.
	own bool
	// joined are the relations in the result.
	joined []*joinedRelation
}

// enterQuery is all that is done before a query that GORM builds or was given: an
// openingPool is put in front of its pool, unless the result goes to fields that
// the serializer opens.
func (p *Plugin) enterQuery(db *gorm.DB) {
	p.checkHandWritten(db)
	if !p.needsPool(db) {
		return
	}
	stmt := db.Statement
	if m := p.rowModel(stmt); !readsOwnModel(stmt, m) {
		p.putPool(stmt).alone = p.staysPlain(stmt, m)
	}
}

// leaveQuery is all that is done after it, before its associations are read.
func (p *Plugin) leaveQuery(db *gorm.DB) {
	pool := poolOf(db.Statement)
	p.leavePool(db)
	if pool == nil || db.Error != nil {
		return
	}
	for _, relation := range pool.joined {
		relation.dropUnmatched(db.Statement)
	}
}

// enterWrite is enterQuery for statements that have a result only if they ask
// for it.
func (p *Plugin) enterWrite(db *gorm.DB) {
	stmt := db.Statement
	if !p.needsPool(db) {
		return
	}
	m := p.rowModel(stmt)
	plain := p.staysPlain(stmt, m)
	if _, returning := stmt.Clauses["RETURNING"]; plain || returning && !readsOwnModel(stmt, m) {
		pool := p.putPool(stmt)
		pool.writes, pool.alone = true, plain
	}
}

// enterRow is enterQuery for DB.Scan, which does not say yet where the result
// goes. The results of Row and Rows are plain database/sql, and hold ciphertext.
func (p *Plugin) enterRow(db *gorm.DB) {
	p.checkHandWritten(db)
	if stmt := db.Statement; p.needsPool(db) {
		pool := p.putPool(stmt)
		pool.closed, pool.alone = reflect.TypeOf(db.Logger) != recorderType, p.staysPlain(stmt, p.rowModel(stmt))
	}
}

// needsPool reports whether a statement will be sent that may have to do with an
// encrypted column.
func (p *Plugin) needsPool(db *gorm.DB) bool {
	stmt := db.Statement
	return db.Error == nil && !db.DryRun && !p.tables.empty() &&
		(stmt.SQL.Len() == 0 || p.read(stmt, stmt.SQL.String()).touches)
}

// isAlone reports whether the statement is read as text only.
func isAlone(stmt *gorm.Statement) bool {
	pool := poolOf(stmt)
	return pool != nil && pool.alone
}

// staysPlain reports whether GORM builds the statement, of a model if that is not
// nil, for a table without encrypted columns, so that the gates need not look at
// its clauses.
func (p *Plugin) staysPlain(stmt *gorm.Statement, m *modelPolicy) bool {
	if stmt.SQL.Len() > 0 || len(stmt.Joins) > 0 {
		return false
	}
	if expr := stmt.TableExpr; expr != nil && (len(expr.Vars) > 0 || !p.harmless.has(&p.tables, expr.SQL)) {
		return false
	}
	if stmt.Schema == nil {
		return stmt.TableExpr != nil
	}
	return m != nil && len(m.byField) == 0 && stmt.Table == m.schema.Table && p.isPlain(m)
}

// putPool puts an openingPool in front of a statement's pool, and returns it.
func (p *Plugin) putPool(stmt *gorm.Statement) *openingPool {
	if pool := poolOf(stmt); pool != nil {
		return pool
	}
	pool := &openingPool{ConnPool: stmt.ConnPool, plugin: p, stmt: stmt}
	stmt.ConnPool = pool
	return pool
}

// poolOf returns the openingPool of a statement, or nil.
func poolOf(stmt *gorm.Statement) *openingPool {
	if pool, ok := stmt.ConnPool.(*openingPool); ok && pool.stmt == stmt {
		return pool
	}
	return nil
}

// recorderType is the logger that DB.Scan puts in place of the configured one.
var recorderType = reflect.TypeOf(logger.Recorder.New())

// leavePool takes it away again. In a dry run it reads the statement all the same.
// What was in a statement that was refused is not logged.
func (p *Plugin) leavePool(db *gorm.DB) {
	stmt := db.Statement
	if pool := poolOf(stmt); pool != nil {
		stmt.ConnPool = pool.ConnPool
	}
	if !isSubquery(db) {
		defer hidePlain(stmt)
	}
	if db.DryRun && db.Error == nil && stmt.SQL.Len() > 0 && !p.tables.empty() {
		query := stmt.SQL.String()
		read := p.read(stmt, query)
		err := read.failure(stmt.Vars)
		vars := stmt.Vars
		if err == nil && read.unread == nil {
			query, vars, err = p.rewrite(stmt, read, query, vars)
		}
		if !p.refuse(stmt, err) {
			replace(stmt, query, vars)
		}
	}
	if db.Error == nil {
		return
	}
	var failure *Error // which is on the heap
	if errors.As(db.Error, &failure) && failure.Op != "open" {
		p.conceal(stmt, db.Error)
	}
}

// conceal leaves nothing of a statement that was refused. In a statement around
// it, what is left fails.
func (p *Plugin) conceal(stmt *gorm.Statement, err error) {
	stmt.SQL.Reset()
	stmt.SQL.WriteString("/* refused by gormcrypt */ ?")
	stmt.Vars = append(stmt.Vars, nil)
	for i := range stmt.Vars {
		stmt.Vars[i] = refused{err}
	}
}

// prepared is a statement as it is to be sent.
type prepared struct {
	read  *readStatement
	query string
	args  []any
	// selection is what is left to do with the rows of its result.
	selection *selection
}

// prepare reads a statement and rewrites it, or returns why it is not to be sent.
// It is logged like that too. If selects, the rows of its result can be selected
// when they are opened.
func (o *openingPool) prepare(query string, args []any, selects bool) (prepared, error) {
	p := o.plugin
	if o.alone && p.statements.isUntouched(query, p.tables.changes.Load()) {
		return prepared{read: untouched, query: query, args: args}, checkPlaces(args)
	}
	if err := refusedArgument(args); err != nil {
		return prepared{}, err
	}
	s := prepared{read: p.read(o.stmt, query), query: query, args: args}
	switch {
	case !s.read.touches && o.alone:
		return s, checkPlaces(args)
	case !s.read.touches:
		return s, nil
	}
	err := s.read.failure(args)
	switch {
	case err != nil || s.read.unread != nil:
		return s, err
	case o.alone:
		s.query, s.args, err = p.handWritten(o.stmt, query, args)
	case selects:
		s.query, s.args, s.selection, err = p.rewriteFiltered(o.stmt, s.read, query, args)
	default:
		s.query, s.args, err = p.rewrite(o.stmt, s.read, query, args)
	}
	if err == nil {
		replace(o.stmt, s.query, s.args)
	}
	return s, err
}

// checkPlaces is checkPlace for all arguments of a statement, none of which goes
// into an encrypted column.
func checkPlaces(args []any) error {
	for _, arg := range args {
		if isBasic(arg) {
			continue
		}
		if refused, ok := arg.(refused); ok {
			return refused.err
		}
		if err := checkPlace(arg); err != nil {
			return err
		}
	}
	return nil
}

// failure returns why a statement is not to be sent, if so.
func (r *readStatement) failure(args []any) error {
	if r.err == nil && r.unread != nil {
		return checkAllSealed(r.unread, args)
	}
	return r.err
}

// QueryContext sends a statement and opens its result.
func (o *openingPool) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := o.prepare(query, args, !o.closed && !o.writes)
	if err != nil {
		return nil, err
	}
	columns := s.read.columns
	if s.selection != nil && columns == nil {
		return nil, s.selection.filters[0].index.unfiltered("the result has no column by which it would be filtered; select the encrypted column too")
	}
	rows, err := o.ConnPool.QueryContext(ctx, s.query, s.args...)
	if err != nil || columns == nil || o.closed || o.own && s.selection == nil {
		return rows, err
	}
	opened, from, err := openRows(o.stmt, rows, columns, o.writes)
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	o.joined, from.selection = from.joined, s.selection
	return opened, nil
}

// ExecContext sends a statement.
func (o *openingPool) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := o.prepare(query, args, false)
	if err != nil {
		return nil, err
	}
	return o.ConnPool.ExecContext(ctx, s.query, s.args...)
}

// QueryRowContext sends a statement. Its result is not opened.
func (o *openingPool) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := o.prepare(query, args, false)
	if err != nil {
		_ = o.stmt.AddError(err)
		return rowOf(err)
	}
	return o.ConnPool.QueryRowContext(ctx, s.query, s.args...)
}

// refusedArgument returns the error of a subquery that was refused: GORM does not
// tell the outer statement of it. Some drivers would ask for the argument when
// they have sent the text.
func refusedArgument(args []any) error {
	for _, arg := range args {
		if refused, ok := arg.(refused); ok {
			return refused.err
		}
	}
	return nil
}

// rowOf returns a row whose Scan gives an error.
func rowOf(err error) *sql.Row {
	broken := sql.OpenDB(unreachable{err})
	defer broken.Close()
	return broken.QueryRow("")
}

// unreachable is a driver.Connector that fails.
type unreachable struct{ err error }

func (u unreachable) Connect(context.Context) (driver.Conn, error) { return nil, u.err }
func (unreachable) Driver() driver.Driver                          { return nil }

// readsOwnModel reports whether GORM builds the statement for its model, its
// table and its columns, and scans the result into the model, which has encrypted
// fields.
func readsOwnModel(stmt *gorm.Statement, m *modelPolicy) bool {
	if m == nil || len(m.byField) == 0 || len(m.besides) > 0 {
		return false
	}
	s := stmt.Schema
	if stmt.SQL.Len() > 0 || len(stmt.Joins) > 0 || stmt.TableExpr != nil || stmt.Table != s.Table ||
		structType(stmt.Dest) != s.ModelType || len(stmt.ColumnMapping) > 0 {
		return false
	}
	for _, name := range []string{"FROM", "SELECT"} {
		if _, ok := stmt.Clauses[name]; ok {
			return false
		}
	}
	if returning, ok := stmt.Clauses["RETURNING"].Expression.(clause.Returning); ok && !returningColumns(s, returning) {
		return false
	}
	for _, name := range stmt.Selects {
		if s.LookUpField(name) == nil && name != "*" && name != clause.Associations && s.Relationships.Relations[name] == nil {
			return false
		}
	}
	return true
}

func returningColumns(s *schema.Schema, returning clause.Returning) bool {
	for _, column := range returning.Columns {
		if column.Raw || column.Alias != "" || column.Name != "*" && s.LookUpField(column.Name) == nil {
			return false
		}
	}
	return true
}
