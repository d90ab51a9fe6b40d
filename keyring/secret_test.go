//go:build unix

package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/keyringtest"
)

func TestSecretFile(t *testing.T) {
	t.Parallel()
	store := func(t *testing.T, text string) keyring.Source { return keyring.SecretFile(writeFile(t, text, 0o444)) }
	keyringtest.Run(t, keyringtest.Harness{
		Store:     func(t *testing.T, ring *keyring.Keyring) keyring.Source { return store(t, document(t, ring)) },
		Missing:   func(t *testing.T) keyring.Source { return keyring.SecretFile(filepath.Join(t.TempDir(), "none")) },
		Malformed: store,
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return store(t, damage(document(t, ring)))
		},
	})
}

// The environment of the process says where systemd has put its credentials.
func TestCredential(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	credentials := 0
	store := func(t *testing.T, text string) keyring.Source {
		t.Helper()
		credentials++
		name := fmt.Sprintf("keyring-%d.json", credentials)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
		return keyring.Credential(name)
	}
	keyringtest.Run(t, keyringtest.Harness{
		Store:     func(t *testing.T, ring *keyring.Keyring) keyring.Source { return store(t, document(t, ring)) },
		Missing:   func(*testing.T) keyring.Source { return keyring.Credential("none") },
		Malformed: store,
		Damaged: func(t *testing.T, ring *keyring.Keyring) keyring.Source {
			return store(t, damage(document(t, ring)))
		},
	})
	for value, want := range map[string]error{"": keyring.ErrNotFound, "credentials": keyring.ErrInvalid, "../" + dir: keyring.ErrInvalid} {
		t.Setenv("CREDENTIALS_DIRECTORY", value)
		if _, err := keyring.Credential("keyring-1.json").Load(context.Background()); !errors.Is(err, want) || !strings.Contains(err.Error(), "systemd") {
			t.Errorf("CREDENTIALS_DIRECTORY=%q: %v", value, err)
		}
	}
}

// A name is not a path, and may be a key that was pasted into the wrong place.
func TestSecretNames(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", t.TempDir())
	ctx := context.Background()
	const pasted = "MARKER/AQEBAQEBAQEBAQEBAQ"
	for _, name := range []string{"", ".", "..", "../keys", "a/b", "/run/secrets/keys", `a\b`, `..\keys`, "keys\x00", pasted} {
		for kind, source := range map[string]keyring.Source{"secret": keyring.Secret(name), "credential": keyring.Credential(name)} {
			if _, err := source.Load(ctx); !errors.Is(err, keyring.ErrInvalid) || strings.Contains(err.Error(), "MARKER") {
				t.Errorf("%s %q: %v", kind, name, err)
			}
		}
	}
	if _, err := keyring.Secret("gormcrypt-test-none").Load(ctx); !errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), "/run/secrets/gormcrypt-test-none") {
		t.Errorf("a secret that is not there: %v", err)
	}
	for _, name := range []string{"keys", "..keys", ".keys", "gormcrypt.json", "a b"} {
		if _, err := keyring.Credential(name).Load(ctx); !errors.Is(err, keyring.ErrNotFound) {
			t.Errorf("%q is a file's name: %v", name, err)
		}
	}
}

