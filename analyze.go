package gormcrypt

import (
	"context"
	"fmt"
	"math"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// IndexReport says how much the terms of a blind index, or the ciphertexts of a
// deterministic column, tell whoever reads the database and has no key: how
// often each of them occurs. [AnalyzeIndex] makes it. It holds numbers only.
//
// Shares and entropies are of the rows that are not NULL, and zero if there are
// none. While several key versions are in use, a value may have a term under
// each of them: then Distinct is too high, and an entropy by at most the binary
// logarithm of the number of versions.
type IndexReport struct {
	// Table and Column are those of the database that were read.
	Table, Column string
	// Rows is the number of all rows, soft-deleted ones too, and Nulls that of
	// those with NULL in the column.
	Rows, Nulls int64
	// Distinct is the number of different terms.
	Distinct int64
	// Versions are the key versions of which there are terms, as the keyring
	// orders them.
	Versions []IndexVersion
	// Others is the number of rows with something that does not start like a
	// term under a key version of the keyring.
	Others int64
	// Top are the shares of the most frequent terms, the largest first: of ten
	// terms at most.
	Top []float64
	// Shannon is the Shannon entropy of the terms, in bits: it is log2(Distinct)
	// if all are equally frequent, and less the more they differ.
	Shannon float64
	// MinEntropy is -log2 of the largest share, in bits.
	MinEntropy float64
	// OneGuess and TenGuesses are the success rates of someone who knows which
	// values are the most frequent, and tries as many for a row without looking
	// at its term: the share of the most frequent value, and of the ten most
	// frequent. This is the β-success-rate of Boztaş (1999), as Bonneau measures
	// with it how well passwords are guessed (The science of guessing, IEEE
	// Symposium on Security and Privacy 2012). It is what a row would tell
	// without an index, too.
	OneGuess, TenGuesses float64
	// ByRank is the expected share of the rows whose values are found by
	// frequency analysis: someone knows how many rows have each value, under
	// each key version, and takes the most frequent term for the most frequent
	// value, the second for the second, and so on; among those that are equally
	// frequent, by lot. It is the sum of the different frequencies of terms,
	// divided by the rows. Naveed, Kamara and Wright read hospital records so,
	// with the numbers of other hospitals (Inference Attacks on
	// Property-Preserving Encrypted Databases, CCS 2015). Who knows the
	// distribution less exactly finds less; who also knows something of single
	// rows, or of columns that go together, finds more.
	ByRank float64
}

// IndexVersion is what an IndexReport says of one key version.
type IndexVersion struct {
	Version keyring.Version
	// Rows is the number of rows with a term under it, and Distinct that of
	// different terms.
	Rows, Distinct int64
}

// topTerms is how many terms an IndexReport lists.
const topTerms = 10

// AnalyzeIndex counts what is stored for a blind index or a deterministic field,
// given by its name in Go or by that of its column, and says how much that tells
// whoever reads the database. Model is a pointer to a struct of Config.Models.
// The table is the model's, or that of db.Table; other conditions of db are not
// looked at. In a transaction it sees what that sees.
//
// It sends one SELECT, past the gates, which reads no plaintext and opens
// nothing. The database groups the whole table by the column and returns the
// number of terms for each frequency: for n rows at most about √(2n) numbers for
// each key version, which are read one by one. It is safe for concurrent use.
//
// It returns ErrNoPlugin if db is without the plugin, a *ModelError if there is
// no such field or equal values of it cannot be told apart from others, and
// otherwise the error of the database, or of ctx when that is cancelled.
func AnalyzeIndex(ctx context.Context, db *gorm.DB, model any, field string) (IndexReport, error) {
	p, stmt, m, err := parsed(db, model)
	if err != nil {
		return IndexReport{}, err
	}
	stored, err := p.storedTerms(stmt.Schema, m, field)
	if err != nil {
		return IndexReport{}, err
	}
	stmt.Context = ctx
	report := IndexReport{Table: stmt.Schema.Table, Column: stored.column}
	var from any = clause.Table{Name: report.Table}
	if expr := db.Statement.TableExpr; expr != nil {
		from, report.Table = *expr, db.Statement.Table
	}
	stored.writeQuery(stmt, from)
	if err := report.read(stmt, stored.versions); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return IndexReport{}, fmt.Errorf("gormcrypt: counting the terms of %s.%s: %w", report.Table, report.Column, err)
	}
	return report, nil
}

// storedTerms is a column with terms.
type storedTerms struct {
	column   string
	versions []keyring.Version
	// prefixes are what the terms of each version start with: a string, or a
	// []byte in a binary column.
	prefixes []any
	lengths  []int // of the prefixes, in bytes
}

// storedTerms returns the column of a field, if equal values have equal terms
// there.
func (p *Plugin) storedTerms(s *schema.Schema, m *modelPolicy, name string) (*storedTerms, error) {
	refused := func(problem, fix string) error {
		return &ModelError{Model: s.ModelType.String(), Field: name, Problem: problem, Fix: fix}
	}
	field := s.LookUpField(name)
	if field == nil {
		return nil, refused("it has no field of that name", "write the Go name of a field, or that of its column")
	}
	t := &storedTerms{column: field.DBName}
	prefix, binary := ciphertext.TermPrefix, false
	if policy := m.byField[field]; policy != nil {
		prefix, binary = ciphertext.Prefix, policy.column.Binary
		switch x := (modelPolicies{m}).searchIndex(field.DBName); {
		case policy.searchable():
		case policy.column.Deterministic:
			return nil, refused("it is bound to other fields, so equal values have different ciphertexts", "there is nothing to analyze")
		case x != nil:
			return nil, refused("equal values have different ciphertexts", "analyze "+x.field.Name+", the index by which they are found")
		default:
			return nil, refused("equal values have different ciphertexts, and it has no index", "there is nothing to analyze")
		}
	} else if !isBlindIndex(field) {
		return nil, refused("it is neither a blind index nor deterministic", "write the name of one")
	}
	for _, version := range p.cipher.Keys().Versions() {
		if version.Set() != keyring.IndexKeys {
			continue
		}
		start := prefix(version)
		t.versions, t.lengths = append(t.versions, version), append(t.lengths, len(start))
		if binary {
			t.prefixes = append(t.prefixes, []byte(start))
		} else {
			t.prefixes = append(t.prefixes, start)
		}
	}
	return t, nil
}

