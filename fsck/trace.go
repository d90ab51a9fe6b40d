package fsck

import (
	"slices"
	"sync"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/internal/sources"
)

// spot is a place by numbers: a column of a table, both by their number.
type spot struct {
	table, column int
	key           backfill.Key
}

// stray is a value that does not open at its place.
type stray struct {
	at              spot
	stored          any
	header          ciphertext.Header
	size            int
	version, reason string
	// origin is the column that it opens in, if it is bound to nothing there.
	origin *origin
	// from is where it comes from, and exact says that this is sure.
	from  *Place
	exact bool
	// tuple are the bound values, of whatever column, that it opens by, and rows how
	// many rows have them. Of these, likely many have no sound value in that column:
	// they may have lost it.
	tuple        uint64
	rows, likely int
	likelyAt     *Place
	// settled says that it was counted.
	settled bool
}

// origin is a column where values may come from.
type origin struct {
	// table is the number of a table that is checked, and -1 for others.
	table, column int
	name          string
	rowcodec.Sealed
}

// originsOf returns all columns of the manifest.
func originsOf(by sources.Opened, plan []planned) ([]origin, error) {
	var all []origin
	for _, t := range by.Manifest.Tables {
		number := -1
		var reader *rowcodec.Reader
		for i := range plan {
			if plan[i].Table.Name == t.Name {
				number, reader = i, plan[i].Reader
			}
		}
		if reader == nil {
			var err error
			if reader, err = rowcodec.Read(by.Cipher, t, by.Normalizations); err != nil {
				return nil, err
			}
		}
		for i, column := range reader.Columns {
			all = append(all, origin{number, i, t.Name, column})
		}
	}
	return all, nil
}

// strays are the first values that do not open.
type strays struct {
	mu    sync.Mutex
	all   []*stray
	bytes int
	tried int
}

const (
	// maxStrays is how many values, and of how many bytes together, are looked for in
	// all rows, and maxTried how many are tried in all columns: where there are more,
	// it is not that values were moved.
	maxStrays     = 1000
	maxStrayBytes = 16 << 20
	maxTried      = 100_000
)

// try reports whether one more value is to be tried in all columns.
func (s *strays) try() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried++
	return s.tried <= maxTried
}

// keep keeps a value, if there is room.
func (s *strays) keep(one *stray) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == maxStrays || s.bytes+one.size > maxStrayBytes {
		return false
	}
	s.bytes += one.size
	s.all = append(s.all, one)
	return true
}

// trace looks where a value comes from that does not open, as far as its row tells.
func (r *rowChecker) trace(table int, row backfill.Row, p problem) *stray {
	raw := bytesOf(p.stored)
	s := &stray{at: spot{table, p.column, slices.Clone(row.Key)}, stored: p.stored, size: len(raw), version: p.version, reason: p.reason}
	var err error
	if s.header, err = ciphertext.Parse(raw); err != nil || !r.strays.try() {
		return s
	}
	own := &r.plan[table].Columns[p.column]
	for i := range r.origins {
		o := &r.origins[i]
		if o.table == table && o.column == p.column || !admits(&o.Sealed, s.header) {
			continue
		}
		isBound := len(o.Described().Bind) > 0
		if isBound && o.table != table {
			continue
		}
		bound, err := o.Bound(row)
		if err != nil {
			continue
		}
		if !r.opensBy(&o.Sealed, bound, s.stored) {
			continue
		}
		here := Place{Table: o.name, Column: o.Name}
		if !isBound {
			s.origin = o
		}
		if isBound || o.table == table && r.swapped(own, row, row.Sources[o.Source], s.stored) {
			here.Key, s.exact = row.Key.String(), true
		}
		s.from = &here
		if s.exact {
			break
		}
	}
	return s
}

// admits reports whether a value could be of a column, by what it says of itself.
func admits(column *rowcodec.Sealed, header ciphertext.Header) bool {
	return (header.Algorithm == ciphertext.AESSIV) == column.Deterministic &&
		(!header.Named || header.Table == "" || header.Table == column.Table && header.Column == column.Column.Column)
}

// swapped reports whether another value of a row is the one that a stray was swapped
// with, or is its original.
func (r *rowChecker) swapped(own *rowcodec.Sealed, row backfill.Row, other, stored any) bool {
	if other == nil {
		return false
	}
	if same(other, stored) {
		return true
	}
	return r.opens(own, row, other)
}

func same(a, b any) bool { return string(bytesOf(a)) == string(bytesOf(b)) }
