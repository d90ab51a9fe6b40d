package secretly_test

import (
	"bytes"
	"os"
	"testing"
	"unsafe"

	"github.com/gormcrypt/gormcrypt/internal/secretly"
)

// leave leaves a pattern on the stack, some way down, and returns its address.
//
//go:noinline
func leave(down int) uintptr {
	var frame [512]byte
	if down > 0 {
		return leave(down-1) + uintptr(frame[down])
	}
	for i := range frame {
		frame[i] = 0xa7
	}
	return uintptr(unsafe.Pointer(&frame))
}

// left reports whether a pattern is still there. Go cannot look at memory that
// belongs to nobody; the kernel can.
func left(t *testing.T, at uintptr) bool {
	t.Helper()
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skip("no /proc/self/mem")
	}
	defer memory.Close()
	content := make([]byte, 512)
	if _, err := memory.ReadAt(content, int64(at)); err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(content, bytes.Repeat([]byte{0xa7}, 64))
}

func TestDoLeavesNothingOnTheStack(t *testing.T) {
	const down = 8   // 4 KiB and more: what runs after it does not overwrite it by chance
	leave(down + 20) // the stack is large enough from now on, and does not move
	if !left(t, leave(down)) {
		t.Fatal("a plain call leaves nothing: the test shows nothing")
	}
	var at uintptr
	secretly.Do(func() { at = leave(down) })
	if left(t, at) {
		t.Error("it is still there")
	}
	func() {
		defer func() {
			if recover() != "at work" {
				t.Error("the panic was swallowed")
			}
		}()
		secretly.Do(func() { at = leave(down); panic("at work") })
	}()
	if left(t, at) {
		t.Error("it is still there after a panic")
	}
}

func TestEraseCalls(t *testing.T) {
	called := false
	secretly.Erase(func() { called = true })
	if !called {
		t.Error("it did not call")
	}
}
