package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
)

// vectors are the values of docs/format.md, with what each is.
type vectors struct {
	Good, Bad []struct {
		Name, Stored string
		StoredHex    string `json:"stored_hex"`
		Error        string
	}
	Terms []struct {
		Name  string
		Bits  int
		Terms []string
	}
}

func readVectors(t *testing.T) vectors {
	t.Helper()
	text, err := os.ReadFile("../../ciphertext/testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Good) == 0 || len(v.Bad) == 0 || len(v.Terms) == 0 {
		t.Fatal("there are no vectors")
	}
	return v
}

// What can be seen of a value without a key is seen of every vector, in each form that
// clients show it in.
func TestInspectVectors(t *testing.T) {
	t.Parallel()
	v := readVectors(t)
	kinds := map[string]string{"": isCiphertext, "malformed": isDamaged, "unsupported": isUnsupported, "not_ciphertext": isNotOurs, "authentication": isCiphertext, "unknown_version": isCiphertext, "retired": isCiphertext}
	for _, one := range append(v.Good, v.Bad...) {
		stored := one.Stored
		if one.StoredHex != "" {
			stored = `\x` + one.StoredHex
		}
		for _, given := range []string{stored, `\x` + hex.EncodeToString([]byte(one.Stored)), "X'" + strings.ToUpper(hex.EncodeToString([]byte(one.Stored))) + "'"} {
			if given != stored && one.StoredHex != "" {
				continue
			}
			got := inspectValue("x", []byte(given))
			if got.What != kinds[one.Error] && !(one.Error == "malformed" && got.What == isCiphertext) { // a plaintext that is malformed is seen by who opens it
				t.Errorf("%s: %q is %s (%s), want %s", one.Name, given, got.What, got.Problem, kinds[one.Error])
			}
		}
	}
	for _, one := range v.Terms {
		for _, term := range one.Terms {
			got := inspectValue("x", []byte(term))
			if got.What != isTerm || one.Bits < got.MinBits || one.Bits > got.MaxBits {
				t.Errorf("%s: %s is %s of %d to %d bits, want %d", one.Name, term, got.What, got.MinBits, got.MaxBits, one.Bits)
			}
		}
	}
}

// Whatever is left of a value, what is said does not quote it.
func TestInspectOfPieces(t *testing.T) {
	t.Parallel()
	for _, one := range readVectors(t).Good {
		for end := range len(one.Stored) {
			piece := one.Stored[:end]
			got := inspectValue("x", []byte(piece))
			said, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if end > 20 && strings.Contains(string(said), piece[8:]) {
				t.Errorf("%s: %s quotes %q", one.Name, said, piece)
			}
			if !got.good() && got.Problem == "" {
				t.Errorf("%s: %q has no problem", one.Name, piece)
			}
		}
	}
}

// endless is a line that does not end.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'A'
	}
	e.read += len(p)
	return len(p), nil
}

func TestInspectIsBounded(t *testing.T) {
	t.Parallel()
	in := &endless{}
	err := eachValue(nil, in, func(string, []byte) error { return nil })
	if !errors.Is(err, errDamage) || in.read > 2*longestValue {
		t.Errorf("%v after %d bytes", err, in.read)
	}
}
