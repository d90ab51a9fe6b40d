package gormcrypt

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// tagName is the struct tag that adds options to the mark.
const tagName = "encrypt"

// options are those of one field's encrypt tag.
type options struct {
	deterministic bool
	bind          []string // names of fields
	table, column string   // from context=
	pad           int
	migrating     migrating
}

// knownOptions is what errors list.
const knownOptions = "deterministic, bind=Field, context=table.column, pad=64, migrating=read, migrating=write"

// indexOptions are those of the encrypt tag of a blind index.
type indexOptions struct {
	of            []string // names of fields
	normalize     []string
	bits          int
	slow          bool
	table, column string // from context=
	migrating     migrating
}

// parseIndexOptions is parseOptions for a blind index.
func parseIndexOptions(tag string) (indexOptions, error) {
	var o indexOptions
	seen := map[string]bool{}
	for item := range strings.SplitSeq(tag, ",") {
		name, value, hasValue := strings.Cut(strings.TrimSpace(item), "=")
		if seen[name] {
			return o, fmt.Errorf("the option %s occurs twice; keep one, and join names by +", name)
		}
		seen[name] = true
		switch {
		case name == "of" && value != "":
			o.of = strings.Split(value, "+")
		case name == "normalize" && value != "":
			o.normalize = strings.Split(value, "+")
		case name == "bits":
			n, err := strconv.Atoi(value)
			if err != nil || n < ciphertext.MinBits || n > 127 {
				return o, fmt.Errorf("bits=%s cannot be; write a number from %d to 127, or leave it out for a whole index", value, ciphertext.MinBits)
			}
			o.bits = n
		case name == "slow" && !hasValue:
			o.slow = true
		case name == "context":
			var err error
			if o.table, o.column, err = parseContext(value); err != nil {
				return o, err
			}
		case name == "migrating":
			var err error
			if o.migrating, err = parseMigrating(value); err != nil {
				return o, err
			}
		default:
			return o, fmt.Errorf("the option %q of a blind index is not known; known are of=Field, normalize=email, bits=24, slow, context=table.column, migrating=read, migrating=write", item)
		}
	}
	if o.of == nil {
		return o, fmt.Errorf("it is a blind index and does not say of what; add of=Field")
	}
	return o, nil
}

func parseContext(value string) (table, column string, err error) {
	dot := strings.LastIndexByte(value, '.')
	if dot <= 0 || dot == len(value)-1 {
		return "", "", fmt.Errorf("context=%s is not a table and a column; write context=table.column", value)
	}
	return value[:dot], value[dot+1:], nil
}

// parseOptions reads an encrypt tag. Options are separated by commas, and so
// are the fields of bind=, which start with a capital letter as no option
// does. Its errors have the form "problem; fix".
func parseOptions(tag string) (options, error) {
	var o options
	seen := map[string]bool{}
	last := ""
	for item := range strings.SplitSeq(tag, ",") {
		item = strings.TrimSpace(item)
		name, value, hasValue := strings.Cut(item, "=")
		if !hasValue && last == "bind" && item != "" && item[0] >= 'A' && item[0] <= 'Z' {
			o.bind = append(o.bind, item)
			continue
		}
		if seen[name] {
			return o, fmt.Errorf("the option %s= occurs twice; keep one", name)
		}
		seen[name], last = true, name
		switch {
		case name == "deterministic" && !hasValue:
			o.deterministic = true
		case name == "bind" && value != "":
			o.bind = append(o.bind, value)
		case name == "context":
			var err error
			if o.table, o.column, err = parseContext(value); err != nil {
				return o, err
			}
		case name == "pad":
			n, err := strconv.Atoi(value)
			if err != nil || n < 2 || n > ciphertext.MaxPad {
				return o, fmt.Errorf("pad=%s cannot be; write a number of bytes from 2 to %d", value, ciphertext.MaxPad)
			}
			o.pad = n
		case name == "migrating":
			var err error
			if o.migrating, err = parseMigrating(value); err != nil {
				return o, err
			}
		default:
			return o, fmt.Errorf("the option %q of the encrypt tag is not known; known are %s", item, knownOptions)
		}
	}
	return o, nil
}
