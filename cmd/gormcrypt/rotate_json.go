package main

import (
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The lines of rotate --json. Their names do not change; more may be added.
type (
	planJSON struct {
		Event  string          `json:"event"` // "plan"
		Set    string          `json:"set"`
		Target keyring.Version `json:"target"`
		// Job is the unfinished one that it goes on with.
		Job    string          `json:"job,omitempty"`
		Tables []planTableJSON `json:"tables"`
	}
	planTableJSON struct {
		Table  string           `json:"table"`
		Rows   int64            `json:"rows"`
		Stale  map[string]int64 `json:"stale"` // by column
		Tried  int              `json:"tried"`
		Failed []valueJSON      `json:"failed"`
	}
	valueJSON struct {
		Table   string `json:"table"`
		Key     string `json:"key"`
		Column  string `json:"column"`
		Version string `json:"version"`
		Reason  string `json:"reason"`
	}
	progressJSON struct {
		Event string `json:"event"` // "progress"
		Set   string `json:"set"`
		jobJSON
		Share         float64 `json:"share"`
		RowsPerSecond float64 `json:"rows_per_second"`
		SecondsLeft   float64 `json:"seconds_left"` // 0 if it is not known
		Waits         string  `json:"waits"`
	}
	endJSON struct {
		Event string `json:"event"` // "end"
		Set   string `json:"set"`
		jobJSON
		Resumed    bool        `json:"resumed"`
		Quarantine []valueJSON `json:"quarantine"`
	}
)

func planEvent(t *turn) planJSON {
	p := planJSON{Event: "plan", Set: t.set.String(), Target: t.plan.Target, Job: t.job.ID, Tables: []planTableJSON{}}
	for _, table := range t.plan.Tables {
		one := planTableJSON{Table: table.Table, Rows: table.Rows, Stale: map[string]int64{}, Tried: table.Tried, Failed: valuesJSON(table.Failed)}
		for _, column := range table.Columns {
			one.Stale[column.Column] = column.Stale
		}
		p.Tables = append(p.Tables, one)
	}
	return p
}

func valuesJSON(values []rotation.QuarantinedValue) []valueJSON {
	all := []valueJSON{}
	for _, v := range values {
		all = append(all, valueJSON{v.Table, v.Key, v.Column, v.Version, words.Replace(v.Reason)})
	}
	return all
}

func progressEvent(set keyring.Set, p rotation.Progress) progressJSON {
	return progressJSON{"progress", set.String(), newJobJSON(p.Status), p.Share, p.Rate, p.Left.Seconds(), p.Waits}
}

func endEvent(set keyring.Set, report rotation.Report, values []rotation.QuarantinedValue) endJSON {
	return endJSON{"end", set.String(), newJobJSON(report.Status), report.Resumed, valuesJSON(values)}
}
