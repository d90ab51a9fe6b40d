package fsck_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

var (
	rowsFlag = flag.Int("fsck.rows", 2000, "rows of the tables that damage is planted in, 100,000 for the full size")
	seedFlag = flag.Uint64("fsck.seed", 0, "where damage is planted, any if it is 0")
)

// seeded returns random numbers, and prints how to have the same again.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-fsck.seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// check checks, and fails the test if that cannot be done or something secret is told.
func check(t testing.TB, db *gorm.DB, config fsck.Config) fsck.Report {
	t.Helper()
	report, err := fsck.Check(context.Background(), db, config)
	if err != nil {
		t.Fatal(err)
	}
	if text := fmt.Sprintf("%+v", report); strings.Contains(text, "SECRET") || strings.Contains(text, "gc1:") {
		t.Errorf("the report tells a value: %s", text)
	}
	for _, f := range report.Findings {
		if f.Reason == "" {
			t.Errorf("%+v: there is no reason", f)
		}
	}
	return report
}

// lines are findings without their reasons, in order.
func lines(all []fsck.Finding) []string {
	var lines []string
	for _, f := range all {
		line := fmt.Sprintf("%s %s %s: %s %s", f.Table, f.Key, f.Column, f.Kind, f.Version)
		if f.From != nil {
			line += fmt.Sprintf(" from %+v", *f.From)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func requireFindings(t testing.TB, want []fsck.Finding, report fsck.Report) {
	t.Helper()
	if d := gocmp.Diff(lines(want), lines(report.Findings)); d != "" {
		t.Errorf("(-planted +found)\n%s", d)
	}
	totals := map[fsck.Kind]int64{}
	for _, f := range want {
		totals[f.Kind]++
	}
	if d := gocmp.Diff(totals, report.Totals); d != "" {
		t.Errorf("the totals (-planted +found)\n%s", d)
	}
	requireSums(t, report)
}

// requireSums requires that the numbers of a report are those of its rows and findings.
func requireSums(t testing.TB, report fsck.Report) {
	t.Helper()
	perColumn := map[fsck.Kind]int64{}
	for _, c := range report.Columns {
		found := int64(0)
		for kind, n := range c.Kinds {
			perColumn[kind] += n
			if kind != fsck.Copied && kind != fsck.DuplicateNonce { // which open
				found += n
			}
		}
		if c.Nulls+c.Sound+c.Expected+c.Unchecked+found != c.Rows {
			t.Errorf("the numbers of %s.%s are not those of its rows: %+v", c.Table, c.Column, c)
		}
	}
	if d := gocmp.Diff(report.Totals, perColumn); d != "" {
		t.Errorf("by column (-in all +of the columns)\n%s", d)
	}
}

// Each kind of damage is found where it is, and nothing else.
func TestPlantedDamageIsFound(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		random := seeded(t)
		first, second := rings(t)
		db := fill(t, where, first, second, *rowsFlag)
		dir := t.TempDir()
		clean := check(t, db, fsck.Config{TempDir: dir, Memory: 1})
		requireFindings(t, nil, clean)
		if !clean.Sound() || clean.Sampled || len(clean.Columns) != 14 {
			t.Errorf("%d columns, %v", len(clean.Columns), clean.Totals)
		}
		for _, c := range clean.Columns {
			want := int64(*rowsFlag)
			if c.Table == "nothings" {
				want = 0
			}
			if c.Rows != want || c.Column != "scan" && c.Sound != want {
				t.Errorf("%+v", c)
			}
		}

		d := newDamage(t, where, second, *rowsFlag, random)
		d.plant("phone")
		d.plant("weight")
		began := time.Now()
		var told []fsck.Finding
		var last fsck.Progress
		report := check(t, db, fsck.Config{Found: func(f fsck.Finding) { told = append(told, f) }, Progress: func(p fsck.Progress) { last = p }})
		t.Logf("%d rows of %d columns in %v", *rowsFlag, len(report.Columns), time.Since(began))
		requireFindings(t, d.want, report)
		if last.Rows != last.Total || last.Rows != 2*int64(*rowsFlag) || !last.Again || last.Findings != int64(len(told)) || last.Values < 12*last.Rows/2 {
			t.Errorf("the last progress was %+v", last)
		}
		if d := gocmp.Diff(lines(told), lines(report.Findings)); d != "" {
			t.Errorf("(-told +reported)\n%s", d)
		}
		if !slices.IsSortedFunc(report.Columns, func(a, b fsck.ColumnReport) int {
			return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column))
		}) {
			t.Error("the columns are in no order")
		}

		// Another time, with less room, by one worker, and with a report that is full.
		report = check(t, db, fsck.Config{Workers: 1, MaxFindings: 3, Memory: 1, TempDir: dir})
		if len(report.Findings) != 3 || report.Totals[fsck.Moved] == 0 {
			t.Errorf("%+v", report)
		}
		report = check(t, db, fsck.Config{Workers: 1, Memory: 1, TempDir: dir})
		requireFindings(t, d.want, report)
		if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
			t.Errorf("%d files are left: %v", len(left), err)
		}
	})
}
