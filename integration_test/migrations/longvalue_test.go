package migrations_test

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Ciphertext can be too long for an index of the column that its plaintext is not too
// long for. Such a value is in quarantine, and does not stop the others; without the
// index it is sealed.
func TestValueTooLongForAnIndex(t *testing.T) {
	t.Parallel()
	c := newCustomers(t, testdb.Postgres(t))
	c.indexed = true
	want := c.fill(50)
	raw := make([]byte, 1900)
	if _, err := rand.Read(raw); err != nil {
		t.Fatal(err)
	}
	long := base64.StdEncoding.EncodeToString(raw)
	if err := c.plain.Create(&plainCustomer{ID: 100, Email: &long, Name: "n"}).Error; err != nil {
		t.Fatal(err)
	}
	want[100] = &long
	if err := wayThere[0].run(c); err != nil {
		t.Fatal(err)
	}
	if _, err := c.as(&writingCustomer{}).Backfill(t.Context(), fast(migrations.Writing)); !errors.Is(err, rotation.ErrQuarantined) {
		t.Errorf("with an index: %v", err)
	}
	execute(t, c.where, "DROP INDEX by_email")
	if _, err := c.as(&writingCustomer{}).Backfill(t.Context(), fast(migrations.Writing)); err != nil {
		t.Error(err)
	}
	c.requireSealed(want)
}
