// Package ciphertext is the format of encrypted values: how they are sealed,
// parsed and opened. It knows keys, tables and columns by name, and neither
// GORM nor SQL.
//
// A [Cipher] seals and opens under a keyring. A [Column], made by
// [Cipher.Column], does so for one column: its keys are derived for that
// column alone, and a value that was moved there from another does not open.
// [Parse] reads what a value says of itself, without a key.
//
// An [Index], made by [Cipher.Index], makes the terms of one blind index: keyed
// hashes that are stored beside encrypted values, so that equal ones are found
// without being opened. [ParseTerm] reads what a term says of itself.
//
// The format is specified in docs/format.md, exactly enough to write a second
// decoder, and testdata/vectors.json holds values to check one with.
package ciphertext
