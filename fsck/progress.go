package fsck

import (
	"sync"
	"sync/atomic"
	"time"
)

// Progress is how far a check is, for a progress bar.
type Progress struct {
	// Table is the one that is gone through.
	Table string
	// Again says that it is gone through once more, for what was found.
	Again bool
	// Rows of Total were read, in all tables. While they are gone through again, both
	// begin anew.
	Rows, Total int64
	// Values is the number of values and terms that were looked at, NULL among them.
	Values   int64
	Findings int64
	// Rate is how many rows a second were read of late, and Left the time that the rest
	// takes at that rate, zero while that is not known.
	Rate float64
	Left time.Duration
}

// meter counts what was done.
type meter struct {
	rows, total, values, findings atomic.Int64

	mu    sync.Mutex
	table string
	again bool
}

func (m *meter) enter(table string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.table = table
}

// startAgain begins anew with as many rows to read.
func (m *meter) startAgain(rows int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.again = true
	m.rows.Store(0)
	m.total.Store(rows)
}

// interval is the time between two calls of Config.Progress.
const interval = time.Second

// start reports progress until the function that it returns is called.
func (m *meter) start(progress func(Progress)) (stop func()) {
	if progress == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		last, rows := time.Now(), int64(0)
		for {
			over := false
			select {
			case <-ticker.C:
			case <-done:
				over = true
			}
			now := time.Now()
			p := m.now()
			if p.Rows > rows {
				p.Rate = float64(p.Rows-rows) / now.Sub(last).Seconds()
				p.Left = time.Duration(float64(max(p.Total-p.Rows, 0)) / p.Rate * float64(time.Second))
			}
			last, rows = now, p.Rows
			progress(p)
			if over {
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

func (m *meter) now() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Progress{Table: m.table, Again: m.again, Rows: m.rows.Load(), Total: m.total.Load(), Values: m.values.Load(), Findings: m.findings.Load()}
}
