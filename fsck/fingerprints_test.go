package fsck

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
)

// twiceOf returns what was added more than once, the plain way.
func twiceOf(all []uint64) []uint64 {
	counts := map[uint64]int{}
	for _, n := range all {
		counts[n]++
	}
	var twice []uint64
	for n, count := range counts {
		if count > 1 {
			twice = append(twice, n)
		}
	}
	slices.Sort(twice)
	return twice
}

// found returns what fingerprints say was added more than once.
func found(t testing.TB, f *fingerprints) []uint64 {
	t.Helper()
	var twice []uint64
	if err := f.twice(t.Context(), func(n uint64) error {
		twice = append(twice, n)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return twice
}

func requireEmpty(t testing.TB, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left: %v", len(left), err)
	}
}

// Whatever fits into memory, the same numbers are found as by counting all of them.
func TestWhatWasAddedTwice(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for _, size := range []int{0, 1, 2, minHeld, minHeld + 1, 20_000, 3 * fanIn * minHeld} {
		for _, memory := range []int64{1, 3 * minHeld * fingerprintSize, 1 << 30} {
			all := make([]uint64, size)
			for i := range all {
				all[i] = random.Uint64()
				switch random.IntN(20) {
				case 0:
					all[i] = all[random.IntN(i+1)]
				case 1:
					all[i] = []uint64{0, 1, 1 << 63, ^uint64(0)}[random.IntN(4)]
				}
			}
			dir := t.TempDir()
			f := newFingerprints(memory, dir)
			var adding sync.WaitGroup
			for part := range slices.Chunk(all, size/3+1) {
				adding.Go(func() {
					for some := range slices.Chunk(part, 777) {
						if err := f.add(some); err != nil {
							t.Error(err)
						}
					}
				})
			}
			adding.Wait()
			spilled := len(f.levels) > 0
			if want := int64(size*fingerprintSize) > max(memory, minHeld*fingerprintSize); want != spilled && size != minHeld {
				t.Errorf("%d numbers in %d bytes: in files is %v", size, memory, spilled)
			}
			if size == 3*fanIn*minHeld && memory == 1 && len(f.levels) < 2 {
				t.Error("no runs were merged")
			}
			if got, want := found(t, f), twiceOf(all); !slices.Equal(got, want) {
				t.Errorf("%d numbers in %d bytes: %d found, want %d", size, memory, len(got), len(want))
			}
			requireEmpty(t, dir) // files have no names
			f.close()
		}
	}
}

// What is held is never more than memory admits.
func TestMemoryOfFingerprints(t *testing.T) {
	t.Parallel()
	const memory = 1 << 20
	f := newFingerprints(memory, t.TempDir())
	defer f.close()
	for n := range uint64(400) {
		if err := f.add(make([]uint64, 1000+n)); err != nil {
			t.Fatal(err)
		}
		if held := cap(f.held) * fingerprintSize; held > memory {
			t.Fatalf("%d bytes are held, of %d", held, memory)
		}
	}
}

// A file that cannot be written or read is an error, at each call from then on.
func TestFilesThatFail(t *testing.T) {
	t.Parallel()
	f := newFingerprints(1, "/does/not/exist")
	defer f.close()
	many := make([]uint64, 3*minHeld)
	if err := f.add(many); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("adding: %v", err)
	}
	if err := f.add(nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("adding again: %v", err)
	}
	if err := f.twice(t.Context(), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("merging: %v", err)
	}

	f = newFingerprints(1, t.TempDir())
	if err := f.add(many); err != nil {
		t.Fatal(err)
	}
	f.levels[0][0].file.Close()
	if err := f.twice(t.Context(), func(uint64) error { return nil }); !errors.Is(err, os.ErrClosed) {
		t.Errorf("reading: %v", err)
	}
	f.close()
	enough := errors.New("enough")
	f = newFingerprints(1, t.TempDir())
	defer f.close()
	if err := f.add(many); err != nil {
		t.Fatal(err)
	}
	if err := f.twice(t.Context(), func(uint64) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("what looks at them: %v", err)
	}
}

// Numbers are merged for as long as the context lasts.
func TestMergingIsCancelled(t *testing.T) {
	t.Parallel()
	f := newFingerprints(1, t.TempDir())
	defer f.close()
	many := make([]uint64, 2*ctxEvery)
	for i := range many {
		many[i] = uint64(i / 2)
	}
	if err := f.add(many); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	met := 0
	err := f.twice(ctx, func(uint64) error {
		cancel()
		met++
		return nil
	})
	if !errors.Is(err, context.Canceled) || met > ctxEvery {
		t.Errorf("%v, after %d numbers", err, met)
	}
}

// FuzzFingerprints adds the bytes of an input in pieces.
func FuzzFingerprints(f *testing.F) {
	f.Add([]byte("abcabc"), uint8(3))
	f.Add([]byte{}, uint8(0))
	f.Fuzz(func(t *testing.T, input []byte, spread uint8) {
		var all []uint64
		for i, b := range input[:min(len(input), 100)] { // long ones take long, and find no more
			for j := range uint64(spread) {
				all = append(all, uint64(b)<<56|j*uint64(i%5))
			}
		}
		prints := newFingerprints(1, t.TempDir())
		defer prints.close()
		if err := prints.add(all); err != nil {
			t.Fatal(err)
		}
		if got, want := found(t, prints), twiceOf(all); !slices.Equal(got, want) {
			t.Errorf("found %v, want %v", got, want)
		}
	})
}

// BenchmarkFingerprints adds numbers of which a tenth fits into memory, and merges them.
func BenchmarkFingerprints(b *testing.B) {
	const numbers = 10_000_000
	some := make([]uint64, maxPending)
	for b.Loop() {
		f := newFingerprints(numbers*fingerprintSize/10, b.TempDir())
		for range numbers / len(some) {
			for i := range some {
				some[i] = rand.Uint64()
			}
			if err := f.add(some); err != nil {
				b.Fatal(err)
			}
		}
		found(b, f)
		f.close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/numbers, "ns/value")
	b.ReportMetric(0, "ns/op")
}
