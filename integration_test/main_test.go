// Package integration_test runs gormcrypt end to end, on SQLite and
// PostgreSQL.
package integration_test

import (
	"testing"

	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

func TestMain(m *testing.M) {
	// GORM writes to it when it refuses a model, whatever the logger of the
	// *gorm.DB is.
	logger.Default = logger.Discard
	testdb.Main(m)
}
