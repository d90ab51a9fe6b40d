package ciphertext_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// BenchmarkSeal and BenchmarkOpen measure sealing and opening a string of 64
// bytes against the bare work: one call of the same AEAD with a random nonce, on
// as many bytes and associated data, and base64 of the same length. Both
// alternate within one run, and "x-floor" is the ratio of their medians.

const plaintextLen = 64

// bareAD is as long as the associated data of customers.email.
var bareAD = make([]byte, 4+11+4+1+4+1+4+9+4+5)

func BenchmarkSeal(b *testing.B) {
	column := newColumn(b, newCipher(b, newRing(b)), ciphertext.ColumnConfig{})
	secret := strings.Repeat("x", plaintextLen)
	out := make([]byte, 0, 256)

	aead, err := chacha20poly1305.NewX(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	body, bare := make([]byte, 0, 256), make([]byte, 256)
	compare(b, func() {
		out, _ = column.Seal(out[:0], secret)
	}, func() {
		body = append(body[:0], 1)
		body = body[:1+24]
		rand.Read(body[1:])
		body = append(append(body, 1), secret...)
		body = aead.Seal(body[:25], body[1:25], body[25:], bareAD)
		base64.RawURLEncoding.Encode(bare, body)
	})
	if want := len("gc1:1:") + base64.RawURLEncoding.EncodedLen(len(body)); len(out) != want {
		b.Errorf("sealed %d bytes, the bare work %d", len(out), want)
	}
}

func BenchmarkOpen(b *testing.B) {
	column := newColumn(b, newCipher(b, newRing(b)), ciphertext.ColumnConfig{})
	sealed := string(seal(b, column, strings.Repeat("x", plaintextLen)))
	var opened string

	aead, err := chacha20poly1305.NewX(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	nonce := make([]byte, 24)
	text := base64.RawURLEncoding.EncodeToString(aead.Seal(append([]byte{1}, nonce...), nonce, make([]byte, 1+plaintextLen), bareAD))
	body := make([]byte, 256)
	var bare string
	compare(b, func() {
		if err := column.OpenString(&opened, sealed); err != nil {
			b.Fatal(err)
		}
	}, func() {
		n, err := base64.RawURLEncoding.Decode(body, []byte(text))
		if err != nil {
			b.Fatal(err)
		}
		plaintext, err := aead.Open(body[25:25], body[1:25], body[25:n], bareAD)
		if err != nil {
			b.Fatal(err)
		}
		bare = string(plaintext[1:])
	})
	if len(opened) != len(bare) {
		b.Errorf("opened %d bytes, the bare work %d", len(opened), len(bare))
	}
}

// BenchmarkTerm measures the term of an address against the bare work: one
// HMAC-SHA-256 of as many bytes under a key that is kept, and base64.
func BenchmarkTerm(b *testing.B) {
	const address = "ada@example.org"
	index := newIndex(b, newCipher(b, newRing(b)), ciphertext.IndexConfig{})
	var made string

	mac := hmac.New(sha256.New, make([]byte, 32))
	message, sum := make([]byte, 4+4+1+len(address)), make([]byte, 0, sha256.Size)
	bare := ""
	compare(b, func() {
		made, _ = index.Term(address)
	}, func() {
		mac.Reset()
		mac.Write(message)
		sum = mac.Sum(sum[:0])
		bare = base64.RawURLEncoding.EncodeToString(sum[:16])
	})
	if len(made) != len("i1:")+len(bare) {
		b.Errorf("the term is %q, the bare work %q", made, bare)
	}
}

// BenchmarkSlowTerm is nearly all Argon2id.
func BenchmarkSlowTerm(b *testing.B) {
	index := newIndex(b, newCipher(b, newRing(b)), ciphertext.IndexConfig{Slow: true})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := index.Term("4242"); err != nil {
			b.Fatal(err)
		}
	}
}

// compare alternates rounds of ours and of the floor, and reports the ratio
// of the medians beside the time and the allocations of ours.
func compare(b *testing.B, ours, floor func()) {
	const perRound = 2000
	ours()
	floor()
	var times [2][]time.Duration
	for b.Loop() {
		for i, f := range []func(){ours, floor} {
			start := time.Now()
			for range perRound {
				f()
			}
			times[i] = append(times[i], time.Since(start))
		}
	}
	allocs := testing.AllocsPerRun(perRound, ours)
	perCall := float64(median(times[0]).Nanoseconds()) / perRound
	b.ReportMetric(perCall, "ns/value")
	b.ReportMetric(float64(median(times[0]))/float64(median(times[1])), "x-floor")
	b.ReportMetric(allocs, "allocs/value")
	b.ReportMetric(0, "ns/op") // a round of both, which says nothing
}

func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}
