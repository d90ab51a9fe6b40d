// Package keyringtest checks a keyring source. Every source of this project
// runs it, and one of your own should:
//
//	func TestSource(t *testing.T) {
//		keyringtest.Run(t, keyringtest.Harness{
//			Store: func(t *testing.T, ring *keyring.Keyring) keyring.Source { ... },
//			...
//		})
//	}
package keyringtest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// Harness tells Run how to set up the place that a source reads. Every call
// gets a place of its own.
type Harness struct {
	// Store puts a keyring there and returns the source that loads it.
	Store func(t *testing.T, ring *keyring.Keyring) keyring.Source
	// Missing returns a source whose place is empty. Its error must be
	// keyring.ErrNotFound.
	Missing func(t *testing.T) keyring.Source
	// Malformed returns a source whose place holds the text, which is not a
	// keyring. Its error must be keyring.ErrInvalid. Nil if the place cannot
	// hold any text.
	Malformed func(t *testing.T, text string) keyring.Source
	// Damaged puts a keyring there of which one key was changed, without its
	// check value. The source's error must be keyring.ErrWrongKey. Nil if the
	// place itself keeps keys from being changed.
	Damaged func(t *testing.T, ring *keyring.Keyring) keyring.Source
}

// Run checks that a source loads what was stored, refuses everything else with
// the right error, minds its context, and shows no key.
func Run(t *testing.T, h Harness) {
	t.Run("loads what was stored", func(t *testing.T) {
		for name, ring := range rings(t) {
			t.Run(name, func(t *testing.T) {
				source := h.Store(t, ring)
				for range 2 {
					requireSame(t, load(t, source), ring)
				}
			})
		}
	})
	t.Run("loads from many goroutines", func(t *testing.T) {
		ring := generate(t)
		source := h.Store(t, ring)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if got, err := source.Load(context.Background()); err != nil || !slices.Equal(got.Versions(), ring.Versions()) {
					t.Errorf("loaded %v, %v", got, err)
				}
			})
		}
		group.Wait()
	})
	t.Run("minds a cancelled context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := h.Store(t, generate(t)).Load(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
	t.Run("says that nothing is there", func(t *testing.T) {
		requireError(t, h.Missing(t), keyring.ErrNotFound)
	})
	t.Run("shows no key", func(t *testing.T) {
		ring := generate(t)
		source := h.Store(t, ring)
		requireHidden(t, ring, show(t, source)...)
		requireHidden(t, ring, show(t, load(t, source))...)
	})
	if h.Malformed != nil {
		t.Run("refuses what is malformed", func(t *testing.T) {
			for name, text := range malformed(t) {
				t.Run(name, func(t *testing.T) {
					requireError(t, h.Malformed(t, text), keyring.ErrInvalid, "MARKER", marker)
				})
			}
		})
	}
	if h.Damaged != nil {
		t.Run("refuses a changed key", func(t *testing.T) {
			ring := generate(t)
			source := h.Damaged(t, ring)
			requireError(t, source, keyring.ErrWrongKey)
			_, err := source.Load(context.Background())
			requireHidden(t, ring, fmt.Sprintf("%+v %#v", err, err))
		})
	}
}

