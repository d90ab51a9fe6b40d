package fsck

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"sync"
)

// fingerprints finds numbers that were added twice, of more than memory holds: what does
// not fit is sorted and written to a file, and in the end all files are merged. Adding
// is safe for concurrent use.
type fingerprints struct {
	dir string
	max int // of numbers in memory

	mu     sync.Mutex
	held   []uint64
	levels [][]run // each run of a level is merged from fanIn of the one below
	err    error
}

const (
	fingerprintSize = 8
	// fanIn is how many runs of one level there are at most: each is an open file with
	// a buffer.
	fanIn = 32
	// runBuffer is the buffer to read or write a run, in bytes.
	runBuffer = 32 << 10
	// ctxEvery is how many numbers are merged, in milliseconds, between two looks at
	// the context.
	ctxEvery = 1 << 16
	// minHeld is how many numbers are held at least.
	minHeld = 1 << 10
)

// newFingerprints takes so many bytes of memory, and a little more to merge.
func newFingerprints(memory int64, dir string) *fingerprints {
	return &fingerprints{dir: dir, max: int(max(memory/fingerprintSize, minHeld))}
}

// add adds numbers, which it does not keep.
func (f *fingerprints) add(some []uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(some) > 0 && f.err == nil {
		if len(f.held) == cap(f.held) && !f.grow() {
			f.err = f.spill()
			continue
		}
		n := min(len(some), cap(f.held)-len(f.held))
		f.held = append(f.held, some[:n]...)
		some = some[n:]
	}
	return f.err
}

// grow makes room. While the numbers are copied, both the old and the new room are in
// memory.
func (f *fingerprints) grow() bool {
	larger := max(minHeld, 2*cap(f.held))
	if cap(f.held)+larger > f.max && cap(f.held) > 0 {
		return false
	}
	f.held = append(make([]uint64, 0, larger), f.held...)
	return true
}

// spill writes what is held to a file.
func (f *fingerprints) spill() error {
	slices.Sort(f.held)
	err := f.push(0, slices.Values(f.held), nil)
	f.held = f.held[:0]
	return err
}

// push writes sorted numbers to a run of a level, and merges the level if it is full.
// Failed says why the numbers have ended early.
func (f *fingerprints) push(level int, sorted iter.Seq[uint64], failed func() error) error {
	written, err := writeRun(f.dir, sorted)
	if err == nil && failed != nil {
		if err = failed(); err != nil {
			written.close()
		}
	}
	if err != nil {
		return err
	}
	for len(f.levels) <= level {
		f.levels = append(f.levels, nil)
	}
	f.levels[level] = append(f.levels[level], written)
	if len(f.levels[level]) < fanIn {
		return nil
	}
	full := f.levels[level]
	f.levels[level] = nil
	defer closeAll(full)
	merged := merge{sources: sourcesOf(full)}
	return f.push(level+1, merged.all, merged.failed)
}

// twice calls see with each number that was added more than once, in order, and forgets
// all of them. It ends with the error of ctx if that is done.
func (f *fingerprints) twice(ctx context.Context, see func(uint64) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	slices.Sort(f.held)
	merged := merge{sources: []source{&memoryRun{f.held}}}
	for _, level := range f.levels {
		merged.sources = append(merged.sources, sourcesOf(level)...)
	}
	first, seen := true, false
	var last uint64
	count := 0
	for n := range merged.all {
		if count++; count%ctxEvery == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		switch {
		case first || n != last:
			first, seen, last = false, false, n
		case !seen:
			seen = true
			if err := see(n); err != nil {
				return err
			}
		}
	}
	return merged.failed()
}

// close removes the files.
func (f *fingerprints) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, level := range f.levels {
		closeAll(level)
	}
	f.levels, f.held, f.err = nil, nil, errors.New("closed")
}

// run is a file of sorted numbers.
type run struct {
	file  *os.File
	named bool // it could not be removed while it is open
}

// writeRun writes numbers to a file. Where a system lets one, the file has no name from
// the beginning, so that nothing is left of it when the process is killed.
func writeRun(dir string, sorted iter.Seq[uint64]) (run, error) {
	file, err := os.CreateTemp(dir, "gormcrypt-fsck-*")
	if err != nil {
		return run{}, fmt.Errorf("gormcrypt: a temporary file for nonces: %w; name another directory in Config.TempDir, or give Config.Memory more", err)
	}
	written := run{file: file, named: os.Remove(file.Name()) != nil}
	w := bufio.NewWriterSize(file, runBuffer)
	var encoded [fingerprintSize]byte
	for n := range sorted {
		binary.LittleEndian.PutUint64(encoded[:], n)
		if _, err = w.Write(encoded[:]); err != nil {
			break
		}
	}
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		written.close()
		return run{}, fmt.Errorf("gormcrypt: writing nonces to a temporary file: %w; name another directory in Config.TempDir, or give Config.Memory more", err)
	}
	return written, nil
}

func (r run) close() {
	_ = r.file.Close()
	if r.named {
		_ = os.Remove(r.file.Name())
	}
}

func closeAll(runs []run) {
	for _, r := range runs {
		r.close()
	}
}

// source gives numbers in order, and then io.EOF.
type source interface{ next() (uint64, error) }

type memoryRun struct{ left []uint64 }

func (m *memoryRun) next() (uint64, error) {
	if len(m.left) == 0 {
		return 0, io.EOF
	}
	n := m.left[0]
	m.left = m.left[1:]
	return n, nil
}

type fileRun struct{ *bufio.Reader }

func (r fileRun) next() (uint64, error) {
	var encoded [fingerprintSize]byte
	if _, err := io.ReadFull(r, encoded[:]); err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(encoded[:]), nil
}

func sourcesOf(runs []run) []source {
	all := make([]source, len(runs))
	for i, r := range runs {
		all[i] = fileRun{bufio.NewReaderSize(io.NewSectionReader(r.file, 0, 1<<62), runBuffer)}
	}
	return all
}
