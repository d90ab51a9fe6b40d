package keyring_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/gormcrypt/gormcrypt/keyring"
)

func TestWriteFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	first := generate(t)
	added, version, err := first.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	promoted, err := added.Promote(version)
	if err != nil {
		t.Fatal(err)
	}
	retired, err := promoted.Retire(first.Versions()[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, ring := range []*keyring.Keyring{first, first, added, promoted, retired} {
		if err := keyring.WriteFile(path, ring); err != nil {
			t.Fatal(err)
		}
		read, err := keyring.FromFile(path)
		if err != nil || read.String() != ring.String() {
			t.Errorf("%v was written, %v read, %v", ring, read, err)
		}
	}
	for name, ring := range map[string]*keyring.Keyring{"a version less": first, "another key": generate(t)} {
		if err := keyring.WriteFile(path, ring); !errors.Is(err, keyring.ErrKeyLost) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if read, err := keyring.FromFile(path); err != nil || read.String() != retired.String() {
		t.Errorf("after that, the file holds %v, %v", read, err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// A link stays one, and leads to the new keyring.
func TestWriteFileThroughALink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target.json"), filepath.Join(dir, "link.json")
	ring := generate(t)
	if err := keyring.WriteFile(target, ring); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	added, _, err := ring.Add(keyring.DataKeys)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteFile(link, added); err != nil {
		t.Fatal(err)
	}
	if read, err := keyring.FromFile(target); err != nil || read.String() != added.String() {
		t.Errorf("the target holds %v, %v", read, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link is now %v, %v", info.Mode(), err)
	}
	if err := keyring.WriteFile(target, nil); !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("a nil keyring: %v", err)
	}
}

// A file that cannot be read is not replaced: it may be the only copy.
func TestWriteFileKeepsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"cut off": document(t, generate(t))[:40], "empty": ""} {
		path := writeFile(t, text, 0o600)
		if err := keyring.WriteFile(path, generate(t)); !errors.Is(err, keyring.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if kept, err := os.ReadFile(path); err != nil || string(kept) != text {
			t.Errorf("%s: the file holds %q, %v", name, kept, err)
		}
	}
	if err := keyring.WriteFile(filepath.Join(t.TempDir(), "none", "keys.json"), generate(t)); err == nil {
		t.Error("it was written into a directory that is not there")
	}
}
