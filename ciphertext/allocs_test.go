//go:build !race

package ciphertext_test

import (
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// The race detector empties pools at random, so this is for builds without.
func TestSealAndOpenAllocateAtMostTwice(t *testing.T) {
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	secret := strings.Repeat("x", 64)
	buf := make([]byte, 0, 512)
	sealed := string(seal(t, column, secret))
	if n := testing.AllocsPerRun(1000, func() { buf, _ = column.Seal(buf[:0], secret) }); n > 2 {
		t.Errorf("Seal allocates %v times", n)
	}
	var opened string
	if n := testing.AllocsPerRun(1000, func() { _ = column.OpenString(&opened, sealed) }); n > 2 {
		t.Errorf("Open allocates %v times", n)
	}
}

// One is the term, the other the string in its any.
func TestTermAllocatesAtMostTwice(t *testing.T) {
	index := newIndex(t, newCipher(t, newRing(t)), ciphertext.IndexConfig{})
	value, made := strings.Repeat("x", 16), ""
	if n := testing.AllocsPerRun(1000, func() { made, _ = index.Term(value) }); n > 2 || made == "" {
		t.Errorf("Term allocates %v times", n)
	}
}