// writeQuery writes the SELECT: for each version and frequency, how many terms
// there are. Versions are counted from 0; -1 is anything else, and -2 NULL.
func (t *storedTerms) writeQuery(stmt *gorm.Statement, from any) {
	column := clause.Column{Name: t.column}
	stmt.WriteString("SELECT v, n, count(*) FROM (SELECT CASE WHEN ")
	stmt.WriteQuoted(column)
	stmt.WriteString(" IS NULL THEN -2")
	for i, prefix := range t.prefixes {
		stmt.WriteString(" WHEN substr(")
		stmt.WriteQuoted(column)
		fmt.Fprintf(&stmt.SQL, ", 1, %d) = ", t.lengths[i])
		stmt.AddVar(stmt, prefix)
		fmt.Fprintf(&stmt.SQL, " THEN %d", i)
	}
	stmt.WriteString(" ELSE -1 END AS v, count(*) AS n FROM ")
	stmt.AddVar(stmt, from)
	stmt.WriteString(" GROUP BY ")
	stmt.WriteQuoted(column)
	stmt.WriteString(") AS terms GROUP BY v, n ORDER BY n DESC")
}

// read sends the SELECT and adds its result up.
func (r *IndexReport) read(stmt *gorm.Statement, versions []keyring.Version) error {
	rows, err := stmt.DB.Statement.ConnPool.QueryContext(stmt.Context, stmt.SQL.String(), stmt.Vars...)
	if err != nil {
		return err
	}
	defer rows.Close()
	counts := make([]IndexVersion, len(versions))
	var top []int64
	var different int64  // the sum of the different frequencies
	var weighted float64 // the sum of n log2 n
	for rows.Next() {
		var version int
		var n, terms int64 // so many terms occur n times
		if err := rows.Scan(&version, &n, &terms); err != nil {
			return err
		}
		r.Rows += n * terms
		switch {
		case version == -2:
			r.Nulls = n
			continue
		case version == -1:
			r.Others += n * terms
		default:
			counts[version].Rows += n * terms
			counts[version].Distinct += terms
		}
		r.Distinct += terms
		different += n
		weighted += float64(terms) * float64(n) * math.Log2(float64(n))
		for range min(terms, int64(topTerms-len(top))) {
			top = append(top, n)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i, count := range counts {
		if count.Rows > 0 {
			count.Version = versions[i]
			r.Versions = append(r.Versions, count)
		}
	}
	if r.Distinct == 0 {
		return nil
	}
	held := float64(r.Rows - r.Nulls)
	for _, n := range top {
		r.Top = append(r.Top, float64(n)/held)
		r.TenGuesses += float64(n) / held
	}
	r.OneGuess = r.Top[0]
	r.MinEntropy = math.Log2(held / float64(top[0]))
	r.Shannon = max(math.Log2(held)-weighted/held, 0) // and not below it by rounding
	r.ByRank = float64(different) / held
	return nil
}

// String returns the report as a table of less than 80 columns, for people. It
// has several lines, without a line break at the end.
func (r IndexReport) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "\n"+format, args...) }
	percent := func(share float64) string {
		if share > 0 && share < .0001 {
			return "< 0.01 %"
		}
		return fmt.Sprintf("%.2f %%", 100*share)
	}
	held := r.Rows - r.Nulls
	fmt.Fprintf(&b, "%s.%s: %d rows, of which %d are NULL", r.Table, r.Column, r.Rows, r.Nulls)
	if r.Distinct == 0 {
		return b.String() + "\nThere are no terms, which could tell something."
	}
	line("\n%-28s %12s %12s %12s", "key version", "rows", "share", "terms")
	for _, v := range r.Versions {
		line("%-28s %12d %12s %12d", v.Version, v.Rows, percent(float64(v.Rows)/float64(held)), v.Distinct)
	}
	if r.Others > 0 {
		line("%-28s %12d %12s", "none of the keyring", r.Others, percent(float64(r.Others)/float64(held)))
	}
	line("\nthe most frequent terms")
	for i, share := range r.Top {
		line("%28d %12s %s", i+1, percent(share), strings.Repeat("#", int(math.Ceil(share*36))))
	}
	line("\n%-28s %12.2f bits, of %.2f at most", "Shannon entropy", r.Shannon, math.Log2(float64(r.Distinct)))
	line("%-28s %12.2f bits", "min-entropy", r.MinEntropy)
	line("%-28s %12s of the rows", "known with 1 guess", percent(r.OneGuess))
	line("%-28s %12s of the rows", "known with 10 guesses", percent(r.TenGuesses))
	line("%-28s %12s of the rows", "known by rank of frequency", percent(r.ByRank))
	if n := len(r.Versions); n > 1 {
		line("\nA value has a term under each of %d key versions, so there are fewer values than\nterms, and the entropies of them are lower, by %.2f bits at most.", n, math.Log2(float64(n)))
	}
	return b.String()
}
