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
}

// knownOptions is what errors list.
const knownOptions = "deterministic, bind=Field, context=table.column, pad=64"

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
			dot := strings.LastIndexByte(value, '.')
			if dot <= 0 || dot == len(value)-1 {
				return o, fmt.Errorf("context=%s is not a table and a column; write context=table.column", value)
			}
			o.table, o.column = value[:dot], value[dot+1:]
		case name == "pad":
			n, err := strconv.Atoi(value)
			if err != nil || n < 2 || n > ciphertext.MaxPad {
				return o, fmt.Errorf("pad=%s cannot be; write a number of bytes from 2 to %d", value, ciphertext.MaxPad)
			}
			o.pad = n
		default:
			return o, fmt.Errorf("the option %q of the encrypt tag is not known; known are %s", item, knownOptions)
		}
	}
	return o, nil
}
