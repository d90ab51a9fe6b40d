//go:build unix

package main

import (
	"os"
	"syscall"
)

// ownerOf returns the user that a file belongs to, if there is one.
func ownerOf(path string) (uid int, known bool) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	stat, known := info.Sys().(*syscall.Stat_t)
	if !known {
		return 0, false
	}
	return int(stat.Uid), true
}
