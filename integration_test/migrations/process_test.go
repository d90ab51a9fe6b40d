package migrations_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// childVariable has the instructions for this program when it is a process that takes
// customers all of the way there, or back, from wherever they are.
const childVariable = "GORMCRYPT_TEST_MIGRATE"

// instructions are what a child is to do.
type instructions struct {
	Where testdb.Database
	Keys  string
	// Name is what PostgreSQL knows its sessions by.
	Name  string
	There bool
	// Beside says that the table is that of employees.
	Beside bool
	// Pause is what it waits between steps.
	Pause time.Duration
}

// config is so slow that a process can be killed within each step.
func (instructions) config(deployed migrations.Deployment) migrations.Config {
	return migrations.Config{
		Deployed: deployed, Workers: 2, ShardRows: 40, Lease: time.Second,
		Limits: rotation.Limits{Duty: 0.5, MaxRows: 10, Rate: 600},
	}
}

func migrateAsChild(text string) error {
	var do instructions
	if err := json.Unmarshal([]byte(text), &do); err != nil {
		return err
	}
	pool, err := sql.Open(do.Where.Driver(), do.Where.DSN)
	if err != nil {
		return err
	}
	for {
		m, err := do.as(pool, do.settled())
		if err != nil {
			return err
		}
		state, err := m.State(context.Background())
		if err != nil {
			return err
		}
		step := do.back
		if do.There {
			step = do.there
		}
		if over, err := step(pool, state); err != nil || over {
			return err
		}
		time.Sleep(do.Pause)
	}
}

// as opens the database as a program with a model, and returns its migration.
func (do instructions) as(pool *sql.DB, model any) (*migrations.Migration, error) {
	keys, err := keyring.File(do.Keys).Load(context.Background())
	if err != nil {
		return nil, err
	}
	db, err := gorm.Open(do.Where.Dialector(pool), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{model}})); err != nil {
		return nil, err
	}
	if do.Beside {
		return migrations.Column(db, model, "Salary")
	}
	return migrations.Column(db, model, "Email")
}

// reading, writing and settled return the models of the deployments.
func (do instructions) reading() any {
	if do.Beside {
		return &readingEmployee{}
	}
	return &readingCustomer{}
}

func (do instructions) writing() any {
	if do.Beside {
		return &writingEmployee{}
	}
	return &writingCustomer{}
}

func (do instructions) settled() any {
	if do.Beside {
		return &settledEmployee{}
	}
	return &settledCustomer{}
}

// there takes the step of a state, in the program that takes it.
func (do instructions) there(pool *sql.DB, state migrations.State) (over bool, err error) {
	ctx := context.Background()
	run := func(model any, step func(m *migrations.Migration) error) error {
		m, err := do.as(pool, model)
		if err == nil {
			err = step(m)
		}
		return err
	}
	switch state {
	case migrations.None, migrations.Expanding:
		err = run(do.reading(), func(m *migrations.Migration) error { return m.Expand(ctx, do.config(migrations.WithoutTag)) })
	case migrations.Expanded, migrations.Backfilling, migrations.Reverting, migrations.Reverted:
		err = run(do.writing(), func(m *migrations.Migration) error {
			_, err := m.Backfill(ctx, do.config(migrations.Writing))
			return err
		})
	case migrations.Backfilled:
		err = run(do.writing(), func(m *migrations.Migration) error { _, err := m.Verify(ctx, do.config("")); return err })
	case migrations.Verified, migrations.Enforcing:
		err = run(do.writing(), func(m *migrations.Migration) error { return m.Enforce(ctx, do.config(migrations.Writing)) })
	case migrations.Enforced, migrations.Finished:
		err = run(do.settled(), func(m *migrations.Migration) error { return m.Finish(ctx, do.config(migrations.Settled)) })
	default:
		err = fmt.Errorf("there is no state %q", state)
	}
	return state == migrations.Finished, err
}

// back takes a step back.
func (do instructions) back(pool *sql.DB, state migrations.State) (over bool, err error) {
	deployed := migrations.Reading
	switch state {
	case migrations.None:
		return true, nil
	case migrations.Expanding, migrations.Expanded, migrations.Reverted:
		deployed = migrations.WithoutTag
	}
	m, err := do.as(pool, do.reading())
	if err != nil {
		return false, err
	}
	_, err = m.Revert(context.Background(), do.config(deployed))
	if errors.Is(err, migrations.ErrDeployment) && strings.Contains(err.Error(), "migrations.Writing") { // the column is cut over
		if m, err = do.as(pool, do.writing()); err == nil {
			_, err = m.Revert(context.Background(), do.config(migrations.Writing))
		}
		if errors.Is(err, migrations.ErrDeployment) && strings.Contains(err.Error(), "migrations.Reading") {
			err = nil
		}
	}
	return false, err
}

// child is a process that migrates.
type child struct {
	*exec.Cmd
	out  bytes.Buffer
	done chan error
}

// start starts a child.
func (do instructions) start(t testing.TB) *child {
	t.Helper()
	text, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: exec.Command(os.Args[0]), done: make(chan error, 1)}
	c.Env = append(os.Environ(), childVariable+"="+string(text), "PGAPPNAME="+do.Name)
	c.Stdout, c.Stderr = &c.out, &c.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	go func() { c.done <- c.Wait() }()
	return c
}

// keysFile writes a keyring for children.
func keysFile(t testing.TB, keys *keyring.Keyring) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := keyring.WriteFile(path, keys); err != nil {
		t.Fatal(err)
	}
	return path
}
