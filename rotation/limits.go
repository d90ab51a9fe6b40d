package rotation

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/sources"
)

// Limits are what a run may take of a database. The zero value of each field means
// its default. The defaults are gentle: with them, the 99th percentile of an
// application's times stays within a quarter of what it is without a rotation
// (BenchmarkForeground, with SQLite's write-ahead log). At night, take a Duty of 1
// and a Target of 100 ms.
type Limits struct {
	// Target is the time that reading a batch should take, and that writing it
	// should take. Batches grow and shrink to that. The default is 5 ms in
	// PostgreSQL. In SQLite, where every writer waits for a batch, it is 2 ms with a
	// write-ahead log, and 15 ms with another journal, where any write takes long.
	Target time.Duration `json:"target,omitempty"`
	// MaxRows and MaxBytes bound a batch, in rows that are read and in bytes of
	// their stored values. A row of more bytes is a batch of its own. The defaults
	// are 2,000 and 8 MiB.
	MaxRows  int   `json:"max_rows,omitempty"`
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// Rate is the most rows that are written in a second, by all workers of a
	// process together. The default is no limit.
	Rate float64 `json:"rate,omitempty"`
	// Duty is the share of its time that a worker works, above 0 and up to 1; for
	// the rest it lets others. The default is a tenth in PostgreSQL and a fiftieth in
	// SQLite, divided by the number of workers.
	Duty float64 `json:"duty,omitempty"`
}

func (l Limits) check() error { return backfill.Limits(l).Check() }

// or returns the limits, with defaults for Target and Duty.
func (l Limits) or(defaults Limits) Limits {
	if l.Target == 0 {
		l.Target = defaults.Target
	}
	if l.Duty == 0 {
		l.Duty = defaults.Duty
	}
	return l
}

// gentle returns the defaults of a database. All workers of a process share the
// duty.
func gentle(ctx context.Context, db *gorm.DB, workers int) (Limits, error) {
	pool, err := sources.Pool(db)
	if err != nil {
		return Limits{}, err
	}
	limits, err := backfill.Gentle(ctx, pool, db.Dialector.Name(), workers)
	return Limits(limits), err
}
