package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// mostReadings bounds in how many ways a key is read.
const mostReadings = 64

// readKey returns the keys that a text may mean, as quarantine and fsck print it: the
// columns of the primary key in order, with commas between. The text of one column may
// have commas too, and SQLite tells 7 from '7' where a column has no type.
func readKey(dialect, text string, columns int) ([]backfill.Key, error) {
	var all []backfill.Key
	for _, parts := range splits(text, columns) {
		keys := []backfill.Key{{}}
		for _, part := range parts {
			var longer []backfill.Key
			for _, key := range keys {
				for _, value := range readPart(dialect, part) {
					longer = append(longer, append(key[:len(key):len(key)], value))
				}
			}
			keys = longer
		}
		if all = append(all, keys...); len(all) > mostReadings {
			return nil, fmt.Errorf("%w: KEY can be read in more than %d ways, by its commas", errUsage, mostReadings)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: the primary key has %d columns; give KEY as their values in order, with commas between", errUsage, columns)
	}
	return all, nil
}

// splits returns all ways to split a text at commas into so many parts.
func splits(text string, parts int) [][]string {
	if parts == 1 {
		return [][]string{{text}}
	}
	var all [][]string
	for at, r := range text {
		if r != ',' || len(all) > mostReadings {
			continue
		}
		for _, rest := range splits(strings.TrimPrefix(text[at+1:], " "), parts-1) {
			all = append(all, append([]string{text[:at]}, rest...))
		}
	}
	return all
}

// readPart returns the values that a part of a key may mean.
func readPart(dialect, text string) []any {
	inHex, isHex := strings.CutPrefix(text, "x'")
	raw, err := hex.DecodeString(strings.TrimSuffix(inHex, "'"))
	isHex = isHex && err == nil && strings.HasSuffix(inHex, "'")
	switch {
	case isHex && dialect == "postgres":
		return []any{text, fmt.Sprintf(`\x%x`, raw)}
	case isHex:
		return []any{raw, text}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && dialect == "sqlite" {
		return []any{n, text}
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && dialect == "sqlite" {
		return []any{f, text}
	}
	return []any{text}
}
