package rotation_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// childVariable has the instructions for this program when it is a process that
// only rotates: without any model, by the manifest and the keyring in two files.
const childVariable = "GORMCRYPT_TEST_ROTATE"

// instructions are what a child is to do.
type instructions struct {
	Where    testdb.Database
	Manifest string
	Keys     string
	Set      keyring.Set
	Workers  int
	Rows     int
	Rate     float64
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := rotateAsChild(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	testdb.Main(m)
}

func rotateAsChild(text string) error {
	var do instructions
	if err := json.Unmarshal([]byte(text), &do); err != nil {
		return err
	}
	file, err := os.Open(do.Manifest)
	if err != nil {
		return err
	}
	m, err := manifest.Read(file)
	if err != nil {
		return err
	}
	pool, err := sql.Open(do.Where.Driver(), do.Where.DSN)
	if err != nil {
		return err
	}
	db, err := gorm.Open(do.Where.Dialector(pool), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	job, err := rotation.New(db, rotation.Config{
		Set: do.Set, Manifest: &m, Keys: keyring.File(do.Keys), Workers: do.Workers, ShardRows: 100, Lease: time.Second,
		Limits: rotation.Limits{Duty: 1, MaxRows: do.Rows, Rate: do.Rate},
	})
	if err != nil {
		return err
	}
	report, err := job.Run(context.Background())
	if err == nil && report.State != rotation.Finished {
		err = fmt.Errorf("the job is %s", report.State)
	}
	return err
}

// processes starts children.
type processes struct {
	t testing.TB
	instructions
}

// newProcesses writes the manifest of a database, and a keyring, for children.
func newProcesses(t testing.TB, where testdb.Database, db *gorm.DB, keys *keyring.Keyring, do instructions) processes {
	t.Helper()
	dir := t.TempDir()
	do.Where, do.Manifest, do.Keys = where, filepath.Join(dir, "manifest.json"), filepath.Join(dir, "keys.json")
	m, err := gormcrypt.Manifest(db)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := m.Write(&text); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(do.Manifest, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keyring.WriteFile(do.Keys, keys); err != nil {
		t.Fatal(err)
	}
	return processes{t, do}
}

// child is a process that rotates.
type child struct {
	*exec.Cmd
	out  bytes.Buffer
	done chan error
}

func (p processes) start() *child {
	p.t.Helper()
	text, err := json.Marshal(p.instructions)
	if err != nil {
		p.t.Fatal(err)
	}
	c := &child{Cmd: exec.Command(os.Args[0]), done: make(chan error, 1)}
	c.Env = append(os.Environ(), childVariable+"="+string(text))
	c.Stdout, c.Stderr = &c.out, &c.out
	if err := c.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Process.Kill() })
	go func() { c.done <- c.Wait() }()
	return c
}
