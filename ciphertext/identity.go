package ciphertext

import (
	"bytes"
	"fmt"
)

// fewBytes are enough of a value for its identity, unless it holds long names.
const fewBytes = 256

// tagSize is the length of what all algorithms put into a value beside the nonce.
const tagSize = 16

// AppendIdentity appends to dst what a value has for itself alone among all that are
// sealed: the logical names of the column that it opens in, key version, algorithm and
// nonce. It is the same in text and in binary. Two values of one identity are copies of
// one, or were sealed under one key with a nonce that was used twice. Nothing is
// appended for a deterministic value, which has no nonce. Nothing of it is secret.
//
// It returns an error that wraps ErrMalformed for what does not open anyway.
func AppendIdentity[S string | []byte](dst []byte, column *Column, stored S) ([]byte, error) {
	var head, scratch [fewBytes]byte
	n := copy(head[:], stored)
	appended, ok := column.appendIdentity(dst, head[:n], scratch[:])
	if !ok && n < len(stored) {
		whole := []byte(stored)
		appended, ok = column.appendIdentity(dst, whole, make([]byte, len(whole)))
	}
	if !ok {
		return dst, fmt.Errorf("%w: it has no nonce", ErrMalformed)
	}
	return appended, nil
}

// appendIdentity is given the beginning of a value. It reports whether that is enough.
func (c *Column) appendIdentity(dst, stored, scratch []byte) ([]byte, bool) {
	if !bytes.HasPrefix(stored, []byte(magic)) {
		return dst, false
	}
	end := bytes.IndexByte(stored[len(magic):min(len(stored), maxPrefix)], ':')
	if end < 0 {
		return dst, false
	}
	prefix, body := stored[:len(magic)+end+1], stored[len(magic)+end+1:]
	if len(body) == 0 {
		return dst, false
	}
	if first := body[0]; first >= 0x20 && first < 0x7f {
		n, err := strict.Decode(scratch, body[:len(body)&^3]) // without odd bits at the end
		if err != nil {
			return dst, false
		}
		body = scratch[:n]
	}
	if len(body) == 0 {
		return dst, false
	}
	algorithm := Algorithm(body[0] &^ namedFlag)
	if !algorithm.known() {
		return dst, false
	}
	table, column, rest := c.Table, c.Column, body[1:]
	if body[0]&namedFlag != 0 {
		var ok bool
		if table, rest, ok = cutName(rest); ok {
			column, rest, ok = cutName(rest)
		}
		if !ok {
			return dst, false
		}
	}
	size := algorithms[algorithm].overhead - tagSize
	if size == 0 {
		return dst, true
	}
	if len(rest) < size {
		return dst, false
	}
	dst = append(appendName(appendName(dst, table), column), prefix...)
	dst = append(dst, byte(algorithm))
	return append(dst, rest[:size]...), true
}
