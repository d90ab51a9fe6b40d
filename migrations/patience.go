package migrations

import (
	"context"
	"strings"
	"time"
)

// sqlitePatience is how long others may hold an SQLite database, beside what a connection
// waits by itself.
const sqlitePatience = 10 * time.Second

// patiently runs f again while others hold the database. The messages are SQLite's,
// which all drivers for Go have from it.
func patiently(ctx context.Context, f func() error) error {
	for began := time.Now(); ; {
		err := f()
		if err == nil || time.Since(began) > sqlitePatience || !strings.Contains(err.Error(), "is locked") {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}
