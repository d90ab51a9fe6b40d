package ciphertext_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

var negativeZero = math.Copysign(0, -1)

func floatHex(f float64) string { return fmt.Sprintf("%016x", math.Float64bits(f)) }

func newRing(t testing.TB) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func newCipher(t testing.TB, ring *keyring.Keyring) *ciphertext.Cipher {
	t.Helper()
	return newCipherOf(t, ring, ciphertext.XChaCha20Poly1305)
}

func newCipherOf(t testing.TB, ring *keyring.Keyring, algorithm ciphertext.Algorithm) *ciphertext.Cipher {
	t.Helper()
	cipher, err := ciphertext.New(ring, ciphertext.Config{Algorithm: algorithm})
	if err != nil {
		t.Fatal(err)
	}
	return cipher
}

func newColumn(t testing.TB, cipher *ciphertext.Cipher, config ciphertext.ColumnConfig) *ciphertext.Column {
	t.Helper()
	if config.Table == "" && !config.Named {
		config.Table, config.Column = "customers", "email"
	}
	column, err := cipher.Column(config)
	if err != nil {
		t.Fatal(err)
	}
	return column
}

type (
	status   string
	cents    int32
	token    []byte
	birthday time.Time
	address  struct {
		Street string
		Lines  []string
	}
)

// roundTrips holds a value of every supported shape.
func roundTrips() map[string]any {
	text, number, moment := "pointed to", int64(7), time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	pointer := &text
	values := map[string]any{
		"string": "ada@example.org", "empty string": "", "prefix": "gc1:1:AQ", "invalid UTF-8": "a\xff\x00b",
		"1 MiB": strings.Repeat("0123456789abcdef", 1<<16),
		"bytes": []byte{0, 1, 2, 255}, "empty bytes": []byte{}, "bytes of a type": token("t"),
		"named string": status("open"), "named int": cents(-5), "named time": birthday(moment),
		"int": int(-1), "int8": int8(math.MinInt8), "int16": int16(math.MaxInt16), "int32": int32(math.MinInt32), "int64": int64(math.MinInt64),
		"uint": uint(1), "uint8": uint8(math.MaxUint8), "uint16": uint16(math.MaxUint16), "uint32": uint32(math.MaxUint32), "uint64": uint64(math.MaxUint64),
		"float32": float32(math.SmallestNonzeroFloat32), "float64": math.MaxFloat64, "infinity": math.Inf(-1), "zero": 0.0, "negative zero": negativeZero,
		"true": true, "false": false,
		"time": moment, "time with offset": moment.In(time.FixedZone("", -3*3600-1800)), "zero time": time.Time{}.UTC(),
		"map": map[string]string{"a": "1"}, "empty map": map[string]int{}, "slice": []string{"a", ""}, "struct": address{"Main", []string{"x"}},
		"replacement characters": []string{"\ufffd", `\ufffd`, `\\ufffd`},
		"array":                  [4]byte{1, 2, 3, 4}, "text marshaler": netip.MustParseAddr("192.0.2.1"), "raw JSON": json.RawMessage(`{"a": 1}`),
		"pointer to string": &text, "pointer to int": &number, "pointer to time": &moment, "pointer to pointer": &pointer,
		"sql.NullString": sql.NullString{String: "x", Valid: true}, "sql.NullInt64": sql.NullInt64{Int64: 3, Valid: true},
		"sql.NullTime": sql.NullTime{Time: moment, Valid: true}, "sql.Null": sql.Null[string]{V: "y", Valid: true},
	}
	return values
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	configs := map[string]ciphertext.ColumnConfig{
		"text": {}, "binary": {Binary: true}, "padded": {Pad: 64}, "named": {Table: "t", Column: "c", Named: true},
		"deterministic": {Deterministic: true}, "deterministic binary": {Deterministic: true, Binary: true, Pad: 2},
		"without column": {Named: true},
	}
	for _, algorithm := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM} {
		for configName, config := range configs {
			column := newColumn(t, newCipherOf(t, ring, algorithm), config)
			for name, value := range roundTrips() {
				t.Run(fmt.Sprintf("%s/%s/%s", algorithm, configName, name), func(t *testing.T) {
					t.Parallel()
					prefix := []byte("caller's ")
					out, err := column.Seal(prefix, value)
					if err != nil {
						t.Fatal(err)
					}
					sealed, ok := bytes.CutPrefix(out, prefix)
					if !ok {
						t.Fatal("Seal did not append")
					}
					if !bytes.HasPrefix(sealed, []byte("gc1:")) {
						t.Fatalf("no prefix in front: %.8q", sealed)
					}
					opened := reflect.New(reflect.TypeOf(value))
					if err := column.Open(opened.Interface(), sealed); err != nil {
						t.Fatal(err)
					}
					want := value
					if moment, ok := value.(time.Time); ok && config.Deterministic {
						want = moment.UTC()
					}
					if got := opened.Elem().Interface(); !reflect.DeepEqual(got, want) && !sameTime(got, want) {
						t.Errorf("opened to %v, want %v", got, want)
					}
					again := reflect.New(reflect.TypeOf(value))
					if err := column.OpenString(again.Interface(), string(sealed)); err != nil {
						t.Error("as a string:", err)
					}
				})
			}
		}
	}
}

// sameTime compares what time.FixedZone makes incomparable.
func sameTime(a, b any) bool {
	x, ok := a.(time.Time)
	y, ok2 := b.(time.Time)
	_, ox := x.Zone()
	_, oy := y.Zone()
	return ok && ok2 && x.Equal(y) && ox == oy
}

func TestNaNHasOneEncoding(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{Deterministic: true})
	a := seal(t, column, math.NaN())
	b := seal(t, column, math.Float64frombits(0x7ff8000000000123))
	if !bytes.Equal(a, b) {
		t.Error("two NaNs sealed differently")
	}
	var f float64
	if err := column.Open(&f, a); err != nil || !math.IsNaN(f) {
		t.Errorf("opened to %v, %v", f, err)
	}
}

func seal(t testing.TB, column *ciphertext.Column, value any, bound ...ciphertext.Bound) []byte {
	t.Helper()
	sealed, err := column.Seal(nil, value, bound...)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// Equal values of any width find each other in a deterministic column, and
// nothing else does.
func TestDeterministicEquality(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{Deterministic: true})
	noon := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	equal := [][]any{
		{int8(42), int16(42), int32(42), int64(42), int(42), cents(42)},
		{uint8(42), uint64(42), uint(42)},
		{"a", status("a"), new("a")},
		{0.0, negativeZero, float32(0)},
		{noon, noon.In(time.FixedZone("", 3600)), noon.In(time.Local)},
		{[]byte("a"), token("a")},
	}
	for i, class := range equal {
		for _, value := range class {
			if !bytes.Equal(seal(t, column, class[0]), seal(t, column, value)) {
				t.Errorf("%T and %T of one value sealed differently", class[0], value)
			}
			for j, other := range equal {
				if i != j && bytes.Equal(seal(t, column, other[0]), seal(t, column, value)) {
					t.Errorf("%T and %T sealed alike", other[0], value)
				}
			}
		}
	}
}

func TestRandomNonces(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM} {
		column := newColumn(t, newCipherOf(t, newRing(t), algorithm), ciphertext.ColumnConfig{Binary: true})
		seen := map[string]bool{}
		for range 1000 {
			nonce := seal(t, column, "same")[len("gc1:1:")+1:][:12]
			if seen[string(nonce)] {
				t.Fatalf("%s used a nonce twice", algorithm)
			}
			seen[string(nonce)] = true
		}
	}
}

func TestNullIsNotSealed(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	for _, value := range []any{nil, (*string)(nil), (*int)(nil), []byte(nil), map[string]string(nil), []int(nil),
		sql.NullString{}, sql.NullTime{}, (*sql.NullString)(nil), new(*string)} {
		out, err := column.Seal([]byte("kept"), value)
		if !ciphertext.IsNull(err) {
			t.Errorf("%T: error %v, want ErrNull", value, err)
		}
		if string(out) != "kept" {
			t.Errorf("%T: the caller's buffer is now %q", value, out)
		}
	}
}

func TestSealRefusesWhatDoesNotEncode(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	for _, value := range []any{make(chan int), func() {}, complex(1, 2), map[string]any{"f": func() {}}, cyclic,
		failingValuer{"MARKER"}, doubleValuer{}, quotingJSON{"MARKER"},
		[]string{"MARKER\xff"}, map[string]string{"MARKER\xff": ""}, []string{`\\`, "\\\\\xffMARKER"}} {
		_, err := column.Seal(nil, value)
		if !errors.Is(err, ciphertext.ErrType) {
			t.Errorf("%T: error %v, want ErrType", value, err)
		}
		if err != nil && strings.Contains(err.Error(), "MARKER") {
			t.Errorf("%T: the error holds the value: %v", value, err)
		}
	}
}

// Opening keeps the value or refuses: a number that does not fit, a string
// where a number should be.
func TestOpenIntoOtherTypes(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{})
	fits := []struct{ value, dst, want any }{
		{int64(200), new(uint8), uint8(200)}, {uint64(7), new(int8), int8(7)}, {int8(-7), new(int), -7},
		{"s", new([]byte), []byte("s")}, {[]byte("b"), new(string), "b"}, {"s", new(any), "s"}, {"s", new(status), status("s")},
		{1.5, new(float32), float32(1.5)}, {int64(5), new(any), int64(5)}, {uint8(5), new(any), uint64(5)},
		{map[string]int{"a": 1}, new(any), map[string]any{"a": 1.0}}, {[]any{nil}, new(any), []any{nil}},
		{"s", new(sql.NullString), sql.NullString{String: "s", Valid: true}}, {uint8(5), new(sql.NullInt64), sql.NullInt64{Int64: 5, Valid: true}},
		{json.RawMessage("null"), new(any), []byte("null")}, {"s", new(**string), new(new("s"))},
		{"s", new(*sql.NullString), &sql.NullString{String: "s", Valid: true}},
	}
	for _, c := range fits {
		if err := column.Open(c.dst, seal(t, column, c.value)); err != nil {
			t.Errorf("%T into %T: %v", c.value, c.dst, err)
		} else if got := reflect.ValueOf(c.dst).Elem().Interface(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%T into %T gave %v, want %v", c.value, c.dst, got, c.want)
		}
	}
	misfits := []struct{ value, dst any }{
		{int64(300), new(uint8)}, {int64(-1), new(uint64)}, {uint64(math.MaxUint64), new(int64)}, {int64(math.MaxInt64), new(int32)},
		{1e300, new(float32)}, {0.1, new(float32)}, {"MARKER", new(int64)}, {int64(1), new(string)}, {"MARKER", new(bool)}, {true, new(string)},
		{time.Now(), new(string)}, {"MARKER", new(time.Time)}, {1.5, new(int)}, {map[string]string{"MARKER": "x"}, new([]int)},
		{"MARKER", new(sql.NullInt64)}, {"MARKER", new(error)}, {"MARKER", new(*sql.NullInt64)}, {map[string]string{"a": "MARKER"}, new(fmt.Stringer)},
	}
	for _, c := range misfits {
		err := column.Open(c.dst, seal(t, column, c.value))
		if !errors.Is(err, ciphertext.ErrType) {
			t.Errorf("%T into %T: error %v, want ErrType", c.value, c.dst, err)
		}
		if !reflect.ValueOf(c.dst).Elem().IsZero() {
			t.Errorf("%T into %T changed the destination", c.value, c.dst)
		}
		if err != nil && strings.Contains(err.Error(), "MARKER") {
			t.Errorf("the error holds the value: %v", err)
		}
	}
}

// Every single changed bit, and every cut, is noticed.
func TestEveryChangeIsNoticed(t *testing.T) {
	t.Parallel()
	for _, config := range []ciphertext.ColumnConfig{{}, {Binary: true}, {Deterministic: true}, {Named: true, Table: "t", Column: "c"}} {
		column := newColumn(t, newCipher(t, newRing(t)), config)
		sealed := seal(t, column, "secret")
		for i := range sealed {
			for bit := range 8 {
				changed := bytes.Clone(sealed)
				changed[i] ^= 1 << bit
				refused(t, column, changed)
			}
			refused(t, column, sealed[:i])
		}
		refused(t, column, append(bytes.Clone(sealed), 'A'))
	}
}

func refused(t *testing.T, column *ciphertext.Column, stored []byte) {
	t.Helper()
	got := "untouched"
	err := column.Open(&got, stored)
	if err == nil || got != "untouched" {
		t.Fatalf("%q opened, or changed its destination", stored)
	}
	var detail *ciphertext.Error
	if !errors.As(err, &detail) || detail.Table != column.Table || detail.Column != column.Column || detail.Op != "open" {
		t.Fatalf("error %#v does not say where", err)
	}
}

func TestErrorsNameTableColumnAndVersion(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	cipher := newCipher(t, ring)
	email, phone := newColumn(t, cipher, ciphertext.ColumnConfig{}), newColumn(t, cipher, ciphertext.ColumnConfig{Table: "customers", Column: "phone"})
	stored := seal(t, email, "ada@example.org")
	err := phone.Open(new(string), stored)
	if !errors.Is(err, ciphertext.ErrAuthentication) {
		t.Fatal(err)
	}
	for _, part := range []string{"customers.phone", "key version 1"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not name %s", err, part)
		}
	}
	without := newColumn(t, cipher, ciphertext.ColumnConfig{Named: true})
	if err := without.Open(new(string), []byte("x")); !strings.Contains(err.Error(), "without a column") {
		t.Errorf("%q does not say that there is no column", err)
	}
}

func TestRotation(t *testing.T) {
	t.Parallel()
	first := newRing(t)
	second, added, err := first.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := second.Promote(added)
	if err != nil {
		t.Fatal(err)
	}
	retired, err := promoted.Retire(keyring.MakeVersion(keyring.DataKeys, 1))
	if err != nil {
		t.Fatal(err)
	}
	cipher := newCipher(t, first)
	column := newColumn(t, cipher, ciphertext.ColumnConfig{})
	old := seal(t, column, "old")

	set := func(ring *keyring.Keyring) {
		t.Helper()
		if err := cipher.SetKeys(ring); err != nil {
			t.Fatal(err)
		}
	}
	set(second)
	if sealed := seal(t, column, "x"); !bytes.HasPrefix(sealed, []byte("gc1:1:")) {
		t.Errorf("an enabled key sealed: %.8s", sealed)
	}
	set(promoted)
	recent := seal(t, column, "new")
	if !bytes.HasPrefix(recent, []byte("gc1:2:")) {
		t.Errorf("the promoted key did not seal: %.8s", recent)
	}
	for want, stored := range map[string][]byte{"old": old, "new": recent} {
		var got string
		if err := column.Open(&got, stored); err != nil || got != want {
			t.Errorf("opened to %q, %v; want %q", got, err, want)
		}
	}
	set(retired)
	if err := column.Open(new(string), old); !errors.Is(err, keyring.ErrRetired) {
		t.Errorf("under a retired key: %v", err)
	}
	set(first)
	if err := column.Open(new(string), recent); !errors.Is(err, keyring.ErrUnknownVersion) {
		t.Errorf("under an unknown key: %v", err)
	}
	set(newRing(t))
	if err := column.Open(new(string), old); !errors.Is(err, ciphertext.ErrAuthentication) {
		t.Errorf("under a wrong key: %v", err)
	}
	if cipher.Keys() == first {
		t.Error("Keys returns a keyring that was replaced")
	}
	if cipher.SetKeys(nil) == nil {
		t.Error("a nil keyring was taken")
	}
}

func TestSealWithoutAKeyFails(t *testing.T) {
	t.Parallel()
	ring, err := keyring.New(keyring.DataKey(1, keyring.Primary, bytes.Repeat([]byte{1}, keyring.KeySize)))
	if err != nil {
		t.Fatal(err)
	}
	column := newColumn(t, newCipher(t, ring), ciphertext.ColumnConfig{Deterministic: true})
	if _, err := column.Seal(nil, "x"); !errors.Is(err, keyring.ErrNoPrimary) {
		t.Errorf("error %v, want ErrNoPrimary", err)
	}
}

// Values open whatever the options of their column have become.
func TestOptionsDoNotChangeHowOldDataIsRead(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	var configs []ciphertext.ColumnConfig
	for _, config := range []ciphertext.ColumnConfig{{}, {Binary: true}, {Deterministic: true}, {Named: true}, {Pad: 100}} {
		config.Table, config.Column = "customers", "email"
		configs = append(configs, config)
	}
	for _, from := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM} {
		for _, writer := range configs {
			stored := seal(t, newColumn(t, newCipherOf(t, ring, from), writer), "kept")
			for _, to := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM} {
				for _, reader := range configs {
					var got string
					if err := newColumn(t, newCipherOf(t, ring, to), reader).Open(&got, stored); err != nil || got != "kept" {
						t.Errorf("%s %+v read by %s %+v: %q, %v", from, writer, to, reader, got, err)
					}
				}
			}
		}
	}
}

func TestNamedValues(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	apiKey := newColumn(t, cipher, ciphertext.ColumnConfig{Table: "customers", Column: "api_key", Named: true})
	note := newColumn(t, cipher, ciphertext.ColumnConfig{Table: "customers", Column: "note", Named: true})
	plain := newColumn(t, cipher, ciphertext.ColumnConfig{Table: "customers", Column: "email"})
	without := newColumn(t, cipher, ciphertext.ColumnConfig{Named: true})

	stored := seal(t, apiKey, "sk_live")
	for range 2 { // the second time from the kept column
		var got string
		if err := cipher.OpenNamed(&got, stored); err != nil || got != "sk_live" {
			t.Errorf("by its name: %q, %v", got, err)
		}
	}
	if err := note.Open(new(string), stored); !errors.Is(err, ciphertext.ErrAuthentication) {
		t.Errorf("in another column: %v", err)
	}
	if err := cipher.OpenNamed(new(string), seal(t, plain, "x")); !errors.Is(err, ciphertext.ErrAuthentication) {
		t.Errorf("a value without a name: %v", err)
	}
	if err := cipher.OpenNamed(new(string), []byte("plaintext")); !errors.Is(err, ciphertext.ErrNotCiphertext) {
		t.Errorf("plaintext: %v", err)
	}
	forNone := seal(t, without, "anywhere")
	for _, column := range []*ciphertext.Column{apiKey, note, without} {
		var got string
		if err := column.Open(&got, forNone); err != nil || got != "anywhere" {
			t.Errorf("bound to no column: %q, %v", got, err)
		}
	}
	if err := plain.Open(new(string), forNone); !errors.Is(err, ciphertext.ErrAuthentication) {
		t.Errorf("bound to no column, in a column that does not admit that: %v", err)
	}
	if err := cipher.OpenNamed(new(string), bytes.Replace(seal(t, newColumn(t, cipher, ciphertext.ColumnConfig{Table: "a", Column: "b", Named: true, Binary: true}), "x"), []byte("\x00\x01a"), []byte("\x00\x01c"), 1)); !errors.Is(err, ciphertext.ErrAuthentication) {
		t.Errorf("a changed name: %v", err)
	}
}

func TestBind(t *testing.T) {
	t.Parallel()
	canonical := map[string][]any{
		"i42": {42, int8(42), uint64(42), new(42), cents(42), sql.NullInt64{Int64: 42, Valid: true}},
		"i-1": {-1}, "i18446744073709551615": {uint64(math.MaxUint64)},
		"s42": {"42", status("42"), sql.NullString{String: "42", Valid: true}},
		"b42": {[]byte("42"), token("42")},
	}
	for want, values := range canonical {
		for _, value := range values {
			if got, err := ciphertext.Bind(value); err != nil || string(got) != want {
				t.Errorf("%T: %q, %v; want %q", value, got, err, want)
			}
		}
	}
	for _, value := range []any{nil, 0, "", []byte{}, []byte(nil), (*int)(nil), new(0), sql.NullString{}, (*sql.NullString)(nil),
		1.5, true, time.Now(), struct{ A int }{1}, failingValuer{"MARKER"}} {
		if got, err := ciphertext.Bind(value); err == nil {
			t.Errorf("%T was bound as %q", value, got)
		} else if strings.Contains(err.Error(), "MARKER") {
			t.Errorf("the error holds the value: %v", err)
		}
	}
}

