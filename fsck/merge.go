package fsck

import (
	"container/heap"
	"errors"
	"fmt"
	"io"
)

// merge gives the numbers of sorted sources in one order.
type merge struct {
	sources []source
	heads   heads
	err     error
}

// head is the number that is next of a source.
type head struct {
	n    uint64
	from source
}

// all yields all numbers, up to an error that failed returns.
func (m *merge) all(yield func(uint64) bool) {
	for _, from := range m.sources {
		if h := (head{from: from}); m.pull(&h) {
			m.heads = append(m.heads, h)
		}
	}
	heap.Init(&m.heads)
	for len(m.heads) > 0 && m.err == nil {
		h := &m.heads[0]
		if !yield(h.n) {
			return
		}
		if m.pull(h) {
			heap.Fix(&m.heads, 0)
		} else {
			heap.Pop(&m.heads)
		}
	}
}

// pull reads the next number, and reports whether there is one.
func (m *merge) pull(h *head) bool {
	n, err := h.from.next()
	if err != nil && !errors.Is(err, io.EOF) {
		m.err = fmt.Errorf("gormcrypt: reading nonces from a temporary file: %w", err)
	}
	h.n = n
	return err == nil
}

func (m *merge) failed() error { return m.err }

// heads is a heap.
type heads []head

func (h heads) Len() int           { return len(h) }
func (h heads) Less(i, j int) bool { return h[i].n < h[j].n }
func (h heads) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *heads) Push(x any)        { *h = append(*h, x.(head)) }
func (h *heads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
