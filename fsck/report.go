package fsck

import (
	"cmp"
	"slices"
)

// Kind is what is wrong with a stored value. docs/fsck.md says of each what to do.
type Kind string

// The kinds of findings.
const (
	// Plaintext: the value is not ciphertext, in a column that is not migrating. It
	// was there before the column was encrypted, or was written past the plugin. Seal
	// it by package migrations.
	Plaintext Kind = "plaintext"
	// Foreign: the value begins as ciphertext does and is none of this format: of a
	// later version of it, or cut, or changed by something that handles text. Or it is
	// no term, in the column of an index. Read it with a later version of this library,
	// or restore it; make terms anew by package migrations.
	Foreign Kind = "foreign"
	// Damaged: the value does not open at its place, and at none that was tried. It was
	// changed, or sealed by another keyring; or a column of its row that it is bound to
	// was changed. Restore it.
	Damaged Kind = "damaged"
	// Moved: the value does not open at its place, and does where Finding.From says.
	// Somebody has put it there past the plugin. Put it back.
	Moved Kind = "moved"
	// Copied: the ciphertext is that of another row too, which sealing never gives
	// twice. Somebody has copied it past the plugin. See which row it belongs to, and
	// have the application write the other one anew.
	Copied Kind = "copied"
	// DuplicateNonce: another ciphertext was sealed under the same key with the same
	// nonce, which shows what the plaintexts have in common. The random numbers of
	// whatever wrote it are broken: a virtual machine was restored from a snapshot, or
	// a program of somebody else's seals. See to that, then rotate the key.
	DuplicateNonce Kind = "duplicate nonce"
	// UnknownKey: the keyring has no key of the version that the value names. Load the
	// keyring that has it.
	UnknownKey Kind = "unknown key"
	// RetiredKey: the key version that the value names is retired. Load a keyring that
	// still has its key, and rotate.
	RetiredKey Kind = "retired key"
	// WrongType: the value opens, and holds another type than the manifest says, so
	// programs that read it get an error. Something with another model wrote it.
	WrongType Kind = "wrong type"
	// WrongTerm: the term is not the one of its values, so searches miss the row, or
	// find it for something else. Write the row anew by the application.
	WrongTerm Kind = "wrong term"
	// NoTerm: there is no term, and the values that it is of are not NULL, so searches
	// miss the row. Make it by package migrations.
	NoTerm Kind = "no term"
	// TermWithoutValue: there is a term, and a value that it is of is NULL. Searches
	// find the row for what was there. Set the term to NULL.
	TermWithoutValue Kind = "term without value"
)

// Place is where a value is stored.
type Place struct {
	Table string
	// Key is the primary key, its columns separated by commas. In Finding.From it is
	// empty if only table and column are known.
	Key    string
	Column string
}

// Finding is something that is wrong with a stored value. It holds nothing of the value,
// its plaintext or its term.
type Finding struct {
	Place
	Kind Kind
	// Version is the key version that the value names, empty if it names none.
	Version string
	// From is where a value that is Moved comes from, or where else what is Copied or a
	// DuplicateNonce is. Of Moved, Key is empty if all rows of the column are equally
	// likely.
	From *Place
	// Reason says it in words.
	Reason string
}

// ColumnReport is what was found in a column.
type ColumnReport struct {
	Table, Column string
	// Index says that the column holds the terms of a blind index.
	Index bool
	// Rows is the number of rows that were read, and Nulls of those with NULL. Each is
	// in one of the other numbers, or has a finding that is no Copied or DuplicateNonce.
	Rows, Nulls int64
	// Sound is the number of values that open, and of terms that are those of their
	// values. Later, some may be found to be copies.
	Sound int64
	// Expected values are no ciphertext, or terms that are not there, as they may be
	// while the column is migrating.
	Expected int64
	// Unchecked terms are of values that do not open, or of a slow index without
	// Config.SlowTerms.
	Unchecked int64
	// Kinds are how many findings of each kind there are.
	Kinds map[Kind]int64
}

// Report is what Check has found.
type Report struct {
	// Columns come by table and name.
	Columns []ColumnReport
	// Findings are the first ones, of Totals, by table, column and key.
	Findings []Finding
	Totals   map[Kind]int64
	// Sampled says that no more than a sample of some table was read.
	Sampled bool
}

// Sound reports whether nothing was found.
func (r Report) Sound() bool { return len(r.Totals) == 0 }

// merge adds the counts of a worker.
func (c *ColumnReport) merge(other ColumnReport) {
	c.Rows += other.Rows
	c.Nulls += other.Nulls
	c.Sound += other.Sound
	c.Expected += other.Expected
	c.Unchecked += other.Unchecked
}

// count counts what the column of a row came to, in a row that is counted.
func (c *ColumnReport) count(o outcome) {
	switch o {
	case isNull:
		c.Nulls++
	case isSound:
		c.Sound++
	case isExpected:
		c.Expected++
	case isUnchecked:
		c.Unchecked++
	}
}

// finish puts a report in order.
func (r *Report) finish() {
	slices.SortFunc(r.Columns, func(a, b ColumnReport) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column))
	})
	slices.SortFunc(r.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column),
			cmp.Compare(len(a.Key), len(b.Key)), cmp.Compare(a.Key, b.Key), cmp.Compare(a.Kind, b.Kind))
	})
}

// add adds a finding, which is kept if there is room.
func (r *Report) add(column *ColumnReport, f Finding, room int) {
	r.Totals[f.Kind]++
	if column.Kinds == nil {
		column.Kinds = map[Kind]int64{}
	}
	column.Kinds[f.Kind]++
	if len(r.Findings) < room {
		r.Findings = append(r.Findings, f)
	}
}
