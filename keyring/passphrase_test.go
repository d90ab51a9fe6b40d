package keyring_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

const passphrase = "correct horse battery staple"

func newPassphrase(t testing.TB, text string) keyring.KEK {
	t.Helper()
	kek, err := keyring.NewPassphrase([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return kek
}

func skipInFIPSMode(t *testing.T) {
	t.Helper()
	if fips140.Enabled() {
		t.Skip("a passphrase is refused in FIPS 140-3 mode")
	}
}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	skipInFIPSMode(t)
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(t *testing.T) keyring.KEK { return newPassphrase(t, passphrase) },
		Other: func(t *testing.T) keyring.KEK { return newPassphrase(t, passphrase+"r") },
	})
}

func TestPassphraseFile(t *testing.T) {
	t.Parallel()
	skipInFIPSMode(t)
	kek := newPassphrase(t, passphrase)
	keyringtest.Run(t, keyringtest.Harness{
		Store: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return keyring.WrappedFile(writeFile(t, wrappedText(t, ring, kek), 0o600), kek)
		},
		Missing: func(t *testing.T) keyring.Source {
			return keyring.WrappedFile(filepath.Join(t.TempDir(), "none"), kek)
		},
		Malformed: func(t *testing.T, text string) keyring.Source {
			return keyring.WrappedFile(writeFile(t, text, 0o600), kek)
		},
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return keyring.WrappedFile(writeFile(t, editWrapped(t, wrappedText(t, ring, kek), func(d *wrappedDocument) {
				d.Keys[0].Wrapped = wrapKey(t, kek, key32(9))
			}), 0o600), kek)
		},
	})
}

func TestFromPassphrase(t *testing.T) {
	t.Parallel()
	skipInFIPSMode(t)
	ring := rotated(t)
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := keyring.WriteWrappedFile(context.Background(), path, ring, newPassphrase(t, passphrase)); err != nil {
		t.Fatal(err)
	}
	given := []byte(passphrase)
	got, err := keyring.FromPassphrase(path, given)
	if err != nil || got.String() != ring.String() || string(given) != passphrase {
		t.Errorf("loaded %v, %v", got, err)
	}
	for name, c := range map[string]struct {
		path, passphrase string
		want             error
	}{
		"another passphrase":     {path, "Correct horse battery staple", keyring.ErrWrongKey},
		"a space more":           {path, passphrase + " ", keyring.ErrWrongKey},
		"another form of a word": {path, strings.Replace(passphrase, "o", "\u00f6", 1), keyring.ErrWrongKey},
		"a NUL more":             {path, passphrase + "\x00", keyring.ErrWrongKey},
		"no passphrase":          {path, "", keyring.ErrInvalid},
		"a short one":            {path, "hunter2-abc", keyring.ErrInvalid},
		"a line feed more":       {path, passphrase + "\n", keyring.ErrInvalid},
		"a line end of Windows":  {path, passphrase + "\r\n", keyring.ErrInvalid},
		"no file":                {path + "x", passphrase, keyring.ErrNotFound},
	} {
		got, err := keyring.FromPassphrase(c.path, []byte(c.passphrase))
		if got != nil || !errors.Is(err, c.want) || c.passphrase != "" && strings.Contains(err.Error(), c.passphrase) {
			t.Errorf("%s: loaded %v, %v", name, got, err)
		}
	}
}

// All keys of a document are wrapped with one salt, those that are added later too,
// so that a program derives one key at its start.
func TestPassphraseIsStretchedOncePerDocument(t *testing.T) {
	t.Parallel()
	skipInFIPSMode(t)
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "keys.json")
	ring := rotated(t)
	if err := keyring.WriteWrappedFile(ctx, path, ring, newPassphrase(t, passphrase)); err != nil {
		t.Fatal(err)
	}
	added, _, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteWrappedFile(ctx, path, added, newPassphrase(t, passphrase)); err != nil { // in another process
		t.Fatal(err)
	}
	headers := map[string]int{}
	for _, wrapped := range wrappedKeys(t, path) {
		headers[string(wrapped[:26])]++
	}
	if len(headers) != 1 {
		t.Errorf("the document's five keys have %d headers: a program derives as many keys at its start", len(headers))
	}
	for header := range headers {
		// RFC 9106, section 4: the second recommended option.
		want := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte{1}, 3), 64<<10)
		if want = append(want, 4); !strings.HasPrefix(header, string(want)) {
			t.Errorf("the parameters are % x, want % x", header[:10], want)
		}
	}
	if got, err := keyring.FromPassphrase(path, []byte(passphrase)); err != nil || got.String() != added.String() {
		t.Errorf("loaded %v, %v", got, err)
	}
	other := filepath.Join(t.TempDir(), "keys.json")
	if err := keyring.WriteWrappedFile(ctx, other, ring, newPassphrase(t, passphrase)); err != nil {
		t.Fatal(err)
	}
	if wrapped := wrappedKeys(t, other); headers[string(wrapped[0][:26])] != 0 {
		t.Error("two documents have one salt")
	}
}

func wrappedKeys(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var doc wrappedDocument
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	var keys [][]byte
	for _, entry := range doc.Keys {
		if entry.Wrapped == "" {
			continue
		}
		wrapped, err := base64.RawURLEncoding.DecodeString(entry.Wrapped)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, wrapped)
	}
	return keys
}

