package ciphertext_test

import (
	"crypto/fips140"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// In FIPS 140-3 mode only AES-256-GCM seals, and no index is slow. Values that
// were sealed otherwise before still open, unless the mode is enforced.
func TestFIPSMode(t *testing.T) {
	t.Parallel()
	if !fips140.Enabled() {
		for _, mode := range []string{"on", "only"} {
			command := exec.Command(os.Args[0], "-test.run=^TestFIPSMode$")
			command.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
			if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
				t.Errorf("fips140=%s: %v\n%s", mode, err, out)
			}
		}
		return
	}
	v := loadVectors(t)
	cipher, err := ciphertext.New(v.ring(t), ciphertext.Config{})
	if err != nil {
		t.Fatal(err)
	}
	place := ciphertext.ColumnConfig{Table: "customers", Column: "email"}
	column := newColumn(t, cipher, place)
	header, err := ciphertext.Parse(seal(t, column, "x"))
	if err != nil || header.Algorithm != ciphertext.AES256GCM {
		t.Errorf("sealed with %s, %v", header.Algorithm, err)
	}
	if _, err := ciphertext.New(v.ring(t), ciphertext.Config{Algorithm: ciphertext.XChaCha20Poly1305}); !errors.Is(err, ciphertext.ErrUnsupported) {
		t.Errorf("XChaCha20-Poly1305 seals: %v", err)
	}
	place.Deterministic = true
	if _, err := cipher.Column(place); !errors.Is(err, ciphertext.ErrUnsupported) {
		t.Errorf("a deterministic column: %v", err)
	}
	indexConfig := ciphertext.IndexConfig{Table: "customers", Column: "email_index"}
	if want := v.Terms[0]; want.Name != "string" || term(t, newIndex(t, cipher, indexConfig), "ada@example.org") != want.Terms[0] {
		t.Error("another term than without the mode")
	}
	indexConfig.Slow = true
	if _, err := cipher.Index(indexConfig); !errors.Is(err, ciphertext.ErrUnsupported) {
		t.Errorf("a slow index: %v", err)
	}
	for _, vec := range v.Good {
		if vec.Table != place.Table || len(vec.Bound) > 0 {
			continue
		}
		stored := vec.stored(t)
		header, err := ciphertext.Parse(stored)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		err = column.Open(&got, stored)
		if opens := header.Algorithm == ciphertext.AES256GCM || !fips140.Enforced(); opens != (err == nil) || !opens && !errors.Is(err, ciphertext.ErrUnsupported) {
			t.Errorf("%s: %v", vec.Name, err)
		}
	}
}
