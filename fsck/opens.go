package fsck

import (
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
)

// opens reports whether a value opens in a column of a row.
func (r *rowChecker) opens(column *rowcodec.Sealed, row backfill.Row, stored any) bool {
	bound, err := column.Bound(row)
	return err == nil && r.opensBy(column, bound, stored)
}

// opensBy reports whether a value opens by some bound values. That keys cannot be used
// says nothing of that, and is left in r.err.
func (r *rowChecker) opensBy(column *rowcodec.Sealed, bound []ciphertext.Bound, stored any) bool {
	_, err := column.OpenBound(stored, bound)
	if err == nil {
		return true
	}
	if _, err = kindOf(err, stored); err != nil {
		r.err = err
	}
	return false
}