// What a file asks for is not given before it is bounded: a terabyte of memory, an
// hour of time. That this test ends is what it tests.
func TestPassphraseBoundsWhatAFileAsksFor(t *testing.T) {
	t.Parallel()
	skipInFIPSMode(t)
	ctx := context.Background()
	kek := newPassphrase(t, passphrase)
	wrapped, err := kek.Wrap(ctx, key32(1))
	if err != nil {
		t.Fatal(err)
	}
	header := func(passes, memory uint32, lanes byte) []byte {
		b := bytes.Clone(wrapped)
		binary.BigEndian.PutUint32(b[1:], passes)
		binary.BigEndian.PutUint32(b[5:], memory)
		b[9] = lanes
		return b
	}
	for name, hostile := range map[string][]byte{
		"4 TiB":                  header(3, 1<<32-1, 4),
		"a KiB too much":         header(1, 256<<10+1, 4),
		"four billion passes":    header(1<<32-1, 64, 4),
		"a pass too much":        header(13, 64, 4),
		"255 lanes":              header(3, 64<<10, 255),
		"no pass":                header(0, 64<<10, 4),
		"no lane":                header(3, 64<<10, 0),
		"no memory":              header(3, 0, 4),
		"less than a lane needs": header(3, 31, 4),
		"another format":         append([]byte{2}, wrapped[1:]...),
		"a byte more":            append(bytes.Clone(wrapped), 0),
	} {
		if key, err := kek.Unwrap(ctx, hostile); key != nil || !errors.Is(err, keyring.ErrWrongKey) {
			t.Errorf("%s: unwrapped %d bytes, %v", name, len(key), err)
		}
	}
	// Parameters that are bearable, and not those it was wrapped with, derive
	// another key.
	if key, err := kek.Unwrap(ctx, header(1, 64, 4)); key != nil || !errors.Is(err, keyring.ErrWrongKey) {
		t.Errorf("weaker parameters: unwrapped %d bytes, %v", len(key), err)
	}
	if key, err := kek.Unwrap(ctx, wrapped); err != nil || !bytes.Equal(key, key32(1)) {
		t.Errorf("after all that: %v", err)
	}
}

// Nothing prints a passphrase, or the key that is derived from it.
func TestPassphraseDoesNotShow(t *testing.T) {
	t.Parallel()
	skipInFIPSMode(t)
	kek := newPassphrase(t, passphrase)
	if _, err := kek.Wrap(context.Background(), key32(1)); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, value := range []any{kek, &kek, struct{ inside any }{kek}, []keyring.KEK{kek}} {
			shown := fmt.Sprintf(verb, value)
			for _, form := range keyringtest.Forms([]byte(passphrase)) {
				if strings.Contains(shown, form) {
					t.Errorf("%s shows %s", verb, shown)
				}
			}
		}
	}
	if text, err := json.Marshal(kek); err == nil && strings.Contains(string(text), "horse") {
		t.Errorf("JSON shows %s", text)
	}
}

// The caller's bytes may be cleared once they were handed over, and many goroutines
// wait for one derivation.
func TestPassphraseIsCopied(t *testing.T) {
	t.Parallel()
	skipInFIPSMode(t)
	ctx := context.Background()
	given := []byte(passphrase)
	kek, err := keyring.NewPassphrase(given)
	if err != nil {
		t.Fatal(err)
	}
	clear(given)
	var group sync.WaitGroup
	headers := sync.Map{}
	for range 8 {
		group.Go(func() {
			wrapped, err := kek.Wrap(ctx, key32(1))
			if err != nil {
				t.Error(err)
				return
			}
			headers.Store(string(wrapped[:26]), true)
		})
	}
	group.Wait()
	n := 0
	headers.Range(func(key, _ any) bool { n++; return true })
	if n != 1 {
		t.Errorf("eight goroutines derived %d keys", n)
	}
	wrapped, err := kek.Wrap(ctx, key32(1))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := newPassphrase(t, passphrase).Unwrap(ctx, wrapped); err != nil || !bytes.Equal(key, key32(1)) {
		t.Errorf("not unwrapped: %v", err)
	}
}

func TestPassphraseInFIPSMode(t *testing.T) {
	t.Parallel()
	if fips140.Enabled() {
		kek, err := keyring.NewPassphrase([]byte(passphrase))
		if kek != nil || err == nil || !strings.Contains(err.Error(), "FIPS 140-3") {
			t.Errorf("made %v, %v", kek, err)
		}
		if _, err := keyring.FromPassphrase("keys.json", []byte(passphrase)); err == nil || !strings.Contains(err.Error(), "FIPS 140-3") {
			t.Errorf("FromPassphrase: %v", err)
		}
		return
	}
	for _, mode := range []string{"on", "only"} {
		command := exec.Command(os.Args[0], "-test.run=^(TestPassphraseInFIPSMode|TestWrappedFile)$", "-test.v")
		command.Env = append(os.Environ(), "GODEBUG=fips140="+mode)
		if out, err := command.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestPassphraseInFIPSMode") {
			t.Errorf("fips140=%s: %v\n%s", mode, err, out)
		}
	}
}

// What a start costs that reads a keyring of five keys by a passphrase.
func BenchmarkFromPassphrase(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.json")
	if err := keyring.WriteWrappedFile(context.Background(), path, rotated(b), newPassphrase(b, passphrase)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keyring.FromPassphrase(path, []byte(passphrase)); err != nil {
			b.Fatal(err)
		}
	}
}
