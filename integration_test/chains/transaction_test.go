package chains

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"gorm.io/gorm"
	"pgregory.net/rapid"

	"github.com/gormcrypt/gormcrypt"
)

var errRollback = errors.New("rolled back")

// drawTransaction draws a transaction of these operations, which is committed,
// rolled back, or rolled back to a save point. One inside of another is a save
// point itself.
func drawTransaction(t *rapid.T, inside func(*rapid.T) operation, outermost bool) operation {
	how := pick(t, "committed", "rolled back")
	if outermost {
		how = pick(t, "committed", "rolled back", "rolled back to a save point", "begun and committed", "begun and rolled back")
	}
	operations := many(t, 1, 3, inside)
	var text strings.Builder
	for _, op := range operations {
		text.WriteString("\n       " + strings.ReplaceAll(op.text, "\n", "\n    ") + " // " + op.kind)
	}
	return operation{text: fmt.Sprintf("a transaction, %s, of%s", how, text.String()), run: func(w *world, db *gorm.DB, out *outcome) {
		all := func(tx *gorm.DB) {
			for _, op := range operations {
				op.perform(w, tx, out)
			}
		}
		switch how {
		case "committed":
			out.failed(db.Transaction(func(tx *gorm.DB) error { all(tx); return nil }))
			return
		case "rolled back":
			out.failed(db.Transaction(func(tx *gorm.DB) error { all(tx); return errRollback }))
			return
		}
		tx := db.Begin()
		out.failed(tx.Error)
		switch how {
		case "begun and committed":
			all(tx)
			out.failed(tx.Commit().Error)
		case "begun and rolled back":
			all(tx)
			out.failed(tx.Rollback().Error)
		default:
			operations[0].perform(w, tx, out)
			out.failed(tx.SavePoint("here").Error)
			all(tx)
			out.failed(tx.RollbackTo("here").Error)
			out.failed(tx.Commit().Error)
		}
	}}
}

// perform runs the operation in a world, and notes what it came to.
func (op operation) perform(w *world, db *gorm.DB, out *outcome) {
	defer func() {
		if r := recover(); r != nil {
			w.panics = append(w.panics, fmt.Sprintf("%v\n%s", r, debug.Stack()))
		}
	}()
	if w.turning && strings.Contains(op.text, `Columns: "tax_id"`) {
		return // it is refused, and fails in the plain world: there is no unique index then
	}
	if op.oneKey && w.turning {
		op.refused = gormcrypt.ErrNotQueryable
	}
	switch {
	case op.refused != nil && w.encrypted:
		alone := &outcome{world: w}
		op.run(w, db, alone)
		if !errors.Is(alone.err, op.refused) {
			out.note("error %v, want %v", alone.err, op.refused)
		}
	case op.refused != nil:
	case op.mayRefuse != nil && w.encrypted:
		alone := &outcome{world: w}
		op.run(w, db, alone)
		refused := errors.Is(alone.err, op.mayRefuse)
		if !refused {
			out.lines = append(out.lines, alone.lines...)
			out.err = errors.Join(out.err, alone.err)
		}
		*op.didRefuse = append(*op.didRefuse, refused)
		w.asked++
		if refused {
			w.refused++
		}
	case op.mayRefuse != nil:
		refused := (*op.didRefuse)[0]
		*op.didRefuse = (*op.didRefuse)[1:]
		if !refused {
			op.run(w, db, out)
		}
	default:
		op.run(w, db, out)
	}
}