func generate(t *testing.T) *keyring.Keyring {
	t.Helper()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// rings returns keyrings in every state that one can be in.
func rings(t *testing.T) map[string]*keyring.Keyring {
	t.Helper()
	must := func(ring *keyring.Keyring, err error) *keyring.Keyring {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return ring
	}
	fresh := generate(t)
	added, version, err := fresh.Add(keyring.DataKeys)
	must(added, err)
	promoted := must(added.Promote(version))
	retired := must(promoted.Retire(fresh.Versions()[0]))
	dataOnly := must(keyring.New(keyring.DataKey(4294967295, keyring.Primary, bytes.Repeat([]byte{7}, keyring.KeySize))))
	return map[string]*keyring.Keyring{
		"fresh": fresh, "with a second key": added, "promoted": promoted, "with a retired key": retired, "without index keys": dataOnly,
	}
}

func load(t *testing.T, source keyring.Source) *keyring.Keyring {
	t.Helper()
	ring, err := source.Load(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// requireSame compares states and, through derived bytes, keys.
func requireSame(t *testing.T, got, want *keyring.Keyring) {
	t.Helper()
	if !slices.Equal(got.Versions(), want.Versions()) {
		t.Fatalf("loaded the versions %v, want %v", got.Versions(), want.Versions())
	}
	for _, version := range want.Versions() {
		gotState, err := got.State(version)
		wantState, _ := want.State(version)
		if err != nil || gotState != wantState {
			t.Errorf("key %s is %s, %v; want %s", version, gotState, err, wantState)
		}
		gotKey, gotErr := got.Derive(version, "keyringtest", 32)
		wantKey, wantErr := want.Derive(version, "keyringtest", 32)
		if !bytes.Equal(gotKey, wantKey) || (gotErr == nil) != (wantErr == nil) {
			t.Errorf("key %s is another one", version)
		}
	}
}

func requireError(t *testing.T, source keyring.Source, want error, hidden ...string) {
	t.Helper()
	ring, err := source.Load(context.Background())
	if ring != nil || !errors.Is(err, want) {
		t.Fatalf("loaded %v with the error %v, want %v", ring, err, want)
	}
	for _, secret := range hidden {
		if strings.Contains(fmt.Sprintf("%+v %#v", err, err), secret) {
			t.Errorf("the error holds a part of what was read: %v", err)
		}
	}
}

// marker stands where a key would, in texts that are refused.
var marker = strings.Repeat("QUJD", 10) + "QUI"

// malformed returns texts that are no keyring, each with a marker that must
// not come back in an error.
func malformed(t *testing.T) map[string]string {
	t.Helper()
	var document bytes.Buffer
	if err := keyring.WriteCleartext(&document, generate(t)); err != nil {
		t.Fatal(err)
	}
	good := document.String()
	entry := func(fields string) string {
		return `{"format": "gormcrypt-keyring-1", "keys": [` + fields + `]}`
	}
	return map[string]string{
		"only a key":         marker,
		"cut off":            good[:len(good)-5] + "MARKER",
		"cut off clean":      good[:len(good)/2],
		"two documents":      good + good,
		"another format":     strings.Replace(good, "keyring-1", "keyring-MARKER", 1),
		"an unknown field":   strings.Replace(good, `"format"`, `"MARKER": 1, "format"`, 1),
		"a key as a number":  entry(`{"version": "1", "state": "primary", "key": 12345678901234567890}`),
		"a key in hex":       entry(`{"version": "1", "state": "primary", "key": "` + hex.EncodeToString([]byte(marker)) + `"}`),
		"a key as a version": entry(`{"version": "` + marker + `", "state": "primary"}`),
		"a key as a state":   entry(`{"version": "1", "state": "` + marker + `"}`),
		"a short key":        entry(`{"version": "1", "state": "primary", "key": "QUJD", "check": "AAAAAAAAAAA"}`),
		"no check value":     entry(`{"version": "1", "state": "primary", "key": "` + marker + `"}`),
		"no version":         entry(`{"state": "primary", "key": "` + marker + `"}`),
		"a retired key":      entry(`{"version": "1", "state": "retired", "key": "` + marker + `"}`),
		"no state":           entry(`{"version": "1", "key": "` + marker + `"}`),
		"no keys":            entry(``),
		"no primary":         strings.ReplaceAll(good, "primary", "enabled"),
		"a key twice":        strings.Replace(good, `"i1"`, `"1"`, 1),
		"a list":             `["` + marker + `"]`,
		"null":               `null`,
	}
}

// Shown is the ways in which Go programs print, log and encode values.
func show(t *testing.T, v any) []string {
	t.Helper()
	type holder struct {
		Exported any
		inside   any
	}
	var shown []string
	for _, value := range []any{v, &v, holder{v, v}, &holder{v, v}, []any{v}, map[string]any{"k": v}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%T", "%p", "%t", "%e", "%c", "%U"} {
			shown = append(shown, fmt.Sprintf(verb, value))
		}
		text, err := json.Marshal(value)
		shown = append(shown, string(text), fmt.Sprint(err))
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", value)
		shown = append(shown, log.String())
		var encoded bytes.Buffer
		err = gob.NewEncoder(&encoded).Encode(value)
		shown = append(shown, encoded.String(), fmt.Sprint(err))
	}
	return shown
}

// requireHidden looks for the keys in every form in which a program prints
// bytes.
func requireHidden(t *testing.T, ring *keyring.Keyring, shown ...string) {
	t.Helper()
	for _, secret := range secrets(t, ring) {
		for _, form := range Forms(secret) {
			for _, text := range shown {
				if strings.Contains(text, form) {
					t.Errorf("a key shows, as %.12q..., in %.100q", form, text)
				}
			}
		}
	}
}

// secrets returns the keys of a ring.
func secrets(t *testing.T, ring *keyring.Keyring) [][]byte {
	t.Helper()
	var document bytes.Buffer
	if err := keyring.WriteCleartext(&document, ring); err != nil {
		t.Fatal(err)
	}
	var parsed struct{ Keys []struct{ Key string } }
	if err := json.Unmarshal(document.Bytes(), &parsed); err != nil {
		t.Fatal(err)
	}
	var found [][]byte
	for _, key := range parsed.Keys {
		if key.Key == "" {
			continue
		}
		secret, err := base64.RawURLEncoding.DecodeString(key.Key)
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, secret)
	}
	return found
}

// Forms returns the first bytes of a secret in every form in which a program
// may print them, to look for in its output: raw, hex, base64, lists of
// numbers, and the words of a stack trace.
func Forms(secret []byte) []string {
	start := secret[:8]
	var decimal, hexList, word strings.Builder
	for i, b := range start {
		if i > 0 {
			decimal.WriteByte(' ')
			hexList.WriteString(", ")
		}
		fmt.Fprintf(&decimal, "%d", b)
		fmt.Fprintf(&hexList, "%#x", b)
	}
	for _, b := range slices.Backward(start) {
		fmt.Fprintf(&word, "%02x", b)
	}
	return []string{
		string(start), hex.EncodeToString(start), strings.ToUpper(hex.EncodeToString(start)),
		base64.StdEncoding.EncodeToString(start[:6]), base64.URLEncoding.EncodeToString(start[:6]),
		decimal.String(), strings.ReplaceAll(decimal.String(), " ", ", "), strings.ReplaceAll(decimal.String(), " ", ","),
		hexList.String(), strings.TrimLeft(word.String(), "0"),
	}
}
