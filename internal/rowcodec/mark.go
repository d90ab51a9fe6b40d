package rowcodec

import (
	"fmt"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// Mark tells what a column of a row holds from what else it may hold, by a term under
// the primary index key. Without one, all values are the same to it: then a value in
// quarantine that was changed is looked at by the next run, and not by this.
func (c *Codec) Mark(key backfill.Key, column string, stored any) string {
	index, err := c.marks()
	if err != nil {
		return ""
	}
	switch stored.(type) {
	case string, []byte:
		stored = text(stored)
	default: // such as a number, in SQLite
		stored = fmt.Sprint(stored)
	}
	term, err := index.Term(c.Table.Name, key.String(), column, stored)
	if err != nil {
		return ""
	}
	return term
}
