package ciphertext_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/tink-crypto/tink-go/v2/daead/subtle"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

const vectorsPath = "testdata/vectors.json"

// vectors is the file that checks decoders of the format, in any language.
type vectors struct {
	Comment string            `json:"comment"`
	Keys    map[string]string `json:"keys"` // hex; empty for a retired version
	Checks  map[string]string `json:"check_values"`
	Good    []vector          `json:"good"`
	Bad     []vector          `json:"bad"`
	// Terms are of blind indexes. BadTerms are not terms, or none that this
	// version of the format has, with the class of error that each gives.
	Terms    []termVector      `json:"terms"`
	BadTerms map[string]string `json:"bad_terms"`
}

type vector struct {
	Name   string  `json:"name"`
	Table  string  `json:"table"`
	Column string  `json:"column"`
	Bound  []bound `json:"bound,omitempty"`
	// Stored is the text form of the value, StoredHex the binary one.
	Stored    string `json:"stored,omitempty"`
	StoredHex string `json:"stored_hex,omitempty"`
	// Kind and Value are what a good vector opens to. Value is a string for
	// strings, hex for bytes, decimal digits for integers, the 16 hex digits
	// of a float, "true" or "false", RFC 3339 for times, and the text for JSON.
	Kind  string `json:"kind,omitempty"`
	Value string `json:"value,omitempty"`
	// Error is the class of error that a bad vector gives.
	Error string `json:"error,omitempty"`
}

type bound struct {
	Kind  string `json:"kind"` // string, bytes or integer
	Value string `json:"value"`
}

var errorClasses = map[string]error{
	"not_ciphertext":  ciphertext.ErrNotCiphertext,
	"unsupported":     ciphertext.ErrUnsupported,
	"malformed":       ciphertext.ErrMalformed,
	"unknown_version": keyring.ErrUnknownVersion,
	"retired":         keyring.ErrRetired,
	"authentication":  ciphertext.ErrAuthentication,
}

