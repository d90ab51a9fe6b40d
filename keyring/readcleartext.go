package keyring

import (
	"fmt"
	"io"
)

// ReadCleartext reads the JSON document that [WriteCleartext] writes, for
// sources that keep it elsewhere than in a file: in a key server, say. It returns
// ErrInvalid when the document is malformed or larger than 1 MiB, ErrWrongKey when
// a key does not match its check value, and the errors of the reader. None of its
// own errors holds a part of what was read.
func ReadCleartext(r io.Reader) (*Keyring, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFileSize+1))
	defer clear(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the keyring: %w", err)
	case len(text) > maxFileSize:
		return nil, fmt.Errorf("%w: the document is larger than %d bytes", ErrInvalid, maxFileSize)
	}
	return parseDocument(text)
}
