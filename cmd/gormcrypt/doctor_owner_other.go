//go:build !unix

package main

// ownerOf knows of no users.
func ownerOf(string) (uid int, known bool) { return 0, false }
