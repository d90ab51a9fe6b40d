package gormcrypttest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// ScanFiles fails t, by Errorf, for every file in which it finds a secret, with
// the offset of the first one. The path is a file, which is searched together
// with those that SQLite keeps beside it (-wal, -shm, -journal), or a directory
// with all that is in it, such as the data directory of a PostgreSQL server.
// Symbolic links are followed. It also fails t if there is nothing to search,
// or something cannot be read.
//
// It finds what stands in a file in one piece. SQLite cuts values that are
// longer than a page, and PostgreSQL compresses and cuts those that are longer
// than 2 kB, so search for short ones. What a server still has in memory is in
// its log already, if it was committed. Files may change meanwhile; those that
// vanish are passed over.
func ScanFiles(t TB, path string, secrets ...string) {
	t.Helper()
	if len(secrets) == 0 {
		t.Fatalf("gormcrypttest: no secrets to search %s for", path)
		return
	}
	s := scan{t: t, seen: map[string]bool{}}
	if err := s.needles.add(secrets...); err != nil {
		t.Fatalf("gormcrypttest: %v", err)
		return
	}
	path, err := filepath.EvalSymlinks(path) // beside which SQLite keeps its files
	if err != nil {
		t.Fatalf("gormcrypttest: %v", err)
		return
	}
	s.tree(path)
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		for _, suffix := range []string{"-wal", "-shm", "-journal"} {
			s.tree(path + suffix)
		}
	}
	if s.searched == 0 {
		t.Errorf("gormcrypttest: %s holds nothing to search", path)
	}
}

// scan is one call of ScanFiles.
type scan struct {
	t        TB
	needles  needles
	searched int64           // bytes
	seen     map[string]bool // files and directories, where links lead there twice
}

// tree searches a file or a directory.
func (s *scan) tree(path string) {
	if err := s.entry(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Errorf("gormcrypttest: %v", err)
	}
}

func (s *scan) entry(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil || s.seen[real] {
		return err
	}
	s.seen[real] = true
	info, err := os.Stat(real)
	switch {
	case err != nil:
		return err
	case info.Mode().IsRegular():
		return s.file(path)
	case !info.IsDir():
		return nil // such as a socket
	}
	entries, err := os.ReadDir(real)
	for _, entry := range entries {
		s.tree(filepath.Join(path, entry.Name()))
	}
	return err
}

// chunk is how much of a file is searched at a time, in bytes.
const chunk = 256 << 10

// file searches a file in chunks, of which each starts with the end of the one
// before.
func (s *scan) file(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	found := map[int]bool{} // by the number of the secret
	var first []string
	buffer := make([]byte, 0, s.needles.longest+chunk)
	for offset := int64(0); ; { // of the buffer
		n, err := file.Read(buffer[len(buffer) : len(buffer)+chunk])
		buffer = buffer[:len(buffer)+n]
		s.searched += int64(n)
		s.needles.find(buffer, func(at int, needle needle) {
			if s := needle.secret; !found[s.number] {
				found[s.number] = true
				first = append(first, fmt.Sprintf("secret %d, of %d bytes, %s at offset %d", s.number, len(s.text), needle.form, offset+int64(at)))
			}
		})
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if drop := len(buffer) - (s.needles.longest - 1); drop > 0 {
			offset += int64(drop)
			buffer = append(buffer[:0], buffer[drop:]...)
		}
	}
	for i, what := range first {
		if i == maxReports {
			s.t.Errorf("gormcrypttest: %s: and %d more", path, len(first)-i)
			break
		}
		s.t.Errorf("gormcrypttest: %s: %s", path, what)
	}
	return nil
}

// maxReports is how many failures of one kind are written out.
const maxReports = 10
