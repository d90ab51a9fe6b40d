package rotation_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// What is kept of a plaintext in quarantine tells nothing to who has the database and no
// key: not whether it is what somebody guesses, and not that two are equal. To a run, it
// tells whether the value is still the same.
func TestQuarantineTellsNothingOfPlaintext(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		accounts(t, where, first, 5)
		const secret = "+44 20 7946 0000"
		execute(t, where.Plain(t), "UPDATE accounts SET email = '"+secret+"' WHERE id IN (2, 3)")
		db := use(t, where, promoted, &account{})
		report, err := run(t, db, rotation.Config{})
		if !errors.Is(err, rotation.ErrQuarantined) || report.Quarantined != 2 || report.Pass > 3 {
			t.Fatalf("%v: %+v", err, report)
		}
		marks := column(t, where, "SELECT fingerprint FROM gormcrypt_quarantine ORDER BY row_key")
		if len(marks) != 2 || marks[0] == "" || marks[0] == marks[1] {
			t.Errorf("two rows with equal values have %q", marks)
		}
		sum := sha256.Sum256([]byte(secret))
		for _, text := range column(t, where, "SELECT fingerprint || ' ' || reason || ' ' || row_key FROM gormcrypt_quarantine") {
			if strings.Contains(text, secret) || strings.Contains(text, hex.EncodeToString(sum[:8])) {
				t.Errorf("the ledger has %q", text)
			}
		}
		// Another process knows them again, and says the same of the next job.
		again, err := run(t, use(t, where, promoted, &account{}), rotation.Config{})
		if !errors.Is(err, rotation.ErrQuarantined) || again.Pass > 3 {
			t.Errorf("again: %v: %+v", err, again)
		}
		if quarantine, err := rotation.Quarantine(context.Background(), db, again.Job); err != nil || len(quarantine) != 2 {
			t.Errorf("again: %v, %+v", err, quarantine)
		}
	})
}
