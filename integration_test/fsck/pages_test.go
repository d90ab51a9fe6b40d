package fsck_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// A page has no more than one value beyond the bytes that it is to have, and the pages
// of a table have all rows.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		pool := where.Plain(t)
		exec(t, where, "CREATE TABLE things (id integer PRIMARY KEY, value text)")
		for id := range 40 {
			if _, err := pool.Exec("INSERT INTO things VALUES ($1, $2)", id, strings.Repeat("x", 1000*(id%5))); err != nil {
				t.Fatal(err)
			}
		}
		tables, err := backfill.OpenTables(context.Background(), pool, where.Name, []backfill.Table{{Name: "things", Key: []string{"id"}, Sources: []backfill.Source{{Column: "value"}}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, limit := range []struct {
			rows  int
			bytes int64
		}{{7, 1 << 20}, {40, 1 << 20}, {41, 1 << 20}, {40, 2500}, {1000, 1}} {
			var page backfill.Page
			var keys []string
			shard := backfill.Shard{}
			for end := false; !end; {
				if end, err = tables.ReadPage(context.Background(), shard, limit.rows, limit.bytes, &page); err != nil {
					t.Fatal(err)
				}
				if page.Count > limit.rows || page.Bytes >= limit.bytes+4000 {
					t.Errorf("%d rows of %d bytes, with the limits %v", page.Count, page.Bytes, limit)
				}
				for i := range page.Count {
					keys = append(keys, page.Row(i).Key.String())
					shard.After = backfill.Key{page.Row(i).Key[0]}
				}
			}
			for id := range 40 {
				if len(keys) != 40 || keys[id] != fmt.Sprint(id) {
					t.Fatalf("with the limits %v: %v", limit, keys)
				}
			}
		}
	})
}
