package keyring_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

// localKEK wraps with AES-256-GCM, in the process. It counts its calls, and can be
// away.
type localKEK struct {
	name           string
	aead           cipher.AEAD
	wraps, unwraps atomic.Int64
	away           atomic.Bool
}

func newLocalKEK(t testing.TB, name string, key byte) *localKEK {
	t.Helper()
	block, err := aes.NewCipher(key32(key))
	if err != nil {
		t.Fatal(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		t.Fatal(err)
	}
	return &localKEK{name: name, aead: aead}
}

func (k *localKEK) Name() string { return k.name }

func (k *localKEK) Wrap(ctx context.Context, key []byte) ([]byte, error) {
	k.wraps.Add(1)
	if err := k.answers(ctx); err != nil {
		return nil, err
	}
	return k.aead.Seal(nil, nil, key, nil), nil
}

func (k *localKEK) Unwrap(ctx context.Context, wrapped []byte) ([]byte, error) {
	k.unwraps.Add(1)
	if err := k.answers(ctx); err != nil {
		return nil, err
	}
	key, err := k.aead.Open(nil, nil, wrapped, nil)
	if err != nil {
		return nil, keyring.ErrWrongKey
	}
	return key, nil
}

func (k *localKEK) answers(ctx context.Context) error {
	if k.away.Load() {
		return keyring.ErrUnavailable
	}
	return ctx.Err()
}

func TestLocalKEK(t *testing.T) {
	t.Parallel()
	keyringtest.RunKEK(t, keyringtest.KEKHarness{
		New:   func(t *testing.T) keyring.KEK { return newLocalKEK(t, "local", 1) },
		Other: func(t *testing.T) keyring.KEK { return newLocalKEK(t, "local", 2) },
	})
}

func wrappedText(t testing.TB, ring *keyring.Keyring, kek keyring.KEK) string {
	t.Helper()
	var b bytes.Buffer
	if err := keyring.WriteWrapped(context.Background(), &b, ring, kek); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWrappedFile(t *testing.T) {
	t.Parallel()
	kek := newLocalKEK(t, "local", 1)
	store := func(t *testing.T, text string) keyring.Source {
		return keyring.WrappedFile(writeFile(t, text, 0o644), kek)
	}
	keyringtest.Run(t, keyringtest.Harness{
		Store:     func(t *testing.T, ring *keyring.Keyring) keyring.Source { return store(t, wrappedText(t, ring, kek)) },
		Missing:   func(t *testing.T) keyring.Source { return keyring.WrappedFile(filepath.Join(t.TempDir(), "none"), kek) },
		Malformed: store,
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return store(t, editWrapped(t, wrappedText(t, ring, kek), func(doc *wrappedDocument) {
				doc.Keys[0].Wrapped = wrapKey(t, kek, key32(9))
			}))
		},
	})
}

// wrappedDocument is the document as somebody without a key sees it.
type wrappedDocument struct {
	Format string         `json:"format"`
	KEK    string         `json:"kek"`
	Keys   []wrappedEntry `json:"keys"`
	Tag    string         `json:"tag"`
}

type wrappedEntry struct {
	Version string `json:"version"`
	State   string `json:"state"`
	Check   string `json:"check,omitempty"`
	Wrapped string `json:"wrapped,omitempty"`
}

func editWrapped(t testing.TB, text string, edit func(*wrappedDocument)) string {
	t.Helper()
	var doc wrappedDocument
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	edit(&doc)
	edited, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return string(edited)
}

func wrapKey(t testing.TB, kek keyring.KEK, key []byte) string {
	t.Helper()
	wrapped, err := kek.Wrap(context.Background(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(wrapped)
}

// rotated returns a keyring with two live data keys, one that is retired, and two
// index keys.
func rotated(t testing.TB) *keyring.Keyring {
	t.Helper()
	ring := generate(t)
	for _, set := range []keyring.Set{keyring.DataKeys, keyring.DataKeys, keyring.IndexKeys} {
		added, version, err := ring.Add(set)
		if err != nil {
			t.Fatal(err)
		}
		if ring, err = added.Promote(version); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := ring.Retire(keyring.MakeVersion(keyring.DataKeys, 1))
	if err != nil {
		t.Fatal(err)
	}
	return ring // 1 retired, 2 enabled, 3 primary, i1 enabled, i2 primary
}

// Whoever can write the file, and has all that the KEK ever wrapped, but no key:
// nothing that he makes of it is loaded.
func TestWrappedFileRefusesWhatWasRearranged(t *testing.T) {
	t.Parallel()
	kek := newLocalKEK(t, "local", 1)
	ring, foreign := rotated(t), rotated(t)
	text := wrappedText(t, ring, kek)
	var theirs wrappedDocument
	if err := json.Unmarshal([]byte(wrappedText(t, foreign, kek)), &theirs); err != nil {
		t.Fatal(err)
	}
	for name, attack := range map[string]struct {
		edit func(*wrappedDocument)
		want error
	}{
		"two keys exchanged": {func(d *wrappedDocument) {
			d.Keys[1].Wrapped, d.Keys[2].Wrapped = d.Keys[2].Wrapped, d.Keys[1].Wrapped
		}, keyring.ErrWrongKey},
		"two keys and their check values exchanged": {func(d *wrappedDocument) {
			d.Keys[1].Wrapped, d.Keys[2].Wrapped = d.Keys[2].Wrapped, d.Keys[1].Wrapped
			d.Keys[1].Check, d.Keys[2].Check = d.Keys[2].Check, d.Keys[1].Check
		}, keyring.ErrInvalid},
		"two versions exchanged": {func(d *wrappedDocument) {
			d.Keys[1].Version, d.Keys[2].Version = d.Keys[2].Version, d.Keys[1].Version
		}, keyring.ErrInvalid},
		"a version renumbered": {func(d *wrappedDocument) { d.Keys[2].Version = "7" }, keyring.ErrInvalid},
		"another wrapping of the same key": {func(d *wrappedDocument) {
			again, err := ring.Wrap(context.Background(), kek, keyring.MakeVersion(keyring.DataKeys, 3))
			if err != nil {
				t.Error(err)
			}
			d.Keys[2].Wrapped = base64.RawURLEncoding.EncodeToString(again)
		}, keyring.ErrInvalid},
		"a data key for an index key": {func(d *wrappedDocument) {
			d.Keys[1].Version, d.Keys[3].Version = d.Keys[3].Version, d.Keys[1].Version
		}, keyring.ErrInvalid},
		"the order": {func(d *wrappedDocument) {
			d.Keys[1], d.Keys[2] = d.Keys[2], d.Keys[1]
		}, keyring.ErrInvalid},
		"an old key promoted": {func(d *wrappedDocument) {
			d.Keys[1].State, d.Keys[2].State = "primary", "enabled"
		}, keyring.ErrInvalid},
		"a key retired":             {func(d *wrappedDocument) { d.Keys[1] = wrappedEntry{Version: "2", State: "retired"} }, keyring.ErrInvalid},
		"a retired key forgotten":   {func(d *wrappedDocument) { d.Keys = d.Keys[1:] }, keyring.ErrInvalid},
		"an enabled key dropped":    {func(d *wrappedDocument) { d.Keys = append(d.Keys[:1], d.Keys[2:]...) }, keyring.ErrInvalid},
		"all index keys dropped":    {func(d *wrappedDocument) { d.Keys = d.Keys[:3] }, keyring.ErrInvalid},
		"a retired version made up": {func(d *wrappedDocument) { d.Keys = append(d.Keys, wrappedEntry{Version: "9", State: "retired"}) }, keyring.ErrInvalid},
		"a retired key revived": {func(d *wrappedDocument) {
			d.Keys[0] = theirs.Keys[1]
			d.Keys[0].Version = "1"
		}, keyring.ErrInvalid},
		"a key of another keyring added": {func(d *wrappedDocument) {
			added := theirs.Keys[1]
			added.Version = "4"
			d.Keys = append(d.Keys, added)
		}, keyring.ErrInvalid},
		"a key of another keyring as primary": {func(d *wrappedDocument) {
			d.Keys[2].State = "enabled"
			added := theirs.Keys[2]
			added.Version = "4"
			d.Keys = append(d.Keys, added)
		}, keyring.ErrInvalid},
		"a key of another keyring in the place of one": {func(d *wrappedDocument) { d.Keys[2] = theirs.Keys[2] }, keyring.ErrInvalid},
		"the list of another keyring, with its tag":    {func(d *wrappedDocument) { d.Keys[1], d.Tag = theirs.Keys[1], theirs.Tag }, keyring.ErrInvalid},
		"a key twice":               {func(d *wrappedDocument) { d.Keys[1].Version = "3" }, keyring.ErrInvalid},
		"a wrapped key twice":       {func(d *wrappedDocument) { d.Keys[1].Wrapped, d.Keys[1].Check = d.Keys[2].Wrapped, d.Keys[2].Check }, keyring.ErrInvalid},
		"another check value":       {func(d *wrappedDocument) { d.Keys[1].Check = "AAAAAAAAAAA" }, keyring.ErrWrongKey},
		"no check value":            {func(d *wrappedDocument) { d.Keys[1].Check = "" }, keyring.ErrInvalid},
		"nothing wrapped":           {func(d *wrappedDocument) { d.Keys[1].Wrapped = "" }, keyring.ErrInvalid},
		"padded":                    {func(d *wrappedDocument) { d.Keys[1].Wrapped += "=" }, keyring.ErrInvalid},
		"cut":                       {func(d *wrappedDocument) { d.Keys[1].Wrapped = d.Keys[1].Wrapped[:20] }, keyring.ErrWrongKey},
		"no tag":                    {func(d *wrappedDocument) { d.Tag = "" }, keyring.ErrInvalid},
		"half a tag":                {func(d *wrappedDocument) { d.Tag = d.Tag[:20] }, keyring.ErrInvalid},
		"a tag that is no base64":   {func(d *wrappedDocument) { d.Tag = "!" }, keyring.ErrInvalid},
		"another KEK's name":        {func(d *wrappedDocument) { d.KEK = "another" }, keyring.ErrWrongKey},
		"another format":            {func(d *wrappedDocument) { d.Format = "gormcrypt-wrapped-keyring-2" }, keyring.ErrInvalid},
		"a retired key with a key":  {func(d *wrappedDocument) { d.Keys[0].Wrapped = d.Keys[1].Wrapped }, keyring.ErrInvalid},
		"a retired key with a name": {func(d *wrappedDocument) { d.Keys[0].Check = d.Keys[1].Check }, keyring.ErrInvalid},
		"no version":                {func(d *wrappedDocument) { d.Keys[1].Version = "0" }, keyring.ErrInvalid},
		"no keys":                   {func(d *wrappedDocument) { d.Keys = nil }, keyring.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edited := editWrapped(t, text, attack.edit)
			source := keyring.WrappedFile(writeFile(t, edited, 0o600), kek)
			got, err := source.Load(context.Background())
			if got != nil || !errors.Is(err, attack.want) {
				t.Errorf("loaded %v, %v; want %v", got, err, attack.want)
			}
			// A source that knows the keys already is no easier to fool.
			path := writeFile(t, text, 0o600)
			source = keyring.WrappedFile(path, kek)
			if _, err := source.Load(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(edited), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := source.Load(context.Background()); got != nil || !errors.Is(err, attack.want) {
				t.Errorf("the second time it loaded %v, %v; want %v", got, err, attack.want)
			}
		})
	}
	if got, err := keyring.WrappedFile(writeFile(t, editWrapped(t, text, func(*wrappedDocument) {}), 0o600), kek).Load(context.Background()); err != nil || got.String() != ring.String() {
		t.Errorf("unchanged, it is loaded as %v, %v", got, err)
	}
}

// What the tag cannot show is said in the comment of WrappedFile: an older document
// is as good as it was.
func TestWrappedFileTakesAnOlderDocument(t *testing.T) {
	t.Parallel()
	kek := newLocalKEK(t, "local", 1)
	ring := generate(t)
	older := wrappedText(t, ring, kek)
	path := filepath.Join(t.TempDir(), "keys.json")
	added, _, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteWrappedFile(context.Background(), path, added, kek); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := keyring.WrappedFile(path, kek).Load(context.Background())
	if err != nil || got.String() != ring.String() {
		t.Errorf("loaded %v, %v", got, err)
	}
	if err := got.Keeps(added); !errors.Is(err, keyring.ErrKeyLost) {
		t.Errorf("a process that has the newer keyring would take the older: %v", err)
	}
}

// The KEK is asked once for each live key, however often and by how many
// goroutines the file is loaded, and for a new key only after a rotation.
func TestWrappedFileUnwrapsAKeyOnce(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	kek := newLocalKEK(t, "local", 1)
	path := filepath.Join(t.TempDir(), "keys.json")
	ring := rotated(t)
	if err := keyring.WriteWrappedFile(ctx, path, ring, kek); err != nil {
		t.Fatal(err)
	}
	if got := kek.wraps.Load(); got != 4 {
		t.Errorf("four live keys were wrapped with %d calls", got)
	}
	reader := newLocalKEK(t, "local", 1)
	source := keyring.WrappedFile(path, reader)
	require := func(ring *keyring.Keyring, unwraps int64) {
		t.Helper()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 3 {
					if got, err := source.Load(ctx); err != nil || got.String() != ring.String() {
						t.Errorf("loaded %v, %v", got, err)
					}
				}
			})
		}
		group.Wait()
		if got := reader.unwraps.Load(); got != unwraps {
			t.Errorf("the KEK was asked %d times, want %d", got, unwraps)
		}
	}
	require(ring, 4)

	added, version, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteWrappedFile(ctx, path, added, kek); err != nil {
		t.Fatal(err)
	}
	if got := kek.wraps.Load(); got != 5 {
		t.Errorf("one key more was wrapped with %d calls", got-4)
	}
	require(added, 5)

	promoted, err := added.Promote(version)
	if err != nil {
		t.Fatal(err)
	}
	retired, err := promoted.Retire(keyring.MakeVersion(keyring.DataKeys, 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteWrappedFile(ctx, path, retired, kek); err != nil {
		t.Fatal(err)
	}
	require(retired, 5)

	// The key server may be away now: nothing is asked of it.
	reader.away.Store(true)
	require(retired, 5)
}

// A file that somebody has filled with one wrapped key costs no call.
func TestWrappedFileDoesNotFloodTheKeyServer(t *testing.T) {
	t.Parallel()
	kek := newLocalKEK(t, "local", 1)
	text := editWrapped(t, wrappedText(t, generate(t), kek), func(d *wrappedDocument) {
		for i := range 2000 {
			entry := d.Keys[0]
			entry.Version, entry.State = fmt.Sprint(i+2), "enabled"
			d.Keys = append(d.Keys, entry)
		}
	})
	if _, err := keyring.WrappedFile(writeFile(t, text, 0o600), kek).Load(context.Background()); !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	if got := kek.unwraps.Load(); got != 0 {
		t.Errorf("the KEK was asked %d times", got)
	}
}

// A key server that gives no answer is no reason to give up a keyring, or to write
// half of one.
func TestWrappedFileWhileTheKeyServerIsAway(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	kek := newLocalKEK(t, "local", 1)
	path := writeFile(t, wrappedText(t, generate(t), kek), 0o600)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	source := keyring.WrappedFile(path, kek)
	kek.away.Store(true)
	if _, err := source.Load(ctx); !errors.Is(err, keyring.ErrUnavailable) || !strings.Contains(err.Error(), path) {
		t.Errorf("Load: %v", err)
	}
	if err := keyring.WriteWrappedFile(ctx, path, generate(t), kek); !errors.Is(err, keyring.ErrUnavailable) {
		t.Errorf("WriteWrappedFile: %v", err)
	}
	var b bytes.Buffer
	if err := keyring.WriteWrapped(ctx, &b, generate(t), kek); !errors.Is(err, keyring.ErrUnavailable) || b.Len() != 0 {
		t.Errorf("WriteWrapped wrote %d bytes: %v", b.Len(), err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the file was changed: %v", err)
	}
	kek.away.Store(false)
	if _, err := source.Load(ctx); err != nil {
		t.Errorf("when it is back: %v", err)
	}
}

// waitingKEK gives no answer until its caller has none to wait for.
type waitingKEK struct {
	*localKEK
	asked chan struct{}
}

func (k *waitingKEK) Unwrap(ctx context.Context, _ []byte) ([]byte, error) {
	k.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

// A Load that waits for another minds its own context.
func TestWrappedFileWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	kek := newLocalKEK(t, "local", 1)
	waiting := &waitingKEK{kek, make(chan struct{})}
	source := keyring.WrappedFile(writeFile(t, wrappedText(t, generate(t), kek), 0o600), waiting)
	first, stopFirst := context.WithCancel(context.Background())
	second, stopSecond := context.WithCancel(context.Background())
	results := make(chan error)
	go func() { _, err := source.Load(first); results <- err }()
	<-waiting.asked
	go func() { _, err := source.Load(second); results <- err }()
	stopSecond()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the second: %v", err)
	}
	stopFirst()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
}

// As WriteFile does, it keeps what cannot be replaced without a loss.
func TestWriteWrappedFile(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	kek := newLocalKEK(t, "local", 1)
	dir := t.TempDir()
	path, link := filepath.Join(dir, "keys.json"), filepath.Join(dir, "link.json")
	ring := generate(t)
	if err := keyring.WriteWrappedFile(ctx, path, ring, kek); err != nil {
		t.Fatal(err)
	}
	requireMode(t, path, 0o600)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("keys.json", link); err != nil {
		t.Fatal(err)
	}
	added, _, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteWrappedFile(ctx, link, added, kek); err != nil {
		t.Fatal(err)
	}
	requireMode(t, path, 0o644)
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		ring *keyring.Keyring
		kek  keyring.KEK
		want error
	}{
		"a version less":               {ring, kek, keyring.ErrKeyLost},
		"another key":                  {generate(t), kek, keyring.ErrKeyLost},
		"another KEK of the same name": {added, newLocalKEK(t, "local", 2), keyring.ErrWrongKey},
		"another KEK":                  {added, newLocalKEK(t, "other", 1), keyring.ErrWrongKey},
		"no keyring":                   {nil, kek, keyring.ErrInvalid},
		"no KEK":                       {added, nil, keyring.ErrInvalid},
	} {
		if err := keyring.WriteWrappedFile(ctx, path, c.ring, c.kek); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if err := keyring.WriteFile(path, added); err == nil {
		t.Error("WriteFile has replaced wrapped keys by keys in the clear")
	}
	clear := filepath.Join(dir, "clear.json")
	if err := keyring.WriteFile(clear, added); err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteWrappedFile(ctx, clear, added, kek); !errors.Is(err, keyring.ErrInvalid) || !strings.Contains(err.Error(), "FromFile") {
		t.Errorf("over a keyring in the clear: %v", err)
	}
	if err := os.Remove(clear); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(kept, after) {
		t.Errorf("the file was changed: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

func requireMode(t *testing.T, path string, want os.FileMode) {
	t.Helper()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
		t.Errorf("%s has the mode %v, want %v; %v", filepath.Base(path), info.Mode(), want, err)
	}
}

// The document shows versions, states and check values, and no key.
func TestWrappedDocumentHidesKeys(t *testing.T) {
	t.Parallel()
	ring := rotated(t)
	text := wrappedText(t, ring, newLocalKEK(t, "transit/keys/app", 1))
	clear := document(t, ring)
	for line := range strings.Lines(clear) {
		if _, key, ok := strings.Cut(line, `"key": "`); ok && strings.Contains(text, key[:12]) {
			t.Errorf("a key stands in %s", text)
		}
	}
	for _, version := range ring.Versions() {
		check, _ := ring.CheckValue(version)
		if !strings.Contains(text, fmt.Sprintf(`"version": "%s"`, version)) || !strings.Contains(text, check) {
			t.Errorf("version %s is missing in %s", version, text)
		}
	}
	if !strings.Contains(text, `"kek": "transit/keys/app"`) {
		t.Errorf("the KEK is missing in %s", text)
	}
}

// A file that others may write is refused: who can write it can put an older one
// there. It may be read by all.
func TestWrappedFileThatOthersCanWriteIsRefused(t *testing.T) {
	t.Parallel()
	kek := newLocalKEK(t, "local", 1)
	text := wrappedText(t, generate(t), kek)
	for mode, want := range map[os.FileMode]error{0o600: nil, 0o400: nil, 0o644: nil, 0o664: keyring.ErrExposed, 0o602: keyring.ErrExposed} {
		if _, err := keyring.WrappedFile(writeFile(t, text, mode), kek).Load(context.Background()); !errors.Is(err, want) {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	for name, source := range map[string]keyring.Source{
		"a directory": keyring.WrappedFile(t.TempDir(), kek), "a large file": keyring.WrappedFile(writeFile(t, strings.Repeat(" ", 1<<20+1), 0o600), kek),
		"a keyring in the clear": keyring.WrappedFile(writeFile(t, document(t, generate(t)), 0o600), kek), "no KEK": keyring.WrappedFile(writeFile(t, text, 0o600), nil),
	} {
		if _, err := source.Load(context.Background()); !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keyring.FromFile(writeFile(t, text, 0o600)); !errors.Is(err, keyring.ErrInvalid) || !strings.Contains(err.Error(), "WrappedFile") {
		t.Errorf("FromFile: %v", err)
	}
}
