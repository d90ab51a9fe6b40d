package rotation

import "time"

// Progress is how far a job is, for a progress bar or a log.
type Progress struct {
	Status
	// Share is how much of this pass is done, from 0 to 1.
	Share float64
	// Rate is how many rows a second were gone through of late, in all processes.
	Rate float64
	// Left is the time that this pass still takes at that rate. It is zero as long
	// as that means nothing: in the first hundredth, and while the job waits.
	Left time.Duration
	// Waits is why the job waits, empty if it does not.
	Waits string
}

// meter measures the rate of a job.
type meter struct {
	pass  int
	began time.Time
	rows  int64
	rate  float64
	at    time.Time
}

// smoothing is how much of a rate is that of the last second.
const smoothing = 0.2

func (m *meter) progress(s Status, waits string, now time.Time) Progress {
	p := Progress{Status: s, Waits: waits}
	if s.Shards > 0 {
		p.Share = float64(s.ShardsDone) / float64(s.Shards)
	}
	if m.pass != s.Pass || m.at.IsZero() {
		*m = meter{pass: s.Pass, began: now, rows: s.RowsOfPass, at: now}
		return p
	}
	if seconds := now.Sub(m.at).Seconds(); seconds > 0 {
		rate := float64(s.RowsOfPass-m.rows) / seconds
		if m.rate == 0 {
			m.rate = rate
		}
		m.rate += smoothing * (rate - m.rate)
	}
	m.rows, m.at = s.RowsOfPass, now
	p.Rate = m.rate
	if p.Share >= 0.01 && p.Share < 1 && waits == "" && m.rate > 0 {
		total := float64(s.RowsOfPass) / p.Share
		p.Left = time.Duration((total - float64(s.RowsOfPass)) / m.rate * float64(time.Second)).Round(time.Second)
	}
	return p
}

// attributes are those of a log record.
func (p Progress) attributes() []any {
	all := []any{"state", p.State, "phase", p.Phase, "pass", p.Pass, "share", p.Share, "rows", p.Rows, "swapped", p.Swapped, "rate", int64(p.Rate)}
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