// Reading a secret is for all, changing it for its owner alone.
func TestSecretFileModes(t *testing.T) {
	t.Parallel()
	ring := generate(t)
	text := document(t, ring)
	for _, mode := range []fs.FileMode{0o444, 0o644, 0o400, 0o440, 0o600, 0o755} {
		if got, err := keyring.SecretFile(writeFile(t, text, mode)).Load(context.Background()); err != nil || got.String() != ring.String() {
			t.Errorf("mode %o: loaded %v, %v", mode, got, err)
		}
	}
	for _, mode := range []fs.FileMode{0o664, 0o646, 0o666, 0o777, 0o620, 0o602} {
		if _, err := keyring.SecretFile(writeFile(t, text, mode)).Load(context.Background()); !errors.Is(err, keyring.ErrExposed) || !strings.Contains(err.Error(), "chmod go-w") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}

// Who can write a directory can put another file in the place of the secret, unless
// the directory is sticky, as a tmpfs is.
func TestSecretFileInADirectoryThatOthersCanWrite(t *testing.T) {
	t.Parallel()
	ring := generate(t)
	outer := t.TempDir()
	dir := filepath.Join(outer, "secrets", "app")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path, link := filepath.Join(dir, "keys.json"), filepath.Join(t.TempDir(), "link")
	if err := os.WriteFile(path, []byte(document(t, ring)), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, writable := range []string{dir, filepath.Dir(dir), filepath.Dir(link)} {
		paths := []string{path, link}
		if writable == filepath.Dir(link) {
			paths = []string{link}
		}
		for mode, want := range map[fs.FileMode]error{
			0o755: nil, 0o777: keyring.ErrExposed, 0o775: keyring.ErrExposed, 0o757: keyring.ErrExposed,
			0o777 | fs.ModeSticky: nil, 0o775 | fs.ModeSticky: nil, 0o777 | fs.ModeSetgid: keyring.ErrExposed,
		} {
			if err := os.Chmod(writable, mode); err != nil {
				t.Fatal(err)
			}
			for _, path := range paths {
				if _, err := keyring.SecretFile(path).Load(context.Background()); !errors.Is(err, want) || err != nil && !strings.Contains(err.Error(), writable) {
					t.Errorf("%s of mode %v: %v", writable, mode, err)
				}
			}
		}
		if err := os.Chmod(writable, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSecretFileThatIsNone(t *testing.T) {
	t.Parallel()
	text := document(t, generate(t))
	dir := t.TempDir()
	fifo, loop, dangling := filepath.Join(dir, "fifo"), filepath.Join(dir, "loop"), filepath.Join(dir, "dangling")
	if err := errors.Join(syscall.Mkfifo(fifo, 0o444), os.Symlink("loop", loop), os.Symlink("nowhere", dangling)); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a directory":                 dir,
		"a named pipe without writer": fifo,
		"a device":                    os.DevNull,
		"a link that leads nowhere":   dangling,
		"more than a keyring":         writeFile(t, strings.Repeat(" ", 1<<20+1), 0o444),
		"an empty file":               writeFile(t, "", 0o444),
		"only line ends":              writeFile(t, "\r\n\r\n", 0o444),
		"zeros":                       writeFile(t, strings.Repeat("\x00", 4096), 0o444),
		"a zero at the end":           writeFile(t, text+"\x00", 0o444),
		"a byte order mark":           writeFile(t, "\ufeff"+text, 0o444),
		"UTF-16":                      writeFile(t, "\xff\xfe"+strings.Join(strings.Split(text, ""), "\x00")+"\x00", 0o444),
		"a document twice":            writeFile(t, text+text, 0o444),
		"base64 of a document, as Kubernetes's API has it": writeFile(t, "eyJmb3JtYXQiOiAiZ29ybWNyeXB0LWtleXJpbmctMSJ9", 0o444),
	} {
		if got, err := keyring.SecretFile(path).Load(context.Background()); got != nil || !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("%s: loaded %v, %v", name, got, err)
		}
		if name == "a link that leads nowhere" {
			continue // it is no file, which WriteFile could make
		}
		if got, err := keyring.File(path).Load(context.Background()); got != nil || errors.Is(err, keyring.ErrNotFound) {
			t.Errorf("%s, by File: loaded %v, %v", name, got, err)
		}
	}
	if _, err := keyring.SecretFile(loop).Load(context.Background()); err == nil || errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("a link to itself: %v", err)
	}
	if _, err := keyring.SecretFile(filepath.Join(dir, "none")).Load(context.Background()); !errors.Is(err, keyring.ErrNotFound) {
		t.Errorf("no file: %v", err)
	}
}

// An editor's byte order mark is named: nobody sees it.
func TestByteOrderMarkIsNamed(t *testing.T) {
	t.Parallel()
	_, err := keyring.SecretFile(writeFile(t, "\ufeff"+document(t, generate(t)), 0o444)).Load(context.Background())
	if !errors.Is(err, keyring.ErrInvalid) || !strings.Contains(err.Error(), "byte order mark") {
		t.Errorf("error %v", err)
	}
}

// Line ends of other systems are white space to JSON.
func TestSecretFileWithOtherLineEnds(t *testing.T) {
	t.Parallel()
	ring := generate(t)
	for name, text := range map[string]string{
		"CRLF":            strings.ReplaceAll(document(t, ring), "\n", "\r\n"),
		"no line end":     strings.TrimRight(document(t, ring), "\n"),
		"some more":       "\n\n" + document(t, ring) + "\n \t\r\n",
		"on one line":     strings.ReplaceAll(document(t, ring), "\n", ""),
		"a CR at its end": document(t, ring) + "\r",
	} {
		if got, err := keyring.SecretFile(writeFile(t, text, 0o444)).Load(context.Background()); err != nil || got.String() != ring.String() {
			t.Errorf("%s: loaded %v, %v", name, got, err)
		}
	}
}

// kubernetes is a secret's volume as the kubelet makes it: the files are links
// into ..data, which is a link to a directory that holds one version of all files,
// in a tmpfs that everybody could write if it were not sticky.
type kubernetes struct {
	t       *testing.T
	dir     string
	version int
}

func newKubernetes(t *testing.T, text string) *kubernetes {
	t.Helper()
	k := &kubernetes{t: t, dir: t.TempDir()}
	if err := os.Chmod(k.dir, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	k.update(text)
	if err := os.Symlink(filepath.Join("..data", "keys.json"), k.path()); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *kubernetes) path() string { return filepath.Join(k.dir, "keys.json") }

// update does what the kubelet's AtomicWriter does.
func (k *kubernetes) update(text string) {
	k.version++
	name := fmt.Sprintf("..2026_01_01_00_00_00.%09d", k.version)
	data, next := filepath.Join(k.dir, "..data"), filepath.Join(k.dir, "..data_tmp")
	old, _ := os.Readlink(data)
	err := errors.Join(
		os.Mkdir(filepath.Join(k.dir, name), 0o755),
		os.WriteFile(filepath.Join(k.dir, name, "keys.json"), []byte(text), 0o644),
		os.Symlink(name, next),
		os.Rename(next, data),
	)
	if old != "" {
		err = errors.Join(err, os.RemoveAll(filepath.Join(k.dir, old)))
	}
	if err != nil {
		k.t.Error(err)
	}
}

// While Kubernetes replaces a secret again and again, each Load gets one version of
// it, whole.
func TestSecretFileWhileKubernetesReplacesIt(t *testing.T) {
	t.Parallel()
	// Of different lengths, so that a mixture is no document.
	small, large := generate(t), rotated(t)
	texts := []string{document(t, small), document(t, large)}
	volume := newKubernetes(t, texts[0])
	source := keyring.SecretFile(volume.path())
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
				volume.update(texts[i%2])
			}
		}
	}()
	seen := map[string]int{}
	for i := 0; i < 2000 || len(seen) < 2 && i < 1_000_000; i++ {
		ring, err := source.Load(context.Background())
		if err != nil {
			t.Errorf("while it was replaced: %v", err)
			break
		}
		seen[ring.String()]++
	}
	close(stop)
	<-stopped
	if len(seen) != 2 || seen[small.String()] == 0 || seen[large.String()] == 0 {
		t.Errorf("loaded %v", seen)
	}
}

