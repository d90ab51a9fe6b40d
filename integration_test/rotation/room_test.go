package rotation_test

import (
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// A read takes no more than it has room for, wherever the wide rows are, and the
// next goes on from there.
func TestReadsKeepToTheirRoom(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		pool := where.Plain(t)
		pool.SetMaxOpenConns(2)
		execute(t, pool, "CREATE TABLE notes (id bigint PRIMARY KEY, note text, about text)")
		insert := "INSERT INTO notes VALUES (?, ?, ?)"
		if where.Name == "postgres" {
			insert = "INSERT INTO notes VALUES ($1, $2, $3)"
		}
		const narrow, wide = 10, 1 << 17
		var total int64
		for id := range 80 {
			value := strings.Repeat("x", narrow)
			switch {
			case id >= 40 && id < 60:
				value = strings.Repeat("x", wide)
			case id >= 60: // current
				value = "gc1:2:"
			}
			if id < 60 {
				total += int64(len(value))
			}
			total += 3 // of what it is about
			if _, err := pool.ExecContext(t.Context(), insert, id, value, "abc"); err != nil {
				t.Fatal(err)
			}
		}
		tables, err := backfill.OpenTables(t.Context(), pool, where.Name, []backfill.Table{{
			Name: "notes", Key: []string{"id"}, Cells: []backfill.Cell{{Column: "note", Prefix: "gc1:2:"}}, Sources: []backfill.Source{{Column: "about"}},
		}})
		if err != nil {
			t.Fatal(err)
		}
		rewriting, verifying := backfill.Pass{Phase: backfill.Rewriting, Number: 1}, backfill.Pass{Phase: backfill.Verifying, Number: 2}
		const much = 1 << 30
		for _, c := range []struct {
			name  string
			pass  backfill.Pass
			room  backfill.Room
			reads []int // rows that each went through
		}{
			{"all", rewriting, backfill.Room{Rows: 81, Stale: 80, Bytes: much}, []int{80}},
			{"just all", rewriting, backfill.Room{Rows: 80, Stale: 80, Bytes: much}, []int{80, 0}},
			{"rows", rewriting, backfill.Room{Rows: 50, Stale: 80, Bytes: much}, []int{50, 30}},
			{"stale rows", rewriting, backfill.Room{Rows: 81, Stale: 25, Bytes: much}, []int{25, 25, 30}},
			{"bytes", rewriting, backfill.Room{Rows: 81, Stale: 80, Bytes: 9 * wide}, []int{48, 8, 24}},
			{"fewer bytes than a row has", rewriting, backfill.Room{Rows: 50, Stale: 80, Bytes: wide}, []int{40, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 20}},
			{"rows that are only opened", verifying, backfill.Room{Rows: 50, Stale: 10, Bytes: much}, []int{50, 30}},
		} {
			shard := backfill.Shard{Pass: c.pass}
			var bytes, rows int64
			for i, want := range c.reads {
				part, err := tables.Read(t.Context(), shard, c.room)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if end := i == len(c.reads)-1; part.Count != want || part.End != end {
					t.Fatalf("%s: read %d went through %d rows, want %d; at the end: %t", c.name, i, part.Count, want, part.End)
				}
				if part.Count > 1 && part.Bytes > c.room.Bytes {
					t.Errorf("%s: read %d has %d bytes", c.name, i, part.Bytes)
				}
				bytes += part.Bytes
				rows += int64(len(part.Rows))
				shard.After = part.Last
			}
			if c.pass == rewriting && (bytes != total || rows != 60) {
				t.Errorf("%s: %d bytes and %d stale rows, want %d and 60", c.name, bytes, rows, total)
			}
		}
	})
}
