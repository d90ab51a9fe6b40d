package ciphertext_test

import (
	"bytes"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

func newIndex(t testing.TB, cipher *ciphertext.Cipher, config ciphertext.IndexConfig) *ciphertext.Index {
	t.Helper()
	if config.Table == "" {
		config.Table, config.Column = "customers", "email_index"
	}
	index, err := cipher.Index(config)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func term(t testing.TB, index *ciphertext.Index, values ...any) string {
	t.Helper()
	made, err := index.Term(values...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// Equal values of any width have one term, and nothing else has.
func TestTermEquality(t *testing.T) {
	t.Parallel()
	index := newIndex(t, newCipher(t, newRing(t)), ciphertext.IndexConfig{})
	noon := time.Date(2026, 6, 1, 12, 0, 0, 1, time.UTC)
	equal := [][][]any{
		{{42}, {int8(42)}, {int64(42)}, {cents(42)}, {new(42)}, {sql.NullInt64{Int64: 42, Valid: true}}},
		{{uint8(42)}, {uint64(42)}},
		{{"42"}, {status("42")}, {new("42")}, {sql.NullString{String: "42", Valid: true}}},
		{{[]byte("42")}, {token("42")}},
		{{0.0}, {negativeZero}, {float32(0)}},
		{{math.NaN()}, {math.Float64frombits(0x7ff8000000000123)}},
		{{noon}, {noon.In(time.FixedZone("", 5*3600))}, {birthday(noon)}},
		{{noon.Add(1)}},
		{{false}}, {{true}}, {{""}}, {{"", ""}}, {{[]byte{}}},
		{{"ab", "c"}}, {{"a", "bc"}}, {{"abc"}}, {{"c", "ab"}}, {{"ab", "c", ""}},
		// Values that hold what stands between values.
		{{"a\x01b", "c"}}, {{"a", "b\x01c"}}, {{"a\x00\x00\x00\x00\x01b", "c"}}, {{"a", "b\x00\x00\x00\x00\x01c"}},
		{{"a", 1}}, {{"a", uint(1)}}, {{1, "a"}},
		{{map[string]int{"a": 1, "b": 2}}, {map[string]any{"b": 2, "a": 1}}},
	}
	for i, class := range equal {
		for _, values := range class {
			for j, other := range equal {
				if same := term(t, index, other[0]...) == term(t, index, values...); same != (i == j) {
					t.Errorf("%T%v and %T%v have one term: %t", other[0], other[0], values, values, same)
				}
				if same, err := index.Equal(other[0], values); err != nil || same != (i == j) {
					t.Errorf("Equal(%v, %v) is %t, %v", other[0], values, same, err)
				}
			}
		}
	}
}

// A term belongs to one index: to its table, its column, its key, and to the
// plain or the slow way of making it.
func TestTermsBelongToTheirIndex(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	seen := map[string]string{}
	note := func(name, made string) {
		t.Helper()
		body := made[strings.LastIndexByte(made, ':')+1:]
		if other, ok := seen[body]; ok {
			t.Errorf("%s and %s have one term", name, other)
		}
		seen[body] = name
	}
	for _, place := range [][2]string{{"customers", "email_index"}, {"customers", "phone_index"}, {"users", "email_index"},
		{"customerse", "mail_index"}, {"email_index", "customers"}} {
		config := ciphertext.IndexConfig{Table: place[0], Column: place[1]}
		note(fmt.Sprint(place), term(t, newIndex(t, cipher, config), "x"))
	}
	note("slow", term(t, newIndex(t, cipher, ciphertext.IndexConfig{Slow: true}), "x"))
	note("another keyring", term(t, newIndex(t, newCipher(t, newRing(t)), ciphertext.IndexConfig{}), "x"))
}

func TestNullHasNoTerm(t *testing.T) {
	t.Parallel()
	index := newIndex(t, newCipher(t, newRing(t)), ciphertext.IndexConfig{Normalize: []func(string) string{strings.ToLower}})
	for _, values := range [][]any{{nil}, {(*string)(nil)}, {[]byte(nil)}, {sql.NullString{}}, {(*sql.NullString)(nil)}, {new(*string)},
		{nil, "a"}, {"a", nil}, {"a", sql.NullTime{}, "b"}} {
		if made, err := index.Term(values...); made != "" || !ciphertext.IsNull(err) {
			t.Errorf("%v has the term %q, %v", values, made, err)
		}
		if made, err := index.Terms(values...); made != nil || !ciphertext.IsNull(err) {
			t.Errorf("%v has the terms %q, %v", values, made, err)
		}
		for _, other := range [][]any{values, {"a"}} {
			if same, err := index.Equal(values, other); same || err != nil {
				t.Errorf("%v is equal to %v: %t, %v", values, other, same, err)
			}
		}
	}
	if made := term(t, index, ""); made == "" {
		t.Error("the empty string has no term")
	}
}

func TestTermsUnderEveryLiveKey(t *testing.T) {
	t.Parallel()
	first := newRing(t)
	must := func(ring *keyring.Keyring, err error) *keyring.Keyring {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	two, i2, err := first.Add(keyring.IndexKeys)
	must(two, err)
	three, i3, err := two.Add(keyring.IndexKeys)
	must(three, err)
	promoted := must(three.Promote(i2))
	retired := must(promoted.Retire(keyring.MakeVersion(keyring.IndexKeys, 1)))
	withData, _, err := retired.Add(keyring.DataKeys)
	must(withData, err)
	last := must(must(withData.Promote(i3)).Retire(i2))

	cipher := newCipher(t, first)
	index := newIndex(t, cipher, ciphertext.IndexConfig{})
	under := map[string]string{}
	for _, step := range []struct {
		name string
		ring *keyring.Keyring
		want []string
	}{
		{"one key", first, []string{"i1"}}, {"a second", two, []string{"i1", "i2"}}, {"a third", three, []string{"i1", "i2", "i3"}},
		{"the second is promoted", promoted, []string{"i2", "i1", "i3"}}, {"the first is retired", retired, []string{"i2", "i3"}},
		{"another data key", withData, []string{"i2", "i3"}}, {"the last", last, []string{"i3"}},
	} {
		if err := cipher.SetKeys(step.ring); err != nil {
			t.Fatal(err)
		}
		terms, err := index.Terms("ada@example.org")
		if err != nil {
			t.Fatal(err)
		}
		var versions []string
		for _, made := range terms {
			version, body, _ := strings.Cut(made, ":")
			versions = append(versions, version)
			if before, ok := under[version]; ok && before != body {
				t.Errorf("%s: the term under %s has changed", step.name, version)
			}
			under[version] = body
		}
		if !slices.Equal(versions, step.want) {
			t.Errorf("%s: a search looks for %v, want %v", step.name, versions, step.want)
		}
		if terms[0] != term(t, index, "ada@example.org") {
			t.Errorf("%s: what is stored is not what is looked for first", step.name)
		}
	}
	if under["i1"] == under["i2"] || under["i2"] == under["i3"] {
		t.Error("two keys make one term")
	}
}

func TestNoTermWithoutAKey(t *testing.T) {
	t.Parallel()
	ring, err := keyring.New(keyring.DataKey(1, keyring.Primary, bytes.Repeat([]byte{1}, keyring.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	index := newIndex(t, newCipher(t, ring), ciphertext.IndexConfig{})
	if _, err := index.Term("MARKER"); !errors.Is(err, keyring.ErrNoPrimary) {
		t.Errorf("Term: error %v, want ErrNoPrimary", err)
	}
	if _, err := index.Terms("MARKER"); !errors.Is(err, keyring.ErrNoPrimary) {
		t.Errorf("Terms: error %v, want ErrNoPrimary", err)
	}
	if same, err := index.Equal([]any{"a"}, []any{"a"}); !same || err != nil {
		t.Errorf("Equal needs a key: %t, %v", same, err)
	}
}

// A truncated term is the start of the whole one, with zeros for the bits of
// its last byte that are not used.
func TestTruncatedTerms(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	decode := func(made string) []byte {
		t.Helper()
		text, ok := strings.CutPrefix(made, "i1:")
		b, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if !ok || err != nil {
			t.Fatalf("%q: %v", made, err)
		}
		return b
	}
	for n := range 20 {
		whole := decode(term(t, newIndex(t, cipher, ciphertext.IndexConfig{}), n))
		if len(whole) != 16 {
			t.Fatalf("a whole term has %d bytes", len(whole))
		}
		for bits := ciphertext.MinBits; bits <= 128; bits++ {
			want := bytes.Clone(whole)
			for bit := bits; bit < 128; bit++ {
				want[bit/8] &^= 0x80 >> (bit % 8)
			}
			want = want[:(bits+7)/8]
			if got := decode(term(t, newIndex(t, cipher, ciphertext.IndexConfig{Bits: bits}), n)); !bytes.Equal(got, want) {
				t.Errorf("%d bits: %x, want %x of %x", bits, got, want, whole)
			}
		}
	}
	four := newIndex(t, cipher, ciphertext.IndexConfig{Bits: 4})
	classes := map[string]int{}
	for n := range 1000 {
		classes[term(t, four, n)]++
	}
	if len(classes) != 16 {
		t.Errorf("4 bits make %d classes", len(classes))
	}
}

func TestSlowTerms(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	slow := newIndex(t, cipher, ciphertext.IndexConfig{Slow: true})
	made := term(t, slow, "4242")
	if !strings.HasPrefix(made, "i1:a19456.2.1:") || len(made) != len("i1:a19456.2.1:")+22 {
		t.Errorf("the term is %q", made)
	}
	if made != term(t, newIndex(t, cipher, ciphertext.IndexConfig{Slow: true}), "4242") {
		t.Error("one value has two terms")
	}
	if made == term(t, slow, "4243") {
		t.Error("two values have one term")
	}
	if short := term(t, newIndex(t, cipher, ciphertext.IndexConfig{Slow: true, Bits: 24}), "4242"); short != made[:len("i1:a19456.2.1:")+4] {
		t.Errorf("of 24 bits it is %q, whole %q", short, made)
	}
}

// Strings are normalized by every function, in order, before they are indexed
// or compared; other values are not.
func TestNormalizeOrder(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	plain := newIndex(t, cipher, ciphertext.IndexConfig{})
	cut := func(s string) string { return s[:min(len(s), 2)] }
	double := func(s string) string { return s + s }
	functions := []func(string) string{cut, double}
	index := newIndex(t, cipher, ciphertext.IndexConfig{Normalize: functions})
	functions[1] = cut // the index keeps its own
	for value, want := range map[any]any{
		"abc": "abab", status("abc"): "abab", "": "", 42: 42,
		sql.NullString{String: "abc", Valid: true}: "abab",
	} {
		if term(t, index, value) != term(t, plain, want) {
			t.Errorf("%v is not indexed as %v", value, want)
		}
	}
	if term(t, index, []byte("abc")) != term(t, plain, []byte("abc")) {
		t.Error("bytes are normalized")
	}
	if term(t, index, "abc", 1, "x") != term(t, plain, "abab", 1, "xx") {
		t.Error("the values of a compound index are not normalized each")
	}
	for _, c := range []struct {
		a, b []any
		want bool
	}{
		{[]any{"abc"}, []any{"abd"}, true}, {[]any{"abc"}, []any{"acd"}, false}, {[]any{"abc", "x"}, []any{"abd", "x"}, true},
		{[]any{"abc"}, []any{"abc", "abc"}, false},
	} {
		if same, err := index.Equal(c.a, c.b); same != c.want || err != nil {
			t.Errorf("Equal(%v, %v) is %t, %v", c.a, c.b, same, err)
		}
	}
}

func TestIndexErrorsSayWhereAndNotWhat(t *testing.T) {
	t.Parallel()
	index := newIndex(t, newCipher(t, newRing(t)), ciphertext.IndexConfig{})
	for _, values := range [][]any{{}, {make(chan int)}, {"MARKER", failingValuer{"MARKER"}}, {"MARKER", quotingJSON{"MARKER"}}, {[]string{"MARKER\xff"}}, {doubleValuer{}}} {
		_, termErr := index.Term(values...)
		_, termsErr := index.Terms(values...)
		_, leftErr := index.Equal(values, []any{"a"})
		_, rightErr := index.Equal([]any{nil}, values)
		for _, err := range []error{termErr, termsErr, leftErr, rightErr} {
			var detail *ciphertext.Error
			if !errors.As(err, &detail) || !errors.Is(err, ciphertext.ErrType) || detail.Op != "index" || detail.Table != "customers" || detail.Column != "email_index" {
				t.Errorf("error %#v does not say where", err)
				continue
			}
			if text := err.Error(); strings.Contains(text, "MARKER") || !strings.Contains(text, "cannot index customers.email_index") {
				t.Errorf("the error is %q", text)
			}
		}
	}
}

func TestIndexRefusesItsConfig(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	long := strings.Repeat("x", 1<<16)
	for _, config := range []ciphertext.IndexConfig{
		{}, {Table: "t"}, {Column: "c"}, {Table: long, Column: "c"}, {Table: "t", Column: long},
		{Table: "t", Column: "c", Bits: -1}, {Table: "t", Column: "c", Bits: 1}, {Table: "t", Column: "c", Bits: 3}, {Table: "t", Column: "c", Bits: 129},
		{Table: "t", Column: "c", Normalize: []func(string) string{nil}},
	} {
		if _, err := cipher.Index(config); err == nil {
			t.Errorf("%.60v was accepted", config)
		}
	}
}

func TestParseTerm(t *testing.T) {
	t.Parallel()
	i7, last := keyring.MakeVersion(keyring.IndexKeys, 7), keyring.MakeVersion(keyring.IndexKeys, 4294967295)
	for text, want := range map[string]ciphertext.Term{
		"i7:AAECAwQFBgcICQoLDA0ODw": {Version: i7}, "i7:8A": {Version: i7}, "i4294967295:AQID": {Version: last},
		"i7:a19456.2.1:AAECAwQFBgcICQoLDA0ODw": {Version: i7, Slow: true}, "i7:a19456.2.1:8A": {Version: i7, Slow: true},
	} {
		if got, err := ciphertext.ParseTerm(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for text, class := range map[string]error{
		"": ciphertext.ErrNotTerm, "ada@example.org": ciphertext.ErrNotTerm, "i7": ciphertext.ErrNotTerm, "i7:": ciphertext.ErrNotTerm,
		"7:AAECAwQFBgcICQoLDA0ODw": ciphertext.ErrNotTerm, "gc1:i7:AQ": ciphertext.ErrNotTerm, "i07:8A": ciphertext.ErrNotTerm, "i0:8A": ciphertext.ErrNotTerm,
		" i7:8A": ciphertext.ErrNotTerm, "i7:8A ": ciphertext.ErrNotTerm, "i7:8A\n": ciphertext.ErrNotTerm, "i7:8A==": ciphertext.ErrNotTerm, "i7:8B": ciphertext.ErrNotTerm,
		"i7:A": ciphertext.ErrNotTerm, "i7:+/8A": ciphertext.ErrNotTerm, "i7:AAECAwQFBgcICQoLDA0ODxA": ciphertext.ErrNotTerm, "i4294967296:8A": ciphertext.ErrNotTerm,
		"i7:a19456.2.1:": ciphertext.ErrNotTerm, "i7:a19456.2.1": ciphertext.ErrNotTerm, "i7::8A": ciphertext.ErrNotTerm, "i7:19456.2.1:8A": ciphertext.ErrNotTerm,
		"i7:a19456.2:8A": ciphertext.ErrNotTerm, "i7:a19456.2.1.1:8A": ciphertext.ErrNotTerm, "i7:a19456.02.1:8A": ciphertext.ErrNotTerm,
		"i7:a19456.i2.1:8A": ciphertext.ErrNotTerm, "i7:a:8A": ciphertext.ErrNotTerm, "i7:a19456.2.1:8A:8A": ciphertext.ErrNotTerm,
		"i7:a65536.3.4:8A": ciphertext.ErrUnsupported, "i7:a19456.2.2:8A": ciphertext.ErrUnsupported,
	} {
		if got, err := ciphertext.ParseTerm(text); got != (ciphertext.Term{}) || !errors.Is(err, class) {
			t.Errorf("%q: %+v, %v; want %v", text, got, err, class)
		}
	}
}

// Nothing that a program prints of an index, or gets from it, holds a key.
func TestIndexPrintsNoKey(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	ring := v.ring(t)
	index := newIndex(t, newCipher(t, ring), ciphertext.IndexConfig{})
	term(t, index, "x")
	derived, err := ring.Derive(keyring.MakeVersion(keyring.IndexKeys, 4294967295),
		lp("gormcrypt/1 index")+lp("\x01")+lp("customers")+lp("email_index"), 48)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, shown := range []string{fmt.Sprintf(verb, index), fmt.Sprintf(verb, []any{index}), fmt.Sprintf(verb, struct{ x any }{index})} {
			for _, secret := range [][]byte{derived, derived[32:], mustHex(t, v.Keys["i4294967295"])} {
				for _, form := range keyringtest.Forms(secret) {
					if strings.Contains(shown, form) {
						t.Errorf("%s shows a key: %.200q", verb, shown)
					}
				}
			}
		}
	}
}

// Many goroutines make terms while the keyring is replaced under them.
func TestTermsWhileKeysAreReplaced(t *testing.T) {
	t.Parallel()
	first := newRing(t)
	second, added, err := first.Add(keyring.IndexKeys)
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := second.Promote(added)
	if err != nil {
		t.Fatal(err)
	}
	cipher := newCipher(t, second)
	index := newIndex(t, cipher, ciphertext.IndexConfig{Normalize: []func(string) string{strings.ToLower}})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			value := strings.Repeat("X", worker*50)
			want, err := index.Terms(value)
			if err != nil {
				t.Error(err)
				return
			}
			slices.Sort(want)
			for i := range 200 {
				if worker == 0 {
					ring := second
					if i%2 == 0 {
						ring = promoted
					}
					if err := cipher.SetKeys(ring); err != nil {
						t.Error(err)
					}
				}
				got, err := index.Terms(value)
				slices.Sort(got)
				if err != nil || !slices.Equal(got, want) {
					t.Errorf("terms %q, %v; want %q", got, err, want)
					return
				}
			}
		})
	}
	group.Wait()
}
