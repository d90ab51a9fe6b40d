package dbkeys_test

import (
	"errors"
	"os"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring/dbkeys"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(memberVariable); text != "" {
		runMember(text)
	}
	testdb.Main(m)
}

func isBehind(err error) bool { return errors.Is(err, dbkeys.ErrBehind) }
