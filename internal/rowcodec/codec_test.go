package rowcodec

import (
	"errors"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// A key that may not seal any more stops a run. It says nothing of the values, which
// would be in quarantine otherwise.
func TestAnExhaustedKeyIsNotPoison(t *testing.T) {
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	cipher, err := ciphertext.New(ring, ciphertext.Config{Algorithm: ciphertext.AES256GCM, MaxSeals: 2})
	if err != nil {
		t.Fatal(err)
	}
	codec, err := Rotate(cipher, manifest.Table{
		Name: "users", PrimaryKey: []string{"id"},
		Columns: []manifest.Column{{Name: "email", Type: manifest.StringValue, Context: manifest.Context{Table: "users", Column: "email"}}},
	}, keyring.DataKeys, keyring.MakeVersion(keyring.DataKeys, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	column, err := cipher.Column(ciphertext.ColumnConfig{Table: "users", Column: "email"})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := column.Seal(nil, "ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	row := backfill.Row{Old: []any{string(sealed)}}
	if swap, poison, err := codec.Reseal(row); err != nil || len(poison) > 0 || swap.New[0] == nil {
		t.Fatalf("the second value was not sealed: %v, %v", poison, err)
	}
	if _, poison, err := codec.Reseal(row); !errors.Is(err, ciphertext.ErrExhausted) || len(poison) > 0 {
		t.Errorf("the third value: %v, %v, want ErrExhausted", poison, err)
	}
}
