package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// sampleOfValues is the share of a table that is looked at. Of small ones it is all.
const sampleOfValues = 0.01

// checkValues looks for plaintext where none should be, and for values under keys that
// are not in the keyring.
func (e *examination) checkValues(ctx context.Context) []finding {
	var all []finding
	for _, table := range e.encrypted.Tables {
		if !e.fits[table.Name] {
			all = append(all, of(table.Name, []finding{{Status: notLookedAt, Detail: "it needs the table as the manifest has it, and the right to read it"}})...)
			continue
		}
		census, err := rotation.Census(ctx, e.db, rotation.CensusConfig{Manifest: e.encrypted, Tables: []string{table.Name}, Sample: sampleOfValues})
		if err != nil {
			all = append(all, of(table.Name, failed(err))...)
			continue
		}
		migrating := map[string]bool{}
		for _, column := range table.Columns {
			migrating[column.Name] = column.Migrating != ""
		}
		found := []finding{}
		for _, column := range census.Columns {
			found = append(found, columnFindings(column, migrating[column.Column], e.opens)...)
		}
		if len(found) == 0 {
			found = ok("nothing but ciphertext under keys that there are, in what was looked at")
			if e.opens == nil {
				found = ok("nothing but ciphertext, in what was looked at; without a keyring here, its keys are not compared")
			}
		}
		all = append(all, of(table.Name, found)...)
	}
	return all
}

// columnFindings judges what a column holds. Opens has the versions of the keyring, and
// whether they are not retired; it is nil if that is not known.
func columnFindings(c rotation.ColumnCensus, migrating bool, opens map[keyring.Version]bool) []finding {
	about := "in about"
	if !c.Estimated {
		about = "in"
	}
	var all []finding
	if c.Unreadable > 0 {
		all = append(all, problem("gormcrypt fsck lists them; restore them from a backup", "%s: ciphertext that was cut or changed, %s %s", c.Column, about, counted(c.Unreadable, "row"))...)
	}
	if plain := c.Foreign - c.Unreadable; plain > 0 && !migrating {
		what, fix := "plaintext, or what another program has written", "gormcrypt fsck lists them; gormcrypt migrate, with --deployed settled, seals what is plaintext"
		if c.Index {
			what, fix = "no terms of an index", "gormcrypt fsck lists them; set them to NULL, and have the application write these rows anew"
		}
		all = append(all, problem(fix, "%s: %s, %s %s", c.Column, what, about, counted(plain, "row"))...)
	}
	var lacking []string
	for _, v := range c.Versions {
		switch open, known := opens[v.Version]; {
		case opens == nil || open:
		case known:
			lacking = append(lacking, fmt.Sprintf("key %s, which is retired, %s %s", v.Version, about, counted(v.Rows, "row")))
		default:
			lacking = append(lacking, fmt.Sprintf("key %s, which the keyring does not have, %s %s", v.Version, about, counted(v.Rows, "row")))
		}
	}
	if len(lacking) > 0 {
		all = append(all, problem("use a keyring that has the key; without it these values are lost", "%s: values under %s", c.Column, strings.Join(lacking, "; "))...)
	}
	return all
}
