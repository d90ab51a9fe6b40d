package keyring_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

func generate(t testing.TB) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func document(t testing.TB, ring *keyring.Keyring) string {
	t.Helper()
	var b bytes.Buffer
	if err := keyring.WriteCleartext(&b, ring); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

var keyLine = regexp.MustCompile(`"key": "(.)`)

// damage changes one key of a document and leaves its check value.
func damage(text string) string {
	return keyLine.ReplaceAllStringFunc(text, func(match string) string {
		first := "A"
		if strings.HasSuffix(match, "A") {
			first = "B"
		}
		return match[:len(match)-1] + first
	})
}

// A test process has one environment; each place in it gets a name.
var variables atomic.Int64

func setVariable(t *testing.T, text string) keyring.Source {
	t.Helper()
	name := fmt.Sprintf("KEYRING_TEST_%d", variables.Add(1))
	if err := os.Setenv(name, text); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Unsetenv(name) })
	return keyring.Env(name)
}

func TestEnv(t *testing.T) {
	t.Parallel()
	keyringtest.Run(t, keyringtest.Harness{
		Store:     func(t *testing.T, ring *keyring.Keyring) keyring.Source { return setVariable(t, document(t, ring)) },
		Missing:   func(t *testing.T) keyring.Source { return setVariable(t, "  \n") },
		Malformed: setVariable,
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return setVariable(t, damage(document(t, ring)))
		},
	})
}

func TestFromEnvNamesTheVariable(t *testing.T) {
	t.Parallel()
	_, err := keyring.FromEnv("KEYRING_TEST_UNSET")
	if !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), "KEYRING_TEST_UNSET") {
		t.Errorf("error %v", err)
	}
}

func writeFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFile(t *testing.T) {
	t.Parallel()
	store := func(t *testing.T, text string) keyring.Source { return keyring.File(writeFile(t, text, 0o600)) }
	keyringtest.Run(t, keyringtest.Harness{
		Store:     func(t *testing.T, ring *keyring.Keyring) keyring.Source { return store(t, document(t, ring)) },
		Missing:   func(t *testing.T) keyring.Source { return keyring.File(filepath.Join(t.TempDir(), "none")) },
		Malformed: store,
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return store(t, damage(document(t, ring)))
		},
	})
}

// A keyring is its own source.
func TestKeyringIsASource(t *testing.T) {
	t.Parallel()
	keyringtest.Run(t, keyringtest.Harness{
		Store:   func(_ *testing.T, ring *keyring.Keyring) keyring.Source { return ring },
		Missing: func(*testing.T) keyring.Source { return (*keyring.Keyring)(nil) },
	})
}

func TestFileThatOthersCanReadIsRefused(t *testing.T) {
	t.Parallel()
	text := document(t, generate(t))
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o644, 0o777} {
		_, err := keyring.FromFile(writeFile(t, text, mode))
		if !errors.Is(err, keyring.ErrExposed) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: error %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o400} {
		if _, err := keyring.FromFile(writeFile(t, text, mode)); err != nil {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(writeFile(t, text, 0o644), link); err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.FromFile(link); !errors.Is(err, keyring.ErrExposed) {
		t.Errorf("through a link: %v", err)
	}
}

func TestFileThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := keyring.FromFile(t.TempDir()); !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := keyring.FromFile(writeFile(t, strings.Repeat(" ", 1<<20+1), 0o600)); !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("a large file: %v", err)
	}
	if _, err := keyring.FromFile(os.DevNull); !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("a device: %v", err)
	}
}

