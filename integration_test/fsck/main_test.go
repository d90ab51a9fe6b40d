package fsck_test

import (
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }
