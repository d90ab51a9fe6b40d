package main

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/rotation"
)

// limitFlags are what a job that goes through all rows may take of the database.
type limitFlags struct {
	workers         int
	rate            float64
	fast            bool
	maxLag, maxWait time.Duration
}

func (f *limitFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.workers, "workers", 0, "how many work at a time, each with a connection (default: the number of processors)")
	flags.Float64Var(&f.rate, "rate", 0, "the most rows to write in a second")
	flags.BoolVar(&f.fast, "fast", false, "take what the database gives, which applications will notice")
	flags.DurationVar(&f.maxLag, "max-lag", 0, "wait while a replica of PostgreSQL is further behind than this, such as 5s")
	flags.DurationVar(&f.maxWait, "max-wait", 0, "give up when it had to wait for a replica for so long (default: never)")
}

// check finds flags that cannot be.
func (f limitFlags) check(db *gorm.DB) error {
	switch {
	case f.workers < 0 || f.rate < 0 || f.maxLag < 0 || f.maxWait < 0:
		return fmt.Errorf("%w: a number is negative; see --help", errUsage)
	case f.maxWait > 0 && f.maxLag == 0:
		return fmt.Errorf("%w: --max-wait is about what --max-lag waits for; give that too", errUsage)
	case f.maxLag > 0 && db.Name() != "postgres":
		return fmt.Errorf("%w: --max-lag is for PostgreSQL; SQLite has no replicas", errUsage)
	}
	return nil
}

func (f limitFlags) limits() rotation.Limits {
	limits := rotation.Limits{Rate: f.rate}
	if f.fast {
		limits.Duty, limits.Target = 1, 100*time.Millisecond
	}
	return limits
}

func (f limitFlags) throttles(db *gorm.DB) []rotation.Throttle {
	if f.maxLag == 0 {
		return nil
	}
	return []rotation.Throttle{rotation.ReplicationLag(db, f.maxLag)}
}
