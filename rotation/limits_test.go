//go:build cgo

package rotation

import (
	"path/filepath"
	"testing"
	"time"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// What is gentle in SQLite depends on its journal: without a write-ahead log, the
// smallest transaction takes longer than a batch should with it.
func TestGentleLimitsOfSQLite(t *testing.T) {
	t.Parallel()
	for journal, want := range map[string]time.Duration{"WAL": 2 * time.Millisecond, "DELETE": 15 * time.Millisecond, "TRUNCATE": 15 * time.Millisecond} {
		db, err := gorm.Open(sqlite.Open(filepath.Join(t.TempDir(), "app.db") + "?_journal_mode=" + journal))
		if err != nil {
			t.Fatal(err)
		}
		pool, err := db.DB()
		if err != nil {
			t.Fatal(err)
		}
		limits, err := gentle(t.Context(), db, 4)
		if err != nil || limits != (Limits{Target: want, Duty: 0.005}) {
			t.Errorf("%s: %+v, %v", journal, limits, err)
		}
		if mine := (Limits{Target: time.Second, Rate: 7}).or(limits); mine != (Limits{Target: time.Second, Rate: 7, Duty: 0.005}) {
			t.Errorf("%+v", mine)
		}
		if err := pool.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := gentle(t.Context(), db, 4); err == nil {
			t.Error("of a database that is closed")
		}
	}
}
