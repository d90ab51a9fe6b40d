package integration_test

import (
	"testing"

	"github.com/gormcrypt/gormcrypt/gormcrypttest/conformance"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// Every path through GORM, on both databases.
func TestConformance(t *testing.T) {
	// Alone: while another test registers a plugin, GORM knows the serializer.
	for name, open := range map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, func(t testing.TB) conformance.Database {
				where := open(t)
				return conformance.Database{Name: where.Name, Driver: where.Driver(), DSN: where.DSN, Dialector: where.Dialector}
			})
		})
	}
}
