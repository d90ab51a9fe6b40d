package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Limits are what a job may take of a database. They can be changed while it
// runs. The zero value of each field means its default. Package rotation documents
// the fields, and has defaults of its own for Target and Duty.
type Limits struct {
	Target   time.Duration `json:"target,omitempty"`
	MaxRows  int           `json:"max_rows,omitempty"`
	MaxBytes int64         `json:"max_bytes,omitempty"`
	Rate     float64       `json:"rate,omitempty"`
	Duty     float64       `json:"duty,omitempty"`
}

// Check returns what is wrong with the limits.
func (l Limits) Check() error {
	switch {
	case l.Target < 0, l.MaxRows < 0, l.MaxBytes < 0, l.Rate < 0, l.Duty < 0:
		return errors.New("gormcrypt: a limit is negative")
	case l.Duty > 1:
		return fmt.Errorf("gormcrypt: the duty cycle is %v; want at most 1, which is all of the time", l.Duty)
	}
	return nil
}

// withDefaults gives every limit a value.
func (l Limits) withDefaults() Limits {
	if l.Target == 0 {
		l.Target = 100 * time.Millisecond
	}
	if l.MaxRows == 0 {
		l.MaxRows = 2000
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = 8 << 20
	}
	if l.Duty == 0 {
		l.Duty = 0.5
	}
	return l
}

// Gentle returns limits with which the applications of a database hardly notice a job
// of so many workers, who share the duty.
func Gentle(ctx context.Context, pool *sql.DB, dialectName string, workers int) (Limits, error) {
	target, duty := 5*time.Millisecond, 0.1
	if dialectName == "sqlite" {
		var journal string
		if err := pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
			return Limits{}, fmt.Errorf("gormcrypt: %w", err)
		}
		target, duty = 2*time.Millisecond, 0.02
		if !strings.EqualFold(journal, "wal") {
			target = 15 * time.Millisecond
		}
	}
	return Limits{Target: target, Duty: duty / float64(workers)}, nil
}
