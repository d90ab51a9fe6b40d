package rotation

import (
	"math"
	"time"
)

// Progress is how far a job is, for a progress bar or a log.
type Progress struct {
	Status
	// Share is how much of this pass is done, from 0 to 1, and RowsLeft the rest in
	// rows, by the number of rows when the job began: it stays at 0.99 while rows that
	// were inserted since are gone through. There may be a pass after it.
	Share    float64
	RowsLeft int64
	// Rate is how many rows a second were gone through of late, in all processes. It
	// is zero while the job waits.
	Rate float64
	// Left is the time that this pass still takes at that rate. It is zero as long
	// as that means nothing: in the first hundredth, and while the job waits.
	Left time.Duration
	// Waits is why the job waits in this process, empty if it does not.
	Waits string
}

// meter measures the rate of a job.
type meter struct {
	pass int
	rows int64
	rate float64
	at   time.Time
}

// smoothing is how much of a rate is that of the last second.
const smoothing = 0.2

// longest is the most that is said to be left: when nothing happens for minutes,
// the rate nears zero.
const longest = 365 * 24 * time.Hour

func (m *meter) progress(s Status, waits string, now time.Time) Progress {
	p := Progress{Status: s, Waits: waits, Share: 1}
	if left := s.Total - s.RowsOfPass; left > 0 && s.State != Finished && s.State != Quarantined {
		p.RowsLeft, p.Share = left, float64(s.RowsOfPass)/float64(s.Total)
	}
	if s.ShardsDone < s.Shards {
		p.Share = min(p.Share, 0.99)
	}
	if m.pass != s.Pass || m.at.IsZero() {
		*m = meter{pass: s.Pass, rows: s.RowsOfPass, at: now}
		return p
	}
	if seconds := now.Sub(m.at).Seconds(); seconds > 0 {
		rate := float64(s.RowsOfPass-m.rows) / seconds
		if m.rate == 0 {
			m.rate = rate
		}
		m.rate += (1 - math.Pow(1-smoothing, seconds)) * (rate - m.rate)
		m.rows, m.at = s.RowsOfPass, now
	}
	if waits == "" {
		p.Rate = m.rate
	}
	if p.Share >= 0.01 && waits == "" && m.rate > 0 {
		p.Left = time.Duration(min(float64(p.RowsLeft)/m.rate, longest.Seconds()) * float64(time.Second)).Round(time.Second)
	}
	return p
}

// attributes are those of a log record.
func (p Progress) attributes() []any {
	all := []any{"state", p.State, "phase", p.Phase, "pass", p.Pass, "share", p.Share, "rows", p.RowsOfPass, "rows_left", p.RowsLeft, "swapped", p.Swapped, "rate", int64(p.Rate)}
	if p.Left > 0 {
		all = append(all, "left", p.Left)
	}
	if p.Quarantined > 0 {
		all = append(all, "quarantined", p.Quarantined)
	}
	if p.Waits != "" {
		all = append(all, "waits", p.Waits)
	}
	return all
}
