//go:build linux

// Package memory_test looks for keys where they must not be: in what a program
// prints, logs, encodes and dumps, and in its memory once it has let go of them. The
// programs are processes of their own, and so is the search: what looks for a key
// has it in memory itself.
package memory_test

import (
	"os"
	"testing"

	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

// roleVariable tells the test binary to be one of the programs.
const roleVariable = "GORMCRYPT_TEST_PROGRAM"

func TestMain(m *testing.M) {
	logger.Default = logger.Discard
	if program, ok := programs[os.Getenv(roleVariable)]; ok {
		program()
		os.Exit(0)
	}
	testdb.Main(m)
}
