package rotation

import (
	"time"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// Limits are what a job may take of a database.
type Limits = backfill.Limits

// gentle are the defaults of a database: with them, the 99th percentile of an
// application's times stays within a quarter of what it is without a rotation
// (BenchmarkForeground). In SQLite every writer waits for a batch, so batches are
// short and rare there. All workers of a process share the duty.
func gentle(l Limits, dialect string, workers int) Limits {
	target, duty := 5*time.Millisecond, 0.1
	if dialect == "sqlite" {
		target, duty = 2*time.Millisecond, 0.02
	}
	if l.Target == 0 {
		l.Target = target
	}
	if l.Duty == 0 {
		l.Duty = duty / float64(workers)
	}
	return l
}
