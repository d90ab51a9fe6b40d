package fsck

import (
	"hash/maphash"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
)

// matches looks whether the value is the original of a stray.
func (l *look) matches(table, number int, column *rowcodec.Sealed, row backfill.Row, stored any) {
	var h uint64
	if text, ok := stored.(string); ok {
		h = maphash.String(l.seed, text)
	} else {
		h = maphash.Bytes(l.seed, bytesOf(stored))
	}
	for _, s := range l.byHash[h] {
		if !s.exact && same(s.stored, stored) && l.opens(column, row, stored) {
			place := l.place(l.plan[table].first+number, row.Key)
			s.from, s.exact = &place, true
		}
	}
}

// tryBound tries the strays with the bound values of a row.
func (l *look) tryBound(table, number int, column *rowcodec.Sealed, row backfill.Row, stored any) {
	bound, err := column.Bound(row)
	if err != nil {
		return
	}
	var h maphash.Hash
	h.SetSeed(l.seed)
	at := l.plan[table].first + number
	maphash.WriteComparable(&h, at)
	for _, b := range bound {
		maphash.WriteComparable(&h, len(b))
		_, _ = h.Write(b)
	}
	tuple := h.Sum64()
	for _, s := range l.hunted {
		if !s.exact && s.tuple == tuple {
			l.alike(s, at, column, row, stored)
		}
	}
	if l.tuples.tried(tuple) {
		return
	}
	for _, s := range l.hunted {
		if s.exact || s.from != nil || l.opened >= maxOpened || !admits(column, s.header) {
			continue
		}
		l.opened += 1 + s.size/1024
		if !l.opensBy(column, bound, s.stored) {
			continue
		}
		place := l.place(at, row.Key)
		s.from, s.tuple = &place, tuple
		l.alike(s, at, column, row, stored)
	}
}

// tuples are hashes of a column and of bound values.
type tuples map[uint64]struct{}

// tried reports whether one was there, and adds it while there is room.
func (t *tuples) tried(tuple uint64) bool {
	if *t == nil {
		*t = tuples{}
	}
	_, again := (*t)[tuple]
	if len(*t) < maxTuples {
		(*t)[tuple] = struct{}{}
	}
	return again
}

// alike counts a row with the bound values that a stray opens by.
func (l *look) alike(s *stray, at int, column *rowcodec.Sealed, row backfill.Row, stored any) {
	s.rows++
	if stored == nil || !l.opens(column, row, stored) {
		s.likely++
		place := l.place(at, row.Key)
		s.likelyAt = &place
	}
}
