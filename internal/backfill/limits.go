package backfill

import (
	"errors"
	"fmt"
	"time"
)

// Limits are what a job may take of a database. They can be changed while it
// runs. The zero value of each field means its default.
type Limits struct {
	// Target is the time that reading a batch should take, and that writing it
	// should take. Batches grow and shrink to that. The default is 5 ms in
	// PostgreSQL, and 2 ms in SQLite, where every writer waits for a batch.
	Target time.Duration `json:"target,omitempty"`
	// MaxRows and MaxBytes bound a batch, in rows that are read and in bytes of
	// their stored values. A row of more bytes is a batch of its own. The defaults
	// are 5,000 and 8 MiB.
	MaxRows  int   `json:"max_rows,omitempty"`
	MaxBytes int64 `json:"max_bytes,omitempty"`
	// Rate is the most rows that are written in a second, by all workers of a
	// process together. The default is no limit.
	Rate float64 `json:"rate,omitempty"`
	// Duty is the share of its time that a worker works, above 0 and up to 1; for
	// the rest it lets others. The default is a tenth in PostgreSQL and a fiftieth
	// in SQLite, divided by the number of workers. At night, take 1, and a target of
	// 100 ms.
	Duty float64 `json:"duty,omitempty"`
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

// withDefaults gives every limit a value. Package rotation knows the database, and
// has Target and Duty of its own.
func (l Limits) withDefaults() Limits {
	if l.Target == 0 {
		l.Target = 100 * time.Millisecond
	}
	if l.MaxRows == 0 {
		l.MaxRows = 5000
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = 8 << 20
	}
	if l.Duty == 0 {
		l.Duty = 0.5
	}
	return l
}
