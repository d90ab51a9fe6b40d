package migrations

import (
	"context"
	"fmt"
	"time"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Verification is what Verify has found.
type Verification struct {
	// Rows is the number of rows that were gone through, and Values that of the values
	// in them that were opened, terms among them.
	Rows, Values int64
	// Plaintext is the number of rows that are not encrypted, or lack a term.
	Plaintext int64
	// Failed are the first thousand values that do not open, or terms that are not
	// those of their values, of FailedTotal.
	Failed      []rotation.QuarantinedValue
	FailedTotal int64
}

// maxFailed is how many of them are kept.
const maxFailed = 1000

// Verify goes through all rows, and makes sure that there is no plaintext, that every
// value opens, and that every term is that of its values. It writes nothing, takes no
// lock, and can be run again in any state after Backfill. Of Config.Limits it goes by
// MaxRows, MaxBytes and Duty.
//
// It returns a Verification and an error that wraps ErrNotVerified if something is
// left, ErrOrder, and the errors of ctx and the database.
func (m *Migration) Verify(ctx context.Context, config Config) (Verification, error) {
	r, _, err := m.begin(ctx, "Verify", &config)
	if err != nil {
		return Verification{}, err
	}
	db, err := m.database(config)
	if err != nil {
		return Verification{}, err
	}
	now, err := m.asItIs(ctx, db, r)
	if err != nil {
		return Verification{}, err
	}
	codec, err := now.encrypting()
	if err != nil {
		return Verification{}, err
	}
	v, err := m.walk(ctx, config, codec)
	if err != nil {
		return v, err
	}
	if v.Plaintext > 0 || v.FailedTotal > 0 {
		return v, fmt.Errorf("gormcrypt: %w: %s: %d rows are not encrypted, and %d values are not what they should be; run Backfill again, and repair what it leaves", ErrNotVerified, m, v.Plaintext, v.FailedTotal)
	}
	if r.State == Backfilled {
		_, err = m.enter(ctx, r, Verified)
	}
	return v, err
}

// walk goes through the table as a codec does, and checks what is there.
func (m *Migration) walk(ctx context.Context, config Config, codec *rowcodec.Codec) (Verification, error) {
	var v Verification
	tables, err := m.tables(ctx, codec)
	if err != nil {
		return v, err
	}
	pressure := backfill.NewPressure(backfill.Limits(config.Limits), nil, 0)
	shard := backfill.Shard{Pass: backfill.Pass{Phase: backfill.Verifying}}
	turn := backfill.Turn{}
	for {
		if err := pressure.Wait(ctx, turn, func() error { return ctx.Err() }); err != nil {
			return v, err
		}
		began := time.Now()
		part, err := tables.Read(ctx, shard, pressure.Room())
		if err != nil {
			return v, m.failed("verifying", err)
		}
		for _, row := range part.Rows {
			poison, err := codec.Check(row)
			if err != nil {
				return v, err
			}
			for _, old := range row.Old {
				if old != nil && old != "" {
					v.Values++
				}
			}
			for _, value := range poison {
				if v.FailedTotal++; len(v.Failed) < maxFailed {
					v.Failed = append(v.Failed, rotation.QuarantinedValue{Table: m.table.Name, Key: row.Key.String(), Column: value.Column, Version: value.Version, Reason: value.Reason, NotedAt: began})
				}
			}
		}
		v.Rows += int64(part.Count)
		ended := time.Now()
		pressure.DidRead(part, 0, ended.Sub(began))
		turn = backfill.Turn{Worked: ended.Sub(began), Ended: ended}
		if part.End {
			break
		}
		shard.After = part.Last
	}
	// What was written behind the walk is seen by a count.
	v.Plaintext, err = tables.StaleRows(ctx, 0)
	if err != nil {
		return v, m.failed("counting plaintext", err)
	}
	return v, nil
}
