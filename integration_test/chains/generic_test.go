package chains

import (
	"context"
	"fmt"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"pgregory.net/rapid"
)

// generics is the generic API of GORM for the type of one world.
type generics interface {
	create(db *gorm.DB, row any, options ...clause.Expression) error
	createInBatches(db *gorm.DB, rows any) error
	// chain returns the query under these conditions.
	chain(db *gorm.DB, conditions [][]any) genericChain
	setCreate(db *gorm.DB, set []clause.Assigner) error
}

// genericChain is a query of the generic API that has at least a condition.
type genericChain interface {
	update(column string, value any) (int, error)
	updates(row any) (int, error)
	set(set []clause.Assigner) (int, error)
	remove() (int, error)
	read(how string, out *outcome)
}

type generic[T any] struct{}

var ctx = context.Background()

func (generic[T]) create(db *gorm.DB, row any, options ...clause.Expression) error {
	return gorm.G[T](db, options...).Create(ctx, row.(*T))
}

func (generic[T]) createInBatches(db *gorm.DB, rows any) error {
	return gorm.G[T](db).CreateInBatches(ctx, rows.(*[]T), 2)
}

func (generic[T]) setCreate(db *gorm.DB, set []clause.Assigner) error {
	return gorm.G[T](db).Set(set...).Create(ctx)
}

func (generic[T]) chain(db *gorm.DB, conditions [][]any) genericChain {
	var c gorm.ChainInterface[T]
	for i, args := range conditions {
		if i == 0 {
			c = gorm.G[T](db).Where(args[0], args[1:]...)
		} else {
			c = c.Where(args[0], args[1:]...)
		}
	}
	return genericChainOf[T]{c}
}

type genericChainOf[T any] struct{ gorm.ChainInterface[T] }

func (c genericChainOf[T]) update(column string, value any) (int, error) {
	return c.Update(ctx, column, value)
}
func (c genericChainOf[T]) updates(row any) (int, error)           { return c.Updates(ctx, *row.(*T)) }
func (c genericChainOf[T]) set(set []clause.Assigner) (int, error) { return c.Set(set...).Update(ctx) }
func (c genericChainOf[T]) remove() (int, error)                   { return c.Delete(ctx) }

func (c genericChainOf[T]) read(how string, out *outcome) {
	see := func(row any, err error) {
		out.failed(err)
		out.see(how, row)
	}
	q := c.Order("id")
	switch how {
	case "First":
		row, err := q.First(ctx)
		see(row, err)
	case "Last":
		row, err := q.Last(ctx)
		see(row, err)
	case "Take":
		row, err := q.Take(ctx)
		see(row, err)
	case "Find":
		rows, err := q.Find(ctx)
		see(rows, err)
	case "Count":
		n, err := c.Count(ctx, "*")
		see(n, err)
	case "FindInBatches":
		see(nil, c.FindInBatches(ctx, 2, func(rows []T, batch int) error {
			out.see(fmt.Sprintf("batch %d", batch), rows)
			return nil
		}))
	case "contacts":
		var contacts []contact
		err := q.Scan(ctx, &contacts)
		see(contacts, err)
	case "maps":
		var maps []map[string]any
		out.failed(q.Scan(ctx, &maps))
		out.seeMaps("maps", accounts, maps, nil)
	case "Preload":
		rows, err := q.Preload("Cards", nil).Find(ctx)
		see(rows, err)
	case "Select":
		row, err := q.Select("id, name, email, labels").First(ctx)
		see(row, err)
	}
}

func drawGenericCreate(t *rapid.T) operation {
	if sometimes(t, 4) {
		records := many(t, 1, 3, func(t *rapid.T) record { return accounts.draw(t, 4) })
		return operation{text: fmt.Sprintf("gorm.G[account](db).CreateInBatches(ctx, &%v, 2)", records), run: func(w *world, db *gorm.DB, out *outcome) {
			rows := w.rows(records)
			out.failed(w.generics[accounts].createInBatches(db, rows))
			out.see("rows", rows)
		}}
	}
	r := drawRelated(t)
	upsert := sometimes(t, 3)
	text := fmt.Sprintf("gorm.G[account](db).Create(ctx, &%v)", r)
	if upsert {
		text = fmt.Sprintf("gorm.G[account](db, clause.OnConflict{Columns: name, UpdateAll: true}).Create(ctx, &%v)", r)
	}
	return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
		row := w.row(r)
		var options []clause.Expression
		if upsert {
			options = append(options, clause.OnConflict{Columns: []clause.Column{{Name: "name"}}, UpdateAll: true})
		}
		out.failed(w.generics[accounts].create(db, row, options...))
		out.see("row", row)
	}}
}

