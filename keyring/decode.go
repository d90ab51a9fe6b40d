package keyring

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// otherFormats says what a document is, and what reads it, to those who gave it to
// another function.
var otherFormats = map[string]string{
	documentFormat: "it holds its keys unencrypted: read it with FromFile or FromEnv",
	wrappedFormat:  "its keys are wrapped: read it with WrappedFile or FromPassphrase",
}

// decodeDocument reads the text of a document strictly: one JSON value with no
// field that is not known. The texts of encoding/json's own errors quote what they
// have read, so they are replaced.
func decodeDocument(text []byte, format string, doc any) error {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		if bytes.HasPrefix(text, []byte(mark)) {
			return fmt.Errorf("%w: it starts with a byte order mark; save it as UTF-8 without one", ErrInvalid)
		}
	}
	if !bytes.Contains(text, []byte("{")) {
		return fmt.Errorf("%w: not a JSON document, which starts with {; a path to one is not read here", ErrInvalid)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(doc); err != nil {
		var other struct{ Format string }
		_ = json.Unmarshal(text, &other)
		if hint := otherFormats[other.Format]; hint != "" && other.Format != format {
			return fmt.Errorf("%w: %s", ErrInvalid, hint)
		}
		return describeJSON(err, format, decoder.InputOffset())
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more after the end of the JSON document, at byte %d", ErrInvalid, decoder.InputOffset())
	}
	return nil
}

func describeJSON(err error, format string, offset int64) error {
	var typeError *json.UnmarshalTypeError
	switch {
	case errors.Is(err, errVersion):
		return fmt.Errorf("%w: before byte %d: %w", ErrInvalid, offset, errVersion)
	case errors.As(err, &typeError):
		return fmt.Errorf("%w: wrong JSON type before byte %d", ErrInvalid, typeError.Offset)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: the JSON document is empty or cut off; restore it from a copy", ErrInvalid)
	}
	return fmt.Errorf("%w: not a JSON keyring document (format %q), up to byte %d: malformed, or with a field that it has not, or a state other than primary, enabled and retired",
		ErrInvalid, format, offset)
}
