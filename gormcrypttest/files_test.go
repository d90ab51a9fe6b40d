package gormcrypttest_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
)

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func scanned(t *testing.T, path string, secrets ...string) []string {
	t.Helper()
	return failuresOf(t, func(tb gormcrypttest.TB) { gormcrypttest.ScanFiles(tb, path, secrets...) })
}

func TestScanFilesFindsEncodings(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	for _, secret := range secrets {
		for name, text := range encodings(secret) {
			write(t, path, []byte("before"+text+"after"))
			if failures := scanned(t, path, "something else", secret); len(failures) != 1 {
				t.Errorf("%.20q, %s: failures %.200q", secret, name, failures)
			}
		}
	}
}

// Wherever a secret is, at the seam of two reads too, it is found once.
func TestScanFilesAtEveryOffset(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	const read = 256 << 10
	content := bytes.Repeat([]byte("S"), 2*read)
	for _, text := range []string{"SECRET", "83, 69, 67, 82, 69, 84"} { // the longest way to write it
		offsets := []int{0, 1, 1000}
		for seam := read - len(text) - 2; seam < read+2; seam++ {
			offsets = append(offsets, seam)
		}
		for _, offset := range offsets {
			written := bytes.Clone(content)
			copy(written[offset:], text)
			write(t, path, written)
			requireFailure(t, scanned(t, path, "SECRET"), path, fmt.Sprintf("at offset %d", offset), "secret 1")
			write(t, path, written[:offset+len(text)])
			requireFailure(t, scanned(t, path, "SECRET"), fmt.Sprintf("at offset %d", offset))
			write(t, path, written[:offset+len(text)-1])
			if failures := scanned(t, path, "SECRET"); failures != nil {
				t.Errorf("of half a secret, the failures are %q", failures)
			}
		}
	}
}

func TestScanFilesSearchesAll(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	sqlite := write(t, filepath.Join(dir, "app.db"), []byte("nothing"))
	if failures := scanned(t, sqlite, "SECRET"); failures != nil {
		t.Errorf("failures %q", failures)
	}
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		beside := write(t, sqlite+suffix, []byte("a SECRET"))
		requireFailure(t, scanned(t, sqlite, "SECRET"), "app.db"+suffix, "offset 2")
		if err := os.Remove(beside); err != nil {
			t.Fatal(err)
		}
	}

	write(t, filepath.Join(dir, "elsewhere", "1663", "16384"), []byte("a SECRET"))
	if failures := scanned(t, sqlite, "SECRET"); failures != nil {
		t.Errorf("failures %q", failures)
	}
	requireFailure(t, scanned(t, dir, "SECRET"), filepath.Join("elsewhere", "1663", "16384"))

	data := filepath.Join(dir, "data")
	write(t, filepath.Join(data, "PG_VERSION"), []byte("15"))
	if failures := scanned(t, data, "SECRET"); failures != nil {
		t.Errorf("failures %q", failures)
	}
	for _, link := range []string{"pg_tblspc", "again"} {
		if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(data, link)); err != nil {
			t.Skip(err)
		}
	}
	for link, to := range map[string]string{"loop": data, "dangling": filepath.Join(dir, "nowhere")} {
		if err := os.Symlink(to, filepath.Join(data, link)); err != nil {
			t.Fatal(err)
		}
	}
	if listener, err := net.Listen("unix", filepath.Join(data, ".s")); err == nil {
		defer listener.Close()
	}
	requireFailure(t, scanned(t, data, "SECRET"), filepath.Join("1663", "16384"))
	linked := filepath.Join(dir, "linked.db")
	if err := os.Symlink(sqlite, linked); err != nil {
		t.Fatal(err)
	}
	write(t, sqlite+"-wal", []byte("a SECRET"))
	requireFailure(t, scanned(t, linked, "SECRET"), "app.db-wal")
}

func TestScanFilesCountsAFileOnce(t *testing.T) {
	t.Parallel()
	var all []string
	for i := range 25 {
		all = append(all, fmt.Sprintf("secret %02d", i))
	}
	content := bytes.Repeat([]byte(fmt.Sprint(all)), 20)
	path := write(t, filepath.Join(t.TempDir(), "file"), content)
	requireFailure(t, scanned(t, path, "secret 07"), "secret 1, of 9 bytes, as it is at offset 71")
	failures := scanned(t, path, all...)
	if len(failures) != 11 || failures[10] != "gormcrypttest: "+path+": and 15 more" {
		t.Errorf("failures %q", failures)
	}
}

func TestScanFilesRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	requireFailure(t, scanned(t, filepath.Join(dir, "nowhere"), "SECRET"), "nowhere")
	requireFailure(t, scanned(t, dir, "SECRET"), "nothing to search")
	empty := write(t, filepath.Join(dir, "empty"), nil)
	requireFailure(t, scanned(t, empty, "SECRET"), "nothing to search")
	requireFailure(t, scanned(t, dir), "no secrets")
	requireFailure(t, scanned(t, dir, "short"), "by chance")
	if os.Geteuid() != 0 {
		unreadable := write(t, filepath.Join(dir, "unreadable"), []byte("x"))
		write(t, filepath.Join(dir, "readable"), []byte("x"))
		if err := os.Chmod(unreadable, 0); err != nil {
			t.Fatal(err)
		}
		requireFailure(t, scanned(t, dir, "SECRET"), "unreadable")
	}
}

func BenchmarkScanFiles(b *testing.B) {
	path := filepath.Join(b.TempDir(), "file")
	content := bytes.Repeat([]byte("gc1:1:AabKia6QKXL5AY4Uv1QffIL8ia"), 1<<19)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		b.Fatal(err)
	}
	var secrets []string
	for i := range 1000 {
		secrets = append(secrets, fmt.Sprintf("secret %d", i))
	}
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		gormcrypttest.ScanFiles(b, path, secrets...)
	}
}
