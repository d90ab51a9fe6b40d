package fsck_test

import (
	"context"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// A table whose rows the key of the model does not tell apart is an error: some of them
// would not be looked at. That the database knows no such key is none.
func TestKeysOfSeveralRows(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		m := must[manifest.Manifest](t)(gormcrypt.Manifest(fill(t, where, first, second, 600)))
		exec(t, where, "CREATE TABLE spare AS SELECT * FROM patients", "DROP TABLE patients", "ALTER TABLE spare RENAME TO patients",
			"UPDATE patients SET phone = 'SECRET' WHERE id = 450")
		plaintext := []fsck.Finding{{Place: patientPlace(450, "phone"), Kind: fsck.Plaintext}}
		config := fsck.Config{Manifest: &m, Keys: second, Tables: []string{"patients"}}
		requireFindings(t, plaintext, check(t, where.Open(t, nil), config))
		exec(t, where, "CREATE UNIQUE INDEX partly ON patients (id) WHERE id > 10", "CREATE UNIQUE INDEX more ON patients (id, account_id)", "UPDATE patients SET id = 1 WHERE id < 7")
		for _, config.Sample = range []float64{0, 0.5} {
			_, err := fsck.Check(context.Background(), where.Open(t, nil), config)
			requireError(t, err, "the rows of patients cannot be told apart by id: 1 values of that are in several rows")
		}
		config.Sample = 0
		exec(t, where, "UPDATE patients SET id = -CAST(substr(account_id, 9) AS integer) WHERE id = 1", "CREATE UNIQUE INDEX key ON patients (id)")
		requireFindings(t, plaintext, check(t, where.Open(t, nil), config))
	})
}
