package keyring_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gormcrypt/gormcrypt/keyring"
)

func TestReadCleartextReadsWhatWriteCleartextWrote(t *testing.T) {
	t.Parallel()
	ring, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	var document bytes.Buffer
	if err := keyring.WriteCleartext(&document, ring); err != nil {
		t.Fatal(err)
	}
	read, err := keyring.ReadCleartext(iotest.OneByteReader(bytes.NewReader(document.Bytes())))
	if err != nil || !slices.Equal(read.Versions(), ring.Versions()) {
		t.Fatalf("read %v, %v", read, err)
	}
	large := strings.Repeat(" ", 1<<20) + document.String()
	if ring, err := keyring.ReadCleartext(strings.NewReader(large)); ring != nil || !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("of more than 1 MiB it read %v, %v", ring, err)
	}
	broken := errors.New("broken")
	if ring, err := keyring.ReadCleartext(iotest.ErrReader(broken)); ring != nil || !errors.Is(err, broken) {
		t.Errorf("of a broken reader it read %v, %v", ring, err)
	}
	if ring, err := keyring.ReadCleartext(strings.NewReader("no keyring")); ring != nil || !errors.Is(err, keyring.ErrInvalid) {
		t.Errorf("of other text it read %v, %v", ring, err)
	}
}
