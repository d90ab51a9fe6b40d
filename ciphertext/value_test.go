package ciphertext_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// TestValueIsSealedAsWhatItCameFrom moves values between columns of every kind
// without knowing their types.
func TestValueIsSealedAsWhatItCameFrom(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	from := newColumn(t, cipher, ciphertext.ColumnConfig{Pad: 64})
	index := newIndex(t, cipher, ciphertext.IndexConfig{Normalize: []func(string) string{strings.ToLower}})
	berlin := time.Date(2026, 7, 1, 12, 0, 0, 123456789, time.FixedZone("", 7200))
	for _, v := range []any{
		"", "Ada", "\xff\x00", []byte{}, []byte{0x80}, int8(-5), uint64(math.MaxUint64), 0.5, math.Copysign(0, -1), math.NaN(),
		true, berlin, map[string]int{"b": 1, "a": 2}, []string{"x"},
	} {
		var value ciphertext.Value
		if err := from.Open(&value, seal(t, from, v)); err != nil {
			t.Fatal(err)
		}
		plain := newColumn(t, cipher, ciphertext.ColumnConfig{})
		var got, want any
		if err := plain.Open(&got, seal(t, plain, value)); err != nil {
			t.Fatal(err)
		}
		if err := plain.Open(&want, seal(t, plain, v)); err != nil || fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("%#v came back as %#v, want %#v: %v", v, got, want, err)
		}
		deterministic := newColumn(t, cipher, ciphertext.ColumnConfig{Deterministic: true})
		if got, want := seal(t, deterministic, value), seal(t, deterministic, v); string(got) != string(want) {
			t.Errorf("%#v has another ciphertext in a deterministic column", v)
		}
		if got, want := term(t, index, value), term(t, index, v); got != want {
			t.Errorf("%#v has another term", v)
		}
		var again ciphertext.Value
		if err := plain.Open(&again, seal(t, plain, value)); err != nil || !again.Equal(value) || again.Equal(ciphertext.Value{}) {
			t.Errorf("%#v does not equal itself: %v", v, err)
		}
	}
	if _, err := from.Seal(nil, ciphertext.Value{}); !ciphertext.IsNull(err) {
		t.Errorf("the zero Value gave %v", err)
	}
}

func TestValueIsNotPrinted(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	var value ciphertext.Value
	if err := column.Open(&value, seal(t, column, "SECRET")); err != nil {
		t.Fatal(err)
	}
	hidden := struct{ v ciphertext.Value }{value}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, v := range []any{value, &value, hidden, []ciphertext.Value{value}} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "SECRET") || strings.Contains(text, fmt.Sprintf("%x", "SECRET")) {
				t.Errorf("%s of %T gave %s", verb, v, text)
			}
		}
	}
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("", "value", value, "hidden", hidden)
	if strings.Contains(log.String(), "SECRET") {
		t.Errorf("logged %s", &log)
	}
	if text, err := json.Marshal(value); err == nil {
		t.Errorf("encoded as %s", text)
	}
}
