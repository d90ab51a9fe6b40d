package main

import (
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// What status --json prints. Its names do not change; more may be added.
type (
	statusJSON struct {
		Primary primaryJSON  `json:"primary"`
		Columns []columnJSON `json:"columns"`
		Jobs    []jobJSON    `json:"jobs"` // those that are not finished
	}
	primaryJSON struct {
		Data  *keyring.Version `json:"data"`
		Index *keyring.Version `json:"index"`
		// Guessed says that there is no keyring, and that these are the highest.
		Guessed bool `json:"guessed"`
	}
	columnJSON struct {
		Table  string `json:"table"`
		Column string `json:"column"`
		Index  bool   `json:"index"`
		Rows   int64  `json:"rows"`
		Nulls  int64  `json:"nulls"`
		// Foreign values are plaintext or damaged, and Unreadable ones of them damaged.
		Foreign    int64            `json:"foreign"`
		Unreadable int64            `json:"unreadable"`
		Versions   map[string]int64 `json:"versions"`
		// UnderPrimary is how many values are under the primary version.
		UnderPrimary int64 `json:"under_primary"`
		Estimated    bool  `json:"estimated"`
	}
)

func (c census) json(jobs []rotation.Status) statusJSON {
	s := statusJSON{Primary: primaryJSON{Guessed: c.guessed}, Columns: []columnJSON{}, Jobs: []jobJSON{}}
	if version, ok := c.versions[keyring.DataKeys]; ok {
		s.Primary.Data = &version
	}
	if version, ok := c.versions[keyring.IndexKeys]; ok {
		s.Primary.Index = &version
	}
	for _, column := range c.columns {
		n, _ := c.current(column)
		one := columnJSON{column.Table, column.Column, column.Index, column.Rows, column.Nulls, column.Foreign, column.Unreadable, map[string]int64{}, n, column.Estimated}
		for _, count := range column.Versions {
			one.Versions[count.Version.String()] = count.Rows
		}
		s.Columns = append(s.Columns, one)
	}
	for _, job := range jobs {
		s.Jobs = append(s.Jobs, newJobJSON(job))
	}
	return s
}
