// Rotation is an application that writes to its customers without a pause, while
// its data key is replaced: a process that seals everything anew is killed half-way,
// another one goes on where it was, the old key is retired, and every value is
// compared with what the application wrote last.
//
//	go run ./examples/rotation
//	go run ./examples/rotation -dsn postgres://user@localhost/database
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // an SQLite that needs no C compiler

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Customer has two encrypted columns, and an index on one.
type Customer struct {
	ID         int64
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	APIKey     encryptedtype.EncryptedString
}

// TableName keeps clear of other tables, when the database is not ours.
func (Customer) TableName() string { return "gormcrypt_rotation_customers" }

func main() {
	dsn := flag.String("dsn", "", "run on this PostgreSQL database, in a table of its own, instead of an SQLite file")
	rows := flag.Int("rows", 20_000, "number of customers")
	rotates := flag.String("rotate", "", "only rotate, with the files in this directory: what the process that is killed does")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *rotates != "" {
		err = rotate(ctx, *rotates, *dsn, nil)
	} else {
		err = run(ctx, os.Stdout, *dsn, *rows)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rotation:", err)
		os.Exit(1)
	}
}

// open opens the database of a directory, with the keyring in it.
func open(dir, dsn string) (*gorm.DB, *gormcrypt.Plugin, error) {
	dialector := sqlite.New(sqlite.Config{
		DriverName: "sqlite", DSN: "file:" + filepath.Join(dir, "app.db") + "?_pragma=journal_mode(WAL)&_pragma=busy_timeout(10000)&_txlock=immediate",
	})
	if dsn != "" {
		dialector = postgres.Open(dsn)
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, nil, err
	}
	keys, err := keyring.FromFile(filepath.Join(dir, "keys.json"))
	if err != nil {
		return nil, nil, err
	}
	crypt := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&Customer{}}})
	return db, crypt, db.Use(crypt)
}

// rotate seals everything anew. A process of an operator does no more than this.
func rotate(ctx context.Context, dir, dsn string, progress func(rotation.Progress)) error {
	db, _, err := open(dir, dsn)
	if err != nil {
		return err
	}
	job, err := rotation.New(db, rotation.Config{Lease: 2 * time.Second, ShardRows: 2000, Progress: progress, Limits: rotation.Limits{Rate: 5000, Duty: 1}})
	if err != nil {
		return err
	}
	_, err = job.Run(ctx)
	return err
}

func run(ctx context.Context, out io.Writer, dsn string, rows int) (err error) {
	dir, err := os.MkdirTemp("", "gormcrypt-rotation-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	file := filepath.Join(dir, "keys.json")
	keys, err := keyring.Generate()
	if err != nil {
		return err
	}
	if err := keyring.WriteFile(file, keys); err != nil {
		return err
	}
	db, crypt, err := open(dir, dsn)
	if err != nil {
		return err
	}
	if err := errors.Join(db.Migrator().DropTable(&Customer{}), db.AutoMigrate(&Customer{})); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Migrator().DropTable(&Customer{})) }()
	app := &application{db: db, written: make([]string, rows+1)}
	if err := app.fill(rows); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d customers. The application writes to them all the while.\n\n", rows)
	stop := app.start(ctx)
	defer stop()

	show := func(what string) error {
		census, err := rotation.Census(ctx, db, rotation.CensusConfig{})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s\n", what)
		for _, column := range census.Columns {
			fmt.Fprintf(out, "  %-12s", column.Column)
			for _, version := range column.Versions {
				fmt.Fprintf(out, "  version %s: %d", version.Version, version.Rows)
			}
			fmt.Fprintln(out)
		}
		return nil
	}
	// A new version, first for opening, then for sealing.
	added, version, err := keys.Add(keyring.DataKeys)
	if err != nil {
		return err
	}
	promoted, err := added.Promote(version)
	if err != nil {
		return err
	}
	for _, next := range []*keyring.Keyring{added, promoted} {
		if err := errors.Join(keyring.WriteFile(file, next), crypt.SetKeys(ctx, next)); err != nil {
			return err
		}
	}
	if err := show("Data key version " + version.String() + " seals what the application writes from now on:"); err != nil {
		return err
	}

	// A process rotates, and is killed.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	process := exec.CommandContext(ctx, self, "-rotate", dir, "-dsn", dsn)
	process.Stderr = os.Stderr
	if err := process.Start(); err != nil {
		return err
	}
	time.Sleep(1500 * time.Millisecond)
	if err := process.Process.Kill(); err != nil {
		return err
	}
	_ = process.Wait() // which says that it was killed
	if err := show("\nA process that sealed the rest anew was killed:"); err != nil {
		return err
	}

	// Another one goes on.
	fmt.Fprintln(out, "\nThis one goes on:")
	if err := rotate(ctx, dir, dsn, bar(out)); err != nil {
		return err
	}
	if err := show("\nNothing is left under the old version:"); err != nil {
		return err
	}

	// The old key goes.
	retirement, err := rotation.Retire(ctx, db, rotation.RetireConfig{}, keyring.MakeVersion(keyring.DataKeys, 1))
	if err != nil {
		return err
	}
	if err := errors.Join(keyring.WriteFile(file, retirement.Keys), crypt.SetKeys(ctx, retirement.Keys)); err != nil {
		return err
	}
	writes, err := stop()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nVersion 1 is retired. The application has written %d times meanwhile.\n", writes)
	if err := app.check(); err != nil {
		return err
	}
	fmt.Fprintf(out, "All %d customers have what the application wrote last.\n", rows)
	return nil
}