func key32(b byte) []byte { return bytes.Repeat([]byte{b}, keyring.KeySize) }

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	primary := keyring.DataKey(1, keyring.Primary, key32(1))
	cases := map[string][]keyring.Key{
		"nothing":              {},
		"only index keys":      {keyring.IndexKey(1, keyring.Primary, key32(1))},
		"no primary":           {keyring.DataKey(1, keyring.Enabled, key32(1))},
		"no index primary":     {primary, keyring.IndexKey(1, keyring.Enabled, key32(1))},
		"two primaries":        {primary, keyring.DataKey(2, keyring.Primary, key32(2))},
		"a version twice":      {primary, keyring.DataKey(1, keyring.Enabled, key32(2))},
		"version 0":            {primary, keyring.DataKey(0, keyring.Enabled, key32(2))},
		"a short key":          {primary, keyring.DataKey(2, keyring.Enabled, key32(2)[:31])},
		"a long key":           {primary, keyring.DataKey(2, keyring.Enabled, append(key32(2), 2))},
		"no key":               {primary, keyring.DataKey(2, keyring.Enabled, nil)},
		"zeros":                {primary, keyring.DataKey(2, keyring.Enabled, key32(0))},
		"a state that is none": {primary, keyring.DataKey(2, keyring.State(9), key32(2))},
		"a zero Key":           {primary, {}},
	}
	for name, keys := range cases {
		if ring, err := keyring.New(keys...); !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, ring, err)
		}
	}
}

// The caller's key may be cleared once it was handed over, and the caller's
// slice of keys changed.
func TestNewCopies(t *testing.T) {
	t.Parallel()
	material := key32(1)
	keys := []keyring.Key{keyring.DataKey(1, keyring.Primary, material)}
	clear(material)
	ring, err := keyring.New(keys...)
	if err != nil {
		t.Fatal(err)
	}
	want, err := keyring.New(keyring.DataKey(1, keyring.Primary, key32(1)))
	if err != nil {
		t.Fatal(err)
	}
	keys[0] = keyring.Key{}
	requireCheck(t, ring, ring.Versions()[0], checkOf(t, want, want.Versions()[0]))
}

func checkOf(t testing.TB, ring *keyring.Keyring, version keyring.Version) string {
	t.Helper()
	check, err := ring.CheckValue(version)
	if err != nil {
		t.Fatal(err)
	}
	return check
}

func requireCheck(t *testing.T, ring *keyring.Keyring, version keyring.Version, want string) {
	t.Helper()
	if got := checkOf(t, ring, version); got != want {
		t.Errorf("key %s has the check value %s, want %s", version, got, want)
	}
}

func TestCheckValueIsStable(t *testing.T) {
	t.Parallel()
	ring, err := keyring.New(keyring.DataKey(1, keyring.Primary, key32(1)), keyring.DataKey(2, keyring.Enabled, key32(2)))
	if err != nil {
		t.Fatal(err)
	}
	// From HKDF-SHA-256 as docs/format.md describes it.
	requireCheck(t, ring, keyring.MakeVersion(keyring.DataKeys, 1), "yDfRiivreOg")
	requireCheck(t, ring, keyring.MakeVersion(keyring.DataKeys, 2), "8z48348Nx_8")
}

