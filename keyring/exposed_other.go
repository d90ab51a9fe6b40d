//go:build !unix

package keyring

import "io/fs"

// exposed is always false: the mode that Go reports here says nothing about
// who may read the file.
func exposed(fs.FileInfo) bool { return false }

// changeable is always false, as exposed is.
func changeable(fs.FileInfo) bool { return false }
