//go:build unix

package keyring

import "io/fs"

// exposed reports whether anyone but the file's owner may read or write it.
func exposed(info fs.FileInfo) bool { return info.Mode().Perm()&0o077 != 0 }

// changeable reports whether anyone but the owner may write the file or directory.
func changeable(info fs.FileInfo) bool { return info.Mode().Perm()&0o022 != 0 }
