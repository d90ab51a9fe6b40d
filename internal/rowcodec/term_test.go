package rowcodec

import (
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// A term that a job has made is the right one also if another key was promoted before
// the job looks at it again. That of another value is not, under any key.
func TestTermAfterAPromotion(t *testing.T) {
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := ciphertext.New(ring, ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	context := manifest.Context{Table: "users", Column: "email"}
	codec, err := Rotate(cipher, manifest.Table{
		Name: "users", PrimaryKey: []string{"id"},
		Columns: []manifest.Column{{Name: "email", Type: manifest.StringValue, Context: context}},
		Indexes: []manifest.Index{{Name: "email_index", Of: []string{"email"}, Context: manifest.Context{Table: "users", Column: "email_index"}}},
	}, keyring.IndexKeys, keyring.MakeVersion(keyring.IndexKeys, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	seal := func(email string) string {
		column, err := cipher.Column(ciphertext.ColumnConfig{Table: "users", Column: "email"})
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := column.Seal(nil, email)
		if err != nil {
			t.Fatal(err)
		}
		return string(sealed)
	}
	row := backfill.Row{Old: []any{nil}, Sources: []any{seal("ada@example.org")}}
	if row.Old[0], err = codec.cells[0].reseal(row, nil); err != nil {
		t.Fatal(err)
	}
	requireSound := func(when string) {
		t.Helper()
		if poison, err := codec.Check(row); err != nil || len(poison) > 0 {
			t.Errorf("%s: %v, %v", when, poison, err)
		}
	}
	requireSound("under the primary key")

	ring, version, err := ring.Add(keyring.IndexKeys)
	if err != nil {
		t.Fatal(err)
	}
	if ring, err = ring.Promote(version); err != nil {
		t.Fatal(err)
	}
	if err := cipher.SetKeys(ring); err != nil {
		t.Fatal(err)
	}
	requireSound("under the key before")

	row.Sources[0] = seal("bob@example.org")
	if poison, err := codec.Check(row); err != nil || len(poison) != 1 || !strings.Contains(poison[0].Reason, errTerm.Error()) {
		t.Errorf("the term of another value: %v, %v", poison, err)
	}
}
