package fsck

import (
	"context"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// settle reports the strays that are still where they were. The others count as what is
// there now, or as rows that were not read.
func (c *checker) settle(ctx context.Context) error {
	c.pair()
	byID := map[string]*stray{}
	var spots []spot
	for _, s := range c.strays.all {
		byID[s.at.id()] = s
		spots = append(spots, s.at)
	}
	r := &rowChecker{checker: c}
	return c.visit(ctx, spots, func(table int, row backfill.Row) error {
		if err := r.row(table, row); err != nil {
			return err
		}
		for i, o := range r.outcomes {
			if s := byID[spot{table, i, row.Key}.id()]; s != nil && o != isWrong {
				c.columns[c.plan[table].first+i].count(o)
				s.settled = true
			}
		}
		for _, p := range r.problems {
			if s := byID[spot{table, p.column, row.Key}.id()]; s != nil && p.kind == Damaged && same(p.stored, s.stored) {
				c.addStray(s)
			}
		}
		return nil
	})
}

// unsettled takes the strays that were not settled, because all of them were and these
// were not there, or because there was an error before.
func (c *checker) unsettled(err error) {
	for _, s := range c.strays.all {
		switch column := c.plan[s.at.table].first + s.at.column; {
		case s.settled:
		case err != nil:
			c.addStray(s)
		default:
			c.columns[column].Rows--
		}
	}
}

// addStray reports a stray.
func (c *checker) addStray(s *stray) {
	s.settled = true
	column := c.plan[s.at.table].first + s.at.column
	c.add(column, s.finding(c.place(column, s.at.key)))
}

// pair finds out which strays have changed places.
func (c *checker) pair() {
	for _, s := range c.strays.all {
		if s.exact || s.origin == nil {
			continue
		}
		var partners []*stray
		for _, other := range c.strays.all {
			if other.at.table == s.origin.table && other.at.column == s.origin.column && other.comesFrom(c, s) {
				partners = append(partners, other)
			}
		}
		if len(partners) == 1 {
			place := c.place(c.plan[partners[0].at.table].first+partners[0].at.column, partners[0].at.key)
			s.from = &place
		}
	}
}

// comesFrom reports whether a stray may come from where another is.
func (s *stray) comesFrom(c *checker, other *stray) bool {
	if s.origin != nil && !s.exact {
		return s.origin.table == other.at.table && s.origin.column == other.at.column
	}
	return s.from != nil && *s.from == c.place(c.plan[other.at.table].first+other.at.column, other.at.key)
}

// finding says what is known of a stray.
func (s *stray) finding(at Place) Finding {
	f := Finding{Place: at, Kind: Damaged, Version: s.version, Reason: s.reason}
	if s.from == nil {
		return f
	}
	from := *s.from
	f.Kind, f.From, f.Reason = Moved, &from, reasonMoved
	if !s.exact && s.tuple != 0 && s.rows > 1 {
		if s.likely == 1 {
			*f.From = *s.likelyAt
		} else {
			f.From.Key = ""
		}
	}
	if f.From.Key == "" {
		f.Reason = reasonSomeRow
	}
	return f
}
