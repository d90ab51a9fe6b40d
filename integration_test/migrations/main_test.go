package migrations_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := migrateAsChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testdb.Main(m)
}