func TestPaddingHidesLength(t *testing.T) {
	t.Parallel()
	for _, deterministic := range []bool{false, true} {
		column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{Pad: 32, Deterministic: deterministic})
		lengths := map[int]bool{}
		for n := range 31 { // a kind byte and the marker make it 32
			lengths[len(seal(t, column, strings.Repeat("x", n)))] = true
		}
		if len(lengths) != 1 {
			t.Errorf("strings of 0 to 30 bytes have %d lengths when padded to 32", len(lengths))
		}
		if len(seal(t, column, strings.Repeat("x", 31))) == len(seal(t, column, "")) {
			t.Error("a longer string fits into no more")
		}
	}
}

func TestSealedLen(t *testing.T) {
	t.Parallel()
	for _, config := range []ciphertext.ColumnConfig{{}, {Binary: true}, {Pad: 64}, {Named: true}, {Deterministic: true}, {Deterministic: true, Pad: 2, Binary: true}, {Table: "t", Column: "longer", Named: true}} {
		for _, algorithm := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM} {
			column := newColumn(t, newCipherOf(t, newRing(t), algorithm), config)
			for _, n := range []int{0, 1, 62, 63, 64, 1000} {
				if got, want := column.SealedLen(1+n), len(seal(t, column, strings.Repeat("x", n))); got != want {
					t.Errorf("%s %+v: SealedLen(%d) is %d, sealed are %d", algorithm, config, 1+n, got, want)
				}
			}
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	column := newColumn(t, newCipher(t, newRing(t)), ciphertext.ColumnConfig{Table: "customers", Column: "api_key", Named: true, Binary: true})
	got, err := ciphertext.Parse(seal(t, column, "four"))
	want := ciphertext.Header{
		Version: keyring.MakeVersion(keyring.DataKeys, 1), Algorithm: ciphertext.XChaCha20Poly1305,
		Binary: true, Named: true, Table: "customers", Column: "api_key", PlaintextLen: 5,
	}
	if err != nil || got != want {
		t.Errorf("parsed to %+v, %v; want %+v", got, err, want)
	}
}

func TestColumnRefusesItsConfig(t *testing.T) {
	t.Parallel()
	cipher := newCipher(t, newRing(t))
	for _, config := range []ciphertext.ColumnConfig{
		{Table: "t"}, {Column: "c"}, {Pad: -1}, {Pad: 1}, {Pad: ciphertext.MaxPad + 1},
		{Table: strings.Repeat("x", 1<<16), Column: "c"}, {Table: "t", Column: strings.Repeat("x", 1<<16)},
	} {
		if _, err := cipher.Column(config); err == nil {
			t.Errorf("%.40v was accepted", config)
		}
	}
	for _, algorithm := range []ciphertext.Algorithm{ciphertext.AESSIV, 4, 255} {
		if _, err := ciphertext.New(newRing(t), ciphertext.Config{Algorithm: algorithm}); !errors.Is(err, ciphertext.ErrUnsupported) {
			t.Errorf("%s: error %v, want ErrUnsupported", algorithm, err)
		}
	}
	if _, err := ciphertext.New(nil, ciphertext.Config{}); err == nil {
		t.Error("a nil keyring was taken")
	}
}

// Many goroutines seal and open while the keyring is replaced under them.
func TestConcurrentUseWhileKeysAreReplaced(t *testing.T) {
	t.Parallel()
	first := newRing(t)
	second, added, err := first.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := second.Promote(added)
	if err != nil {
		t.Fatal(err)
	}
	cipher := newCipher(t, second)
	column := newColumn(t, cipher, ciphertext.ColumnConfig{})
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			want := strings.Repeat("x", worker*50)
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
				sealed, err := column.Seal(nil, want)
				if err != nil {
					t.Error(err)
					return
				}
				var got string
				if err := column.Open(&got, sealed); err != nil || got != want {
					t.Errorf("opened to %q, %v", got, err)
					return
				}
			}
		})
	}
	group.Wait()
}