// drawHookless draws a table. The generic API refuses to update models with hooks.
func drawHookless(t *rapid.T) *table { return pick(t, cards, teams, cards, teams, accounts) }

// drawGenericChain draws the conditions of a generic query.
func drawGenericChain(t *rapid.T, of *table) (text string, chain func(w *world, db *gorm.DB) genericChain) {
	conditions := many(t, 1, 2, func(t *rapid.T) condition { return drawWhere(t, of) })
	var parts []string
	for _, c := range conditions {
		parts = append(parts, ".Where("+c.text+")")
	}
	return "gorm.G[" + of.model + "](db)" + strings.Join(parts, ""), func(w *world, db *gorm.DB) genericChain {
		var args [][]any
		for _, c := range conditions {
			args = append(args, c.args(w, db))
		}
		return w.generics[of].chain(db, args)
	}
}

func drawGenericUpdate(t *rapid.T) operation {
	of := drawHookless(t)
	text, chain := drawGenericChain(t, of)
	finish := func(text string, run func(w *world, c genericChain) (int, error)) operation {
		return operation{text: text, run: func(w *world, db *gorm.DB, out *outcome) {
			n, err := run(w, chain(w, db))
			out.failed(err)
			out.note("rows affected: %d", n)
		}}
	}
	switch upTo(t, 5) {
	case 0:
		return finish(text+".Delete(ctx)", func(_ *world, c genericChain) (int, error) { return c.remove() })
	case 1, 2:
		r := of.draw(t, 4)
		r.cells = r.cells[1:]
		return finish(fmt.Sprintf("%s.Updates(ctx, %v)", text, r), func(w *world, c genericChain) (int, error) { return c.updates(w.row(r)) })
	}
	f := pick(t, of.choosable()...)
	a := drawArgument(t, f)
	return finish(fmt.Sprintf("%s.Update(ctx, %q, %v)", text, f.column, a), func(w *world, c genericChain) (int, error) {
		return c.update(f.column, w.argument(a))
	})
}

func drawGenericSet(t *rapid.T) operation {
	of := drawHookless(t)
	v := drawValues(t, 3, true, of.choosable()...)
	set := func(w *world) []clause.Assigner {
		var set []clause.Assigner
		for _, one := range v {
			set = append(set, clause.Assignment{Column: clause.Column{Name: one.key}, Value: w.argument(one.argument)})
		}
		return set
	}
	if sometimes(t, 3) {
		key := of.fields[0]
		v = append(v, keyed{key.column, argument{cell: cell{key, key.draw(t)}}})
		return operation{text: fmt.Sprintf("gorm.G[%s](db).Set(%v).Create(ctx)", of.model, v), run: func(w *world, db *gorm.DB, out *outcome) {
			out.failed(w.generics[of].setCreate(db, set(w)))
		}}
	}
	text, chain := drawGenericChain(t, of)
	return operation{text: fmt.Sprintf("%s.Set(%v).Update(ctx)", text, v), run: func(w *world, db *gorm.DB, out *outcome) {
		n, err := chain(w, db).set(set(w))
		out.failed(err)
		out.note("rows affected: %d", n)
	}}
}

func drawGenericRead(t *rapid.T) operation {
	text, chain := drawGenericChain(t, accounts)
	how := pick(t, "First", "Last", "Take", "Find", "Count", "FindInBatches", "Preload", "Select")
	return operation{text: text + "." + how, run: func(w *world, db *gorm.DB, out *outcome) { chain(w, db).read(how, out) }}
}

func drawGenericScan(t *rapid.T) operation {
	text, chain := drawGenericChain(t, accounts)
	into := pick(t, "contacts", "maps")
	return operation{text: text + ".Scan(ctx, &" + into + ")", run: func(w *world, db *gorm.DB, out *outcome) { chain(w, db).read(into, out) }}
}
