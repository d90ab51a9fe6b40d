package migrations

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/manifest"
)

// followIndexes finds the indexes of today that have the terms of those in the
// manifest.
func (c *comparison) followIndexes() {
	for _, before := range c.indexes {
		if heirs := follow(before, c.indexes, c.indexesToday); len(heirs) > 0 {
			c.indexHeirs[before.at], c.indexOrigins[heirs[0].at] = heirs[0], before
		}
	}
}

// compareIndexes needs the heirs of the columns. That an index is gone is fine: what
// searched by it is refused.
func (c *comparison) compareIndexes() {
	for _, before := range c.indexes {
		if heir, ok := c.indexHeirs[before.at]; ok {
			c.compareIndex(before, heir)
		}
	}
	for _, d := range c.indexesToday {
		if _, ok := c.indexOrigins[d.at]; !ok && c.hasTermless(d) {
			c.newIndex(d)
		}
	}
}

func (c *comparison) compareIndex(before stored[manifest.Index], d declared[manifest.Index]) {
	const anew = "leave it as it was, declare the new index under another name with migrating=read, and drop this one when that is finished"
	was, is := before.it, d.it
	if before.context != d.context {
		c.report(before.at, fmt.Sprintf("the context of the blind index was %s.%s and is %s.%s, so stored terms do not match", before.context.Table, before.context.Column, d.context.Table, d.context.Column),
			"write "+tagOf(before.context)+" in its encrypt tag")
	}
	if !c.sameOf(before, d) || !sameTerms(was, is) {
		c.report(before.at, fmt.Sprintf("the blind index was %s and is %s, so stored terms do not match", tag(was), tag(is)), anew)
	} else if of := c.otherKindOf(d); of != "" {
		c.report(before.at, "the type of "+of+" has changed, so stored terms of the blind index do not match", "leave the type; or "+anew)
	}
	switch {
	case was.Migrating == "" && is.Migrating == "read":
		c.report(before.at, "the blind index is migrating=read and so not written, and programs of the last deployment search by it",
			"deploy it with migrating=write in between")
	case was.Migrating == "read" && is.Migrating == "":
		c.report(before.at, "the blind index is not migrating any more, and was migrating=read: rows without a term are not found",
			"deploy it with migrating=write in between, and finish its migration")
	}
}

// sameTerms reports whether two indexes make the same terms of the same values.
func sameTerms(was, is manifest.Index) bool {
	return slices.Equal(was.Normalize, is.Normalize) && was.Bits == is.Bits && was.Slow == is.Slow
}

// sameOf reports whether two indexes are of the same columns, which may have been
// renamed. Terms do not hold their names.
func (c *comparison) sameOf(before stored[manifest.Index], d declared[manifest.Index]) bool {
	return slices.EqualFunc(before.it.Of, d.it.Of, func(was, is string) bool {
		return slices.ContainsFunc(c.heirs[place{before.at.table, was}], func(heir declared[manifest.Column]) bool {
			return heir.at == place{d.at.table, is}
		})
	})
}

// otherKindOf returns a column of an index whose values open, and have other terms.
func (c *comparison) otherKindOf(d declared[manifest.Index]) string {
	for _, of := range d.it.Of {
		was := c.origins[place{d.at.table, of}].it
		is := d.model.Columns[slices.IndexFunc(d.model.Columns, func(column manifest.Column) bool { return column.Name == of })]
		if otherKind(was, is) && c.opens(was.Type, d.model.Types[of]) {
			return of
		}
	}
	return ""
}

// tag returns the options of an index, with the names of columns.
func tag(x manifest.Index) string {
	options := []string{"of=" + strings.Join(x.Of, "+")}
	if len(x.Normalize) > 0 {
		options = append(options, "normalize="+strings.Join(x.Normalize, "+"))
	}
	if x.Bits > 0 {
		options = append(options, fmt.Sprintf("bits=%d", x.Bits))
	}
	if x.Slow {
		options = append(options, "slow")
	}
	return strings.Join(options, ",")
}

// hasTermless reports whether there may be ciphertext that a new index has no terms
// of. There is none where a column is new, and so NULL, or was migrating=read, and so
// plaintext: that is found beside the index, and gets its term when it is sealed.
func (c *comparison) hasTermless(d declared[manifest.Index]) bool {
	return !slices.ContainsFunc(d.it.Of, func(of string) bool {
		origin, ok := c.origins[place{d.at.table, of}]
		return !ok || origin.it.Migrating == "read"
	})
}

// newIndex reports an index that is not in the manifest, if it is not built first.
func (c *comparison) newIndex(d declared[manifest.Index]) {
	if d.it.Migrating == "read" {
		return
	}
	problem, fix := "the blind index is new, and what is stored has no term of it: searches by it would miss that", "deploy it with migrating=read first"
	if d.it.Migrating == "write" {
		problem = "the blind index is new and migrating=write, and programs of the last deployment do not write its terms"
	}
	for _, before := range c.indexes {
		if _, ok := c.indexHeirs[before.at]; !ok && sameTerms(before.it, d.it) && c.sameOf(before, d) {
			fix += "; if it is " + before.at.String() + " under a new name, add " + tagOf(before.context) + " to its encrypt tag instead"
		}
	}
	c.report(d.at, problem, fix)
}