func loadVectors(t testing.TB) vectors {
	t.Helper()
	text, err := os.ReadFile(vectorsPath)
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// ring makes the keyring of the vectors. The highest data version seals.
func (v vectors) ring(t testing.TB) *keyring.Keyring {
	t.Helper()
	var keys []keyring.Key
	for name, text := range v.Keys {
		version, err := keyring.ParseVersion(name)
		if err != nil {
			t.Fatal(err)
		}
		material, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		state := keyring.Enabled
		switch {
		case text == "":
			state = keyring.Retired
		case name == "7" || name == "i4294967295":
			state = keyring.Primary
		}
		if version.Set() == keyring.IndexKeys {
			keys = append(keys, keyring.IndexKey(version.Number(), state, material))
		} else {
			keys = append(keys, keyring.DataKey(version.Number(), state, material))
		}
	}
	ring, err := keyring.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func (v vector) stored(t testing.TB) []byte {
	t.Helper()
	if v.StoredHex == "" {
		return []byte(v.Stored)
	}
	stored, err := hex.DecodeString(v.StoredHex)
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func (v vector) bound(t testing.TB) []ciphertext.Bound {
	t.Helper()
	var result []ciphertext.Bound
	for _, b := range v.Bound {
		var value any = b.Value
		switch b.Kind {
		case "bytes":
			value = mustHex(t, b.Value)
		case "integer":
			if n, err := strconv.ParseInt(b.Value, 10, 64); err == nil {
				value = n
			} else if value, err = strconv.ParseUint(b.Value, 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		canonical, err := ciphertext.Bind(value)
		if err != nil {
			t.Fatal(err)
		}
		result = append(result, canonical)
	}
	return result
}

func mustHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectors(t *testing.T) {
	v := loadVectors(t)
	c := newCipher(t, v.ring(t))
	open := func(t *testing.T, vec vector) (any, error) {
		column, err := c.Column(ciphertext.ColumnConfig{Table: vec.Table, Column: vec.Column, Named: vec.Table == ""})
		if err != nil {
			t.Fatal(err)
		}
		var got any
		err = column.Open(&got, vec.stored(t), vec.bound(t)...)
		return got, err
	}
	for _, vec := range v.Good {
		t.Run("good/"+vec.Name, func(t *testing.T) {
			t.Parallel()
			got, err := open(t, vec)
			if err != nil {
				t.Fatal(err)
			}
			if kind, value := describe(t, got); kind != vec.Kind || value != vec.Value {
				t.Errorf("opened to %s %q, want %s %q", kind, value, vec.Kind, vec.Value)
			}
		})
	}
	for _, vec := range v.Bad {
		t.Run("bad/"+vec.Name, func(t *testing.T) {
			t.Parallel()
			class := errorClasses[vec.Error]
			if class == nil {
				t.Fatalf("no such class of error: %q", vec.Error)
			}
			got, err := open(t, vec)
			if !errors.Is(err, class) {
				t.Errorf("error %v, want one that is %v", err, class)
			}
			for name, other := range errorClasses {
				if other != class && errors.Is(err, other) {
					t.Errorf("the error is also %s", name)
				}
			}
			if got != nil {
				t.Error("the destination was changed")
			}
			if len(vec.Stored) > 24 && strings.Contains(err.Error(), vec.Stored[len(vec.Stored)-16:]) {
				t.Errorf("the error quotes the stored value: %v", err)
			}
		})
	}
	if len(v.Good) < 20 || len(v.Bad) < 20 {
		t.Errorf("only %d good and %d bad vectors", len(v.Good), len(v.Bad))
	}
}

// describe writes an opened value as vectors.json does.
func describe(t testing.TB, v any) (kind, value string) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		text = nil
	}
	switch v := v.(type) {
	case string:
		return "string", strings.ToValidUTF8(v, "\ufffd")
	case []byte:
		return "bytes", hex.EncodeToString(v)
	case int64:
		return "int", string(text)
	case uint64:
		return "uint", string(text)
	case float64:
		return "float", floatHex(v)
	case bool:
		return "bool", string(text)
	case time.Time:
		return "time", v.Format(time.RFC3339Nano)
	}
	return "json", string(text)
}

// makeVectors seals the vectors, with the randomness of a fixed seed.
func makeVectors(t *testing.T) vectors {
	cryptotest.SetGlobalRandom(t, 1)
	v := vectors{
		Comment: "Values and terms to check another implementation of docs/format.md with. Made by `go test ./ciphertext -run TestSealMakesTheVectors -update`.",
		Keys: map[string]string{
			"1":           strings.Repeat("01", 32),
			"2":           "",
			"7":           "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
			"4294967295":  strings.Repeat("ff", 32),
			"i1":          strings.Repeat("a1", 32),
			"i4294967295": "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0efeeedecebeae9e8e7e6e5e4e3e2e1e0",
		},
	}
	ring := v.ring(t)
	v.Checks = map[string]string{}
	for _, version := range ring.Versions() {
		if check, err := ring.CheckValue(version); err == nil {
			v.Checks[version.String()] = check
		}
	}
	xchacha, gcm := newCipher(t, ring), newCipherOf(t, ring, ciphertext.AES256GCM)
	text := ciphertext.ColumnConfig{Table: "customers", Column: "email"}
	good := func(name string, c *ciphertext.Cipher, config ciphertext.ColumnConfig, value any, bounds ...bound) vector {
		vec := vector{Name: name, Table: config.Table, Column: config.Column, Bound: bounds}
		column, err := c.Column(config)
		if err != nil {
			t.Fatal(err)
		}
		stored, err := column.Seal(nil, value, vec.bound(t)...)
		if err != nil {
			t.Fatal(err)
		}
		if config.Binary {
			vec.StoredHex = hex.EncodeToString(stored)
		} else {
			vec.Stored = string(stored)
		}
		var opened any
		if err := column.Open(&opened, stored, vec.bound(t)...); err != nil {
			t.Fatal(err)
		}
		vec.Kind, vec.Value = describe(t, opened)
		v.Good = append(v.Good, vec)
		return vec
	}
	with := func(change func(*ciphertext.ColumnConfig)) ciphertext.ColumnConfig {
		config := text
		change(&config)
		return config
	}
	binary := with(func(c *ciphertext.ColumnConfig) { c.Binary = true })
	deterministic := with(func(c *ciphertext.ColumnConfig) { c.Deterministic = true })
	named := with(func(c *ciphertext.ColumnConfig) { c.Named = true })
	padded := with(func(c *ciphertext.ColumnConfig) { c.Pad = 64 })
	noon := time.Date(2026, 11, 21, 12, 0, 0, 123456789, time.FixedZone("", 19800))

	base := good("string", xchacha, text, "ada@example.org")
	inBinary := good("string in a binary column", xchacha, binary, "ada@example.org")
	good("empty string", xchacha, text, "")
	good("string that starts like ciphertext", xchacha, text, "gc1:7:AQ")
	good("bytes", xchacha, text, []byte{0, 1, 0x80, 0xff})
	good("empty bytes", xchacha, binary, []byte{})
	good("int", xchacha, text, int8(42))
	good("least int", xchacha, text, int64(-1<<63))
	good("greatest uint", xchacha, text, uint64(1<<64-1))
	good("float", xchacha, text, -0.1)
	good("float32", xchacha, text, float32(0.1))
	good("negative zero", xchacha, text, negativeZero)
	good("true", xchacha, text, true)
	good("false", xchacha, text, false)
	good("time", xchacha, text, noon)
	good("time before 1970", xchacha, text, time.Date(1815, 12, 10, 0, 0, 0, 1, time.UTC))
	good("JSON", xchacha, text, map[string]any{"b": []int{1, 2}, "a": "ü"})
	good("padded", xchacha, padded, "short")
	good("padded, ending in zeros", xchacha, padded, []byte{0x80, 0, 0})
	good("AES-256-GCM", gcm, text, "ada@example.org")
	good("AES-256-GCM in a binary column", gcm, binary, "ada@example.org")
	det := good("AES-SIV", xchacha, deterministic, "ada@example.org")
	good("AES-SIV of a time", xchacha, deterministic, noon)
	good("AES-SIV of a negative zero", xchacha, deterministic, negativeZero)
	nam := good("named", xchacha, named, "sk_live_4242")
	good("named, in a binary column", gcm, with(func(c *ciphertext.ColumnConfig) { c.Named, c.Binary = true, true }), "sk_live_4242")
	good("named, deterministic", xchacha, with(func(c *ciphertext.ColumnConfig) { c.Named, c.Deterministic = true, true }), "sk_live_4242")
	forNone := good("bound to no column", xchacha, ciphertext.ColumnConfig{Named: true}, "sk_live_4242")
	boundTo := []bound{{"string", "acct-1"}, {"integer", "-42"}, {"bytes", "00ff"}}
	bnd := good("bound", xchacha, text, "DE02120300000000202051", boundTo...)
	good("table and column beyond ASCII", xchacha, ciphertext.ColumnConfig{Table: "kunden", Column: "straße"}, "x")

	good("invalid UTF-8", xchacha, text, "a\xff") // JSON holds it as U+FFFD; see describe
	good("time west of UTC", xchacha, text, noon.In(time.FixedZone("", -5*3600)))
	good("AES-SIV of a long string", xchacha, deterministic, strings.Repeat("0123456789", 10))
	good("AES-SIV, padded, in a binary column", xchacha, with(func(c *ciphertext.ColumnConfig) { c.Deterministic, c.Binary, c.Pad = true, true, 16 }), "x")
	detBound := good("AES-SIV, bound", xchacha, deterministic, "x", bound{"integer", "18446744073709551615"})

	body := func(vec vector) []byte {
		b, err := base64.RawURLEncoding.DecodeString(vec.Stored[strings.LastIndexByte(vec.Stored, ':')+1:])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	encode := func(version string, body []byte) string {
		return "gc1:" + version + ":" + base64.RawURLEncoding.EncodeToString(body)
	}
	bad := func(name, class string, from vector, stored string) {
		vec := vector{Name: name, Error: class, Table: from.Table, Column: from.Column, Bound: from.Bound, Stored: stored}
		v.Bad = append(v.Bad, vec)
	}
	flip := func(b []byte, i int) []byte {
		b = append([]byte{}, b...)
		if i < 0 {
			i += len(b)
		}
		b[i] ^= 1
		return b
	}
	baseText := strings.TrimPrefix(base.Stored, "gc1:7:")
	bad("empty", "not_ciphertext", base, "")
	bad("plaintext", "not_ciphertext", base, "ada@example.org")
	bad("half a prefix", "not_ciphertext", base, "gc1")
	bad("upper case prefix", "not_ciphertext", base, "GC1:7:"+baseText)
	bad("space before the prefix", "not_ciphertext", base, " "+base.Stored)
	bad("format without a number", "not_ciphertext", base, "gc:7:"+baseText)
	bad("format 0", "not_ciphertext", base, "gc0:7:"+baseText)
	bad("format 2", "unsupported", base, "gc2:7:"+baseText)
	bad("format 10", "unsupported", base, "gc10:7:"+baseText)
	bad("no version", "malformed", base, "gc1:")
	bad("empty version", "malformed", base, "gc1::"+baseText)
	bad("version 0", "malformed", base, "gc1:0:"+baseText)
	bad("version with a leading zero", "malformed", base, "gc1:07:"+baseText)
	bad("version with a sign", "malformed", base, "gc1:+7:"+baseText)
	bad("version beyond 32 bits", "malformed", base, "gc1:4294967296:"+baseText)
	bad("upper case index version", "malformed", base, "gc1:I7:"+baseText)
	bad("no body", "malformed", base, "gc1:7:")
	bad("text without a second colon", "malformed", base, "gc1:7")
	bad("padding", "malformed", base, base.Stored+"=")
	bad("line break inside", "malformed", base, base.Stored[:20]+"\n"+base.Stored[20:])
	bad("line break at the end", "malformed", base, base.Stored+"\n")
	bad("standard base64", "malformed", base, base.Stored[:20]+"+/"+base.Stored[22:])
	bad("unused bits set", "malformed", base, "gc1:7:"+baseText+"AB")
	bad("unknown algorithm", "unsupported", base, encode("7", append([]byte{4}, body(base)[1:]...)))
	bad("algorithm 0", "unsupported", base, encode("7", append([]byte{0}, body(base)[1:]...)))
	bad("only the algorithm", "malformed", base, encode("7", body(base)[:1]))
	bad("empty plaintext", "malformed", base, encode("7", body(base)[:1+24+16]))
	bad("data algorithm under an index key", "malformed", base, encode("i1", body(base)))
	bad("deterministic under a data key", "malformed", det, encode("7", body(det)))
	bad("unknown algorithm in a binary column", "unsupported", base, "gc1:7:\nAQ")
	bad("unknown algorithm with names that are cut", "unsupported", base, encode("7", []byte{0x84, 0}))
	bad("named for another column, under an unknown version", "authentication", vector{Table: "customers", Column: "phone"}, encode("8", body(nam)))
	bad("named for no column, in a column that names nothing", "authentication", base, encode("7", body(forNone)))
	bad("AES-SIV moved to another column", "authentication", vector{Table: "customers", Column: "phone"}, det.Stored)
	bad("AES-SIV bound to another row", "authentication", base, detBound.Stored)
	bad("AES-SIV with a changed ciphertext", "authentication", det, encode("i4294967295", flip(body(det), 17)))
	for name, plaintext := range map[string]string{
		"kind 0": "\x00x", "kind 9": "\x09x", "int of 7 bytes": "\x03\x00\x00\x00\x00\x00\x00\x01", "float of 9 bytes": "\x05123456789",
		"bool 2": "\x06\x02", "bool without a value": "\x06", "time of 15 bytes": "\x07123456789012345",
		"time with 1000000000 nanoseconds": "\x07\x00\x00\x00\x00\x00\x00\x00\x00\x3b\x9a\xca\x00\x00\x00\x00\x00",
		"JSON that is none":                "\x08{", "no JSON": "\x08", "JSON that is not UTF-8": "\x08\"\xff\"",
		"padding without its marker": "\x81x\x00", "padding of nothing but zeros": "\x81\x00\x00", "padding ending in another byte": "\x81x\x80\x01",
	} {
		bad("sealed plaintext: "+name, "malformed", base, encode("7", sealByHand(t, v.Keys["7"], text, plaintext)))
	}
	bad("names cut", "malformed", nam, encode("7", body(nam)[:8]))
	bad("only a table name", "malformed", nam, encode("7", append([]byte{0x81, 0, 1, 'x', 0, 0}, body(base)[1:]...)))
	bad("unknown data version", "unknown_version", base, encode("8", body(base)))
	bad("unknown index version", "unknown_version", det, encode("i7", body(det)))
	bad("retired version", "retired", base, encode("2", body(base)))
	bad("another key of the ring", "authentication", base, encode("1", body(base)))
	bad("cut by a byte", "authentication", base, encode("7", body(base)[:len(body(base))-1]))
	bad("a byte more", "authentication", base, encode("7", append(body(base), 0)))
	bad("first bit of the nonce", "authentication", base, encode("7", flip(body(base), 1)))
	bad("first bit of the ciphertext", "authentication", base, encode("7", flip(body(base), 25)))
	bad("last bit of the tag", "authentication", base, encode("7", flip(body(base), -1)))
	bad("synthetic IV", "authentication", det, encode("i4294967295", flip(body(det), 1)))
	bad("other algorithm", "authentication", base, encode("7", append([]byte{2}, body(base)[1:]...)))
	bad("name taken away", "authentication", nam, encode("7", append([]byte{1}, body(nam)[1+2+9+2+5:]...)))
	bad("bound values missing", "authentication", vector{Table: "customers", Column: "email"}, bnd.Stored)
	bad("bound to another row", "authentication", vector{Table: "customers", Column: "email",
		Bound: []bound{{"string", "acct-2"}, boundTo[1], boundTo[2]}}, bnd.Stored)
	bad("bound values in another order", "authentication", vector{Table: "customers", Column: "email",
		Bound: []bound{boundTo[1], boundTo[0], boundTo[2]}}, bnd.Stored)
	bad("bound as another type", "authentication", vector{Table: "customers", Column: "email",
		Bound: []bound{boundTo[0], {"string", "-42"}, boundTo[2]}}, bnd.Stored)
	bad("bound though it was not", "authentication", vector{Table: "customers", Column: "email", Bound: boundTo}, base.Stored)
	bad("moved to another column", "authentication", vector{Table: "customers", Column: "phone"}, base.Stored)
	bad("moved to another table", "authentication", vector{Table: "users", Column: "email"}, base.Stored)
	bad("letter moved between names", "authentication", vector{Table: "customerse", Column: "mail"}, base.Stored)
	bad("named for another column", "authentication", vector{Table: "customers", Column: "phone"}, nam.Stored)
	slices.SortStableFunc(v.Bad, func(a, b vector) int { return strings.Compare(a.Name, b.Name) })
	moved := vector{Name: "moved to another column, in a binary column", Error: "authentication",
		Table: "customers", Column: "phone", StoredHex: inBinary.StoredHex}
	v.Bad = append(v.Bad, moved)

	v.Terms, v.BadTerms = makeTermVectors(t, xchacha), badTerms()
	return v
}

// sealByHand seals any plaintext, right or wrong, with nothing but the words
// of docs/format.md and the primitives themselves.
func sealByHand(t *testing.T, secret string, place ciphertext.ColumnConfig, plaintext string) []byte {
	t.Helper()
	key := deriveByHand(t, secret, 1, place, 32)
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		t.Fatal(err)
	}
	nonce := bytes.Repeat([]byte{0x24}, 24)
	return append([]byte{1}, aead.Seal(nonce, nonce, []byte(plaintext), adByHand("\x01", "7", place))...)
}

func deriveByHand(t *testing.T, secret string, algorithm byte, place ciphertext.ColumnConfig, size int) []byte {
	t.Helper()
	info := lp("gormcrypt/1 key") + lp(string(algorithm)) + lp(place.Table) + lp(place.Column)
	key, err := hkdf.Key(sha256.New, mustHex(t, secret), nil, info, size)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func adByHand(first, version string, place ciphertext.ColumnConfig) []byte {
	return []byte(lp("gormcrypt/1") + lp(first) + lp(version) + lp(place.Table) + lp(place.Column))
}

// lp is LP of docs/format.md.
func lp(s string) string {
	return string([]byte{byte(len(s) >> 24), byte(len(s) >> 16), byte(len(s) >> 8), byte(len(s))}) + s
}

// TestKeysAreTheSpecifiedOnes opens what Seal made with keys derived, and
// ciphers made, by hand. Sealing and opening could share a fault in either;
// they once shared a key of AES-SIV that was half zeros.
func TestKeysAreTheSpecifiedOnes(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)
	ring := v.ring(t)
	place := ciphertext.ColumnConfig{Table: "customers", Column: "email", Binary: true}
	want := "\x01ada@example.org"
	check := func(name string, plaintext []byte, err error) {
		t.Helper()
		if err != nil || string(plaintext) != want {
			t.Errorf("%s: %q, %v", name, plaintext, err)
		}
	}

	sealed := seal(t, newColumn(t, newCipher(t, ring), place), want[1:])[len("gc1:7:"):]
	xchacha, err := chacha20poly1305.NewX(deriveByHand(t, v.Keys["7"], 1, place, 32))
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err := xchacha.Open(nil, sealed[1:25], sealed[25:], adByHand("\x01", "7", place))
	check("XChaCha20-Poly1305", plaintext, err)

	sealed = seal(t, newColumn(t, newCipherOf(t, ring, ciphertext.AES256GCM), place), want[1:])[len("gc1:7:"):]
	block, err := aes.NewCipher(deriveByHand(t, v.Keys["7"], 2, place, 32))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err = gcm.Open(nil, sealed[1:13], sealed[13:], adByHand("\x02", "7", place))
	check("AES-256-GCM", plaintext, err)

	place.Deterministic = true
	sealed = seal(t, newColumn(t, newCipher(t, ring), place), want[1:])[len("gc1:i4294967295:"):]
	key := deriveByHand(t, v.Keys["i4294967295"], 3, place, 64)
	siv, err := subtle.NewAESSIV(key)
	if err != nil {
		t.Fatal(err)
	}
	plaintext, err = siv.DecryptDeterministically(sealed[1:], adByHand("\x03", "i4294967295", place))
	check("AES-SIV", plaintext, err)
}

// TestSecondDecoder runs the decoder in JavaScript, which was written from the
// specification alone, over the vectors.
func TestSecondDecoder(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("node is not installed, and CI must run the second decoder")
		}
		t.Skip("node is not installed; the second decoder was not run")
	}
	out, err := exec.Command(node, "testdata/decoder/check.mjs").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(" 0 failed")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestSealMakesTheVectors seals the vectors again, under the same seed: what
// Seal makes today is what it made when they were committed.
func TestSealMakesTheVectors(t *testing.T) {
	made := makeVectors(t)
	if *update {
		text, err := json.MarshalIndent(made, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vectorsPath, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(loadVectors(t), made) {
		t.Error("sealing the vectors anew gave other values; the format has changed")
	}
}