// bar returns a function that prints progress as a bar.
func bar(out io.Writer) func(rotation.Progress) {
	return func(p rotation.Progress) {
		done := int(p.Share * 30)
		fmt.Fprintf(out, "  %-9s pass %d  [%s%s] %3.0f %%  %6d rows sealed anew\n", p.Phase, p.Pass, strings.Repeat("#", done), strings.Repeat(".", 30-done), 100*p.Share, p.Swapped)
	}
}

// application writes to customers, and knows what it wrote.
type application struct {
	db      *gorm.DB
	mu      sync.Mutex
	written []string // by number of the customer
}

func (a *application) fill(rows int) error {
	var all []Customer
	for i := 1; i <= rows; i++ {
		a.written[i] = fmt.Sprintf("customer%d@example.org", i)
		all = append(all, Customer{ID: int64(i), Email: a.written[i], APIKey: encryptedtype.NewEncryptedString("sk_" + a.written[i])})
	}
	return a.db.CreateInBatches(all, 500).Error
}

// start begins to write. What it returns stops that, and returns how often it has
// written.
func (a *application) start(ctx context.Context) (stop func() (int64, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var writes atomic.Int64
	done := make(chan error, 1)
	go func() {
		var failed error
		for i := 0; ctx.Err() == nil && failed == nil; i++ {
			id := 1 + rand.IntN(len(a.written)-1)
			email := fmt.Sprintf("customer%d-%d@example.org", id, i)
			failed = a.db.Model(&Customer{ID: int64(id)}).Updates(map[string]any{"email": email, "api_key": encryptedtype.NewEncryptedString("sk_" + email)}).Error
			if failed == nil {
				a.mu.Lock()
				a.written[id] = email
				a.mu.Unlock()
				writes.Add(1)
			}
			time.Sleep(2 * time.Millisecond)
		}
		done <- failed
	}()
	return sync.OnceValues(func() (int64, error) {
		cancel()
		return writes.Load(), <-done
	})
}

// check compares every customer with what was written, and finds each by its index.
func (a *application) check() error {
	var rows []Customer
	if err := a.db.Order("id").Find(&rows).Error; err != nil {
		return err
	}
	if len(rows) != len(a.written)-1 {
		return fmt.Errorf("there are %d customers, want %d", len(rows), len(a.written)-1)
	}
	for i, row := range rows {
		if want := a.written[i+1]; row.Email != want || row.APIKey.Reveal() != "sk_"+want {
			return fmt.Errorf("customer %d does not have what was written", row.ID)
		}
		var found Customer
		if err := a.db.Where("email = ?", row.Email).Take(&found).Error; err != nil || found.ID != row.ID {
			return fmt.Errorf("customer %d was not found by its address: %v", row.ID, err)
		}
	}
	return nil
}
