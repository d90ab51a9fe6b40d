package keyring

import (
	"bytes"
	"errors"
	"os"
	"strconv"
)

// eraseEnviron overwrites the values of a variable in the block of memory in which
// the kernel handed the environment over, and which /proc/self/environ shows:
// os.Unsetenv leaves it alone. It writes through /proc/self/mem, which fails where
// a write to the address itself would crash, and does nothing if it cannot.
func eraseEnviron(name string) {
	start, end, err := environBlock()
	if err != nil {
		return
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer memory.Close()
	block := make([]byte, end-start)
	defer clear(block)
	if _, err := memory.ReadAt(block, start); err != nil {
		return
	}
	prefix := []byte(name + "=")
	at := start
	for entry := range bytes.SplitSeq(block, []byte{0}) { // a name may occur twice
		if value, ok := bytes.CutPrefix(entry, prefix); ok {
			_, _ = memory.WriteAt(make([]byte, len(value)), at+int64(len(prefix)))
		}
		at += int64(len(entry)) + 1
	}
}

// environBlock returns the addresses between which the initial environment
// stands: env_start and env_end, the fields 50 and 51 of proc(5)'s stat.
func environBlock() (start, end int64, err error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0, err
	}
	// The second field is the program's name in parentheses, and may hold any
	// character.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 49 {
		return 0, 0, errors.New("no env_start in /proc/self/stat")
	}
	if start, err = strconv.ParseInt(string(fields[47]), 10, 64); err != nil {
		return 0, 0, err
	}
	if end, err = strconv.ParseInt(string(fields[48]), 10, 64); err != nil {
		return 0, 0, err
	}
	if start <= 0 || end < start {
		return 0, 0, errors.New("no environment in /proc/self/stat")
	}
	return start, end, nil
}