func TestAddPromoteRetire(t *testing.T) {
	t.Parallel()
	first := generate(t)
	one, index := keyring.MakeVersion(keyring.DataKeys, 1), keyring.MakeVersion(keyring.IndexKeys, 1)

	added, two, err := first.Add(keyring.DataKeys)
	if err != nil || two != keyring.MakeVersion(keyring.DataKeys, 2) {
		t.Fatalf("added %s, %v", two, err)
	}
	requireStates(t, added, map[keyring.Version]keyring.State{one: keyring.Primary, two: keyring.Enabled, index: keyring.Primary})

	promoted, err := added.Promote(two)
	if err != nil {
		t.Fatal(err)
	}
	requireStates(t, promoted, map[keyring.Version]keyring.State{one: keyring.Enabled, two: keyring.Primary, index: keyring.Primary})
	if version, err := promoted.Primary(keyring.DataKeys); err != nil || version != two {
		t.Errorf("primary is %s, %v", version, err)
	}

	retired, err := promoted.Retire(one)
	if err != nil {
		t.Fatal(err)
	}
	requireStates(t, retired, map[keyring.Version]keyring.State{one: keyring.Retired, two: keyring.Primary, index: keyring.Primary})
	if strings.Count(document(t, retired), `"key"`) != 2 {
		t.Error("the retired key is still in the document")
	}

	again, three, err := retired.Add(keyring.DataKeys)
	if err != nil || three.Number() != 3 {
		t.Errorf("after a retired key, %s was added, %v", three, err)
	}
	requireStates(t, first, map[keyring.Version]keyring.State{one: keyring.Primary, index: keyring.Primary}) // unchanged

	for name, fail := range map[string]func() error{
		"promote unknown":  func() error { _, err := first.Promote(two); return err },
		"promote retired":  func() error { _, err := again.Promote(one); return err },
		"retire primary":   func() error { _, err := first.Retire(one); return err },
		"retire unknown":   func() error { _, err := first.Retire(two); return err },
		"retire retired":   func() error { _, err := retired.Retire(one); return err },
		"derive unknown":   func() error { _, err := first.Derive(two, "x", 32); return err },
		"derive retired":   func() error { _, err := retired.Derive(one, "x", 32); return err },
		"derive nothing":   func() error { _, err := first.Derive(one, "x", 0); return err },
		"derive too much":  func() error { _, err := first.Derive(one, "x", 8161); return err },
		"derive the check": func() error { _, err := first.Derive(one, "gormcrypt/1 check value", 8); return err },
		"state of unknown": func() error { _, err := first.State(two); return err },
		"check of retired": func() error { _, err := retired.CheckValue(one); return err },
	} {
		if err := fail(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := first.Derive(two, "x", 32); !errors.Is(err, keyring.ErrUnknownVersion) {
		t.Errorf("an unknown version: %v", err)
	}
	if _, err := retired.Derive(one, "x", 32); !errors.Is(err, keyring.ErrRetired) {
		t.Errorf("a retired version: %v", err)
	}
}

func requireStates(t *testing.T, ring *keyring.Keyring, want map[keyring.Version]keyring.State) {
	t.Helper()
	got := map[keyring.Version]keyring.State{}
	for _, version := range ring.Versions() {
		got[version], _ = ring.State(version)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the keys are %v, want %v", got, want)
	}
}

func TestAddToAnEmptySet(t *testing.T) {
	t.Parallel()
	ring, err := keyring.New(keyring.DataKey(1, keyring.Primary, key32(1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Primary(keyring.IndexKeys); !errors.Is(err, keyring.ErrNoPrimary) {
		t.Errorf("error %v, want ErrNoPrimary", err)
	}
	ring, version, err := ring.Add(keyring.IndexKeys)
	if err != nil {
		t.Fatal(err)
	}
	if primary, err := ring.Primary(keyring.IndexKeys); err != nil || primary != version || version.String() != "i1" {
		t.Errorf("added %s, primary is %s, %v", version, primary, err)
	}
}

func TestAddAfterTheLastNumberFails(t *testing.T) {
	t.Parallel()
	ring, err := keyring.New(keyring.DataKey(4294967295, keyring.Primary, key32(1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Add(keyring.DataKeys); !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("error %v, want ErrInvalid", err)
	}
}

func TestDeriveSeparatesPurposes(t *testing.T) {
	t.Parallel()
	ring := generate(t)
	seen := [][]byte{}
	for _, version := range ring.Versions() {
		for _, info := range []string{"", "a", "b"} {
			derived, err := ring.Derive(version, info, 64)
			if err != nil {
				t.Fatal(err)
			}
			for _, other := range seen {
				if bytes.Equal(other, derived) {
					t.Errorf("%s %q gives a key that another gives too", version, info)
				}
			}
			seen = append(seen, derived)
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"1", "7", "4294967295", "i1", "i4294967295"} {
		version, err := keyring.ParseVersion(text)
		if err != nil || version.String() != text {
			t.Errorf("%q is read as %s, %v", text, version, err)
		}
	}
	for _, text := range []string{"", "0", "00", "01", "+1", "-1", " 1", "1 ", "4294967296", "i", "i0", "I1", "ii1", "1i", "1.0", "１"} {
		if version, err := keyring.ParseVersion(text); err == nil {
			t.Errorf("%q is read as %s", text, version)
		}
	}
	if text, err := keyring.MakeVersion(keyring.DataKeys, 0).MarshalText(); err == nil {
		t.Errorf("no version is written as %q", text)
	}
	if _, err := keyring.State(9).MarshalText(); err == nil || keyring.State(9).String() != "State(9)" {
		t.Error("a state that is none was written")
	}
	if keyring.DataKeys.String() != "data" || keyring.IndexKeys.String() != "index" {
		t.Error("the sets have other names")
	}
}

func TestKeysAndKeyringsRefuseGob(t *testing.T) {
	t.Parallel()
	ring := generate(t)
	k := keyring.DataKey(1, keyring.Primary, key32(1))
	for _, call := range []func() error{
		func() error { _, err := ring.GobEncode(); return err }, func() error { return ring.GobDecode(nil) },
		func() error { _, err := k.GobEncode(); return err }, func() error { return k.GobDecode(nil) },
	} {
		if call() == nil {
			t.Error("gob was accepted")
		}
	}
	text, err := json.Marshal(k)
	if err != nil || !strings.Contains(string(text), "1 primary") {
		t.Errorf("a key is %s in JSON, %v", text, err)
	}
	for _, shown := range []string{fmt.Sprintf("%#v", k), k.LogValue().String(), fmt.Sprintf("%v", struct{ k keyring.Key }{k})} {
		for _, form := range keyringtest.Forms(key32(1)) {
			if strings.Contains(shown, form) {
				t.Errorf("the key shows in %q", shown)
			}
		}
	}
	if got := (*keyring.Keyring)(nil).String(); got != "keyring(nil)" {
		t.Errorf("nil prints as %q", got)
	}
}

func TestWriteCleartextReportsTheWriter(t *testing.T) {
	t.Parallel()
	if err := keyring.WriteCleartext(brokenWriter{}, generate(t)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v", err)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestLoadMindsItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := generate(t).Load(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// panicKey is 32 bytes that no stack trace holds by chance.
var panicKey = []byte("\xd7\x91\xc3\xe5\xa9\x8b\xf1\x87PANICKEYPANICKEYPANICKEY")

// A process that dies with a keyring in its hands, under the most talkative
// setting of the runtime, prints no key.
func TestPanicShowsNoKey(t *testing.T) {
	if how := os.Getenv("KEYRING_TEST_PANIC"); how != "" {
		die(how)
		return
	}
	t.Parallel()
	for _, how := range []string{"value", "key", "error", "nested", "deep", "nil map", "goroutine"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			command := exec.Command(os.Args[0], "-test.run=^TestPanicShowsNoKey$")
			command.Env = append(os.Environ(), "KEYRING_TEST_PANIC="+how, "GOTRACEBACK=system")
			out, err := command.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("goroutine ")) {
				t.Fatalf("the process did not die: %v\n%s", err, out)
			}
			for _, form := range slices.Concat(keyringtest.Forms(panicKey), []string{"PANICKEY"}) {
				if bytes.Contains(out, []byte(form)) {
					t.Errorf("the key shows as %q in\n%s", form, out)
				}
			}
		})
	}
}

func die(how string) {
	key := keyring.DataKey(1, keyring.Primary, panicKey)
	ring, err := keyring.New(key)
	if err != nil {
		panic(err)
	}
	switch how {
	case "value":
		panic(ring)
	case "key":
		panic(key)
	case "error":
		panic(fmt.Errorf("with %v %+v %#v", ring, ring, key))
	case "nested":
		panic(fmt.Sprintf("%+v", struct{ a, b any }{ring, &key}))
	case "deep":
		deeper(ring, key, 3)
	case "nil map":
		writeTo(nil, ring)
	case "goroutine":
		go func() {
			_, _ = ring.Derive(ring.Versions()[0], "x", 32)
			deeper(ring, key, 1)
		}()
		select {}
	}
}

//go:noinline
func writeTo(m map[string]*keyring.Keyring, ring *keyring.Keyring) { m["x"] = ring }

//go:noinline
func deeper(ring *keyring.Keyring, key keyring.Key, n int) {
	if n == 0 {
		panic("dead")
	}
	deeper(ring, key, n-1)
}
