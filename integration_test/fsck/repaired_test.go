package fsck_test

import (
	"context"
	"errors"
	"testing"

	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// What was repaired after it was read, and before it is reported, is no finding.
func TestRepairedMeanwhile(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		db := fill(t, where, first, second, 700)
		exec(t, where, "CREATE TABLE spare AS SELECT id, weight, payout FROM patients",
			"UPDATE patients SET weight = (SELECT weight FROM spare WHERE spare.id = patients.id + 300) WHERE id <= 300",
			"UPDATE patients SET payout = (SELECT payout FROM spare WHERE spare.id = 5) WHERE id IN (7, 8)")
		pool := where.Plain(t)
		repaired := false
		report := check(t, db, fsck.Config{Workers: 1, Found: func(f fsck.Finding) {
			if repaired {
				return
			}
			repaired = true
			for _, statement := range []string{"UPDATE patients SET weight = NULL WHERE id > 300", "UPDATE patients SET payout = NULL WHERE id = 7"} {
				if _, err := pool.ExecContext(context.Background(), statement); err != nil {
					t.Error(err)
				}
			}
		}})
		// Copies are reported a hundred at a time.
		if report.Totals[fsck.Copied] != 100 || report.Totals[fsck.Moved] != 1 || len(report.Totals) != 2 {
			t.Errorf("%v", report.Totals)
		}
		requireSums(t, report)
	})
}

// What was repaired counts as what it is now, and what is not there any more as not read.
func TestNumbersOfWhatWasRepaired(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		db := fill(t, where, first, second, 100)
		exec(t, where, "CREATE TABLE spare AS SELECT id, payout FROM patients", "UPDATE patients SET phone = 'SECRET' WHERE id = 90",
			"UPDATE patients SET account_id = 'another' WHERE id IN (11, 22, 33, 44, 55)")
		pool := where.Plain(t)
		report := check(t, db, fsck.Config{Workers: 1, Tables: []string{"patients"}, Found: func(f fsck.Finding) {
			if f.Kind != fsck.Plaintext {
				return
			}
			for _, statement := range []string{
				"UPDATE patients SET payout = NULL WHERE id = 11",
				"UPDATE patients SET account_id = 'account-22' WHERE id = 22",
				"DELETE FROM patients WHERE id = 33",
				"UPDATE patients SET payout = 'SECRET' WHERE id = 44",
			} {
				if _, err := pool.ExecContext(context.Background(), statement); err != nil {
					t.Error(err)
				}
			}
		}})
		requireFindings(t, []fsck.Finding{
			{Place: patientPlace(90, "phone"), Kind: fsck.Plaintext},
			{Place: patientPlace(55, "payout"), Kind: fsck.Damaged, Version: "1"},
		}, report)
		for _, c := range report.Columns {
			if c.Column == "payout" && (c.Rows != 98 || c.Nulls != 1 || c.Sound != 96) {
				t.Errorf("%+v", c)
			}
		}
	})
}

// With an error, the report has what was found until there.
func TestFoundBeforeAnError(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		db := fill(t, where, first, second, 100)
		exec(t, where, "UPDATE patients SET account_id = 'another' WHERE id = 11", "UPDATE patients SET phone = 'SECRET' WHERE id = 90")
		ctx, cancel := context.WithCancel(context.Background())
		report, err := fsck.Check(ctx, db, fsck.Config{Workers: 1, Found: func(fsck.Finding) { cancel() }})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		requireFindings(t, []fsck.Finding{
			{Place: patientPlace(90, "phone"), Kind: fsck.Plaintext},
			{Place: patientPlace(11, "payout"), Kind: fsck.Damaged, Version: "1"},
		}, report)
	})
}