// A file of another user with mode 0400, as a secret is that was mounted for another
// user, is an error that says for whom it has to be. Root may read all, so the test
// is run by another user.
func TestSecretFileOfAnotherUser(t *testing.T) {
	t.Parallel()
	if path := os.Getenv("KEYRING_TEST_UNREADABLE"); path != "" {
		if err := syscall.Setuid(65534); err != nil {
			t.Fatal(err)
		}
		for _, source := range []keyring.Source{keyring.SecretFile(path), keyring.File(path), keyring.WrappedFile(path, newLocalKEK(t, "local", 1))} {
			_, err := source.Load(context.Background())
			if !errors.Is(err, fs.ErrPermission) || errors.Is(err, keyring.ErrNotFound) || !strings.Contains(err.Error(), "65534") {
				t.Errorf("error %v", err)
			}
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may change its user")
	}
	path := writeFile(t, document(t, generate(t)), 0o400)
	for dir := filepath.Dir(path); strings.HasPrefix(dir, os.TempDir()+"/"); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // so that it finds the file
			t.Fatal(err)
		}
	}
	command := exec.Command(os.Args[0], "-test.run=^TestSecretFileOfAnotherUser$", "-test.v")
	command.Env = append(os.Environ(), "KEYRING_TEST_UNREADABLE="+path)
	if out, err := command.CombinedOutput(); err != nil || !slices.Contains(strings.Fields(string(out)), "PASS:") {
		t.Errorf("%v\n%s", err, out)
	}
}
