// Package integration_test runs gormcrypt end to end, on SQLite and
// PostgreSQL.
package integration_test

import (
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }
