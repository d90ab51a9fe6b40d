// Migrate encrypts a column of a million customers, under an application that reads,
// writes and searches them all the while, and makes it plaintext again: every step and
// every deployment there and back, after which each value is compared with what the
// application wrote last.
//
//	go run ./examples/migrate
//	go run ./examples/migrate -dsn postgres://user@localhost/database
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite" // an SQLite that needs no C compiler

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// The model in each deployment. In a program of yours it is one struct, that is edited
// three times.
type (
	plainCustomer struct {
		ID    int64
		Email string `gorm:"index:migrate_example_by_email"`
	}
	readingCustomer struct {
		ID         int64
		Email      string                   `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	}
	writingCustomer struct {
		ID         int64
		Email      string                   `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	}
	settledCustomer struct {
		ID         int64
		Email      string                   `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	}
)

// The name keeps clear of other tables, when the database is not ours.
const table = "migrate_example_customers"

func (plainCustomer) TableName() string   { return table }
func (readingCustomer) TableName() string { return table }
func (writingCustomer) TableName() string { return table }
func (settledCustomer) TableName() string { return table }

func main() {
	dsn := flag.String("dsn", "", "run on this PostgreSQL database, in a table of its own, instead of an SQLite file")
	rows := flag.Int64("rows", 1_000_000, "number of customers, at least 100")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *dsn, max(*rows, 100)); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

// site is a database, and the programs that use it.
type site struct {
	dialector func() gorm.Dialector
	keys      *keyring.Keyring
	opened    []*gorm.DB
}

// open opens the database as a program with a model does, or, with none, as one that
// does not know of the encryption.
func (s *site) open(model any) (*gorm.DB, error) {
	// QueryFields names the columns of each SELECT. A program without it selects *, and
	// PostgreSQL refuses that once on each connection when Expand has added a column.
	db, err := gorm.Open(s.dialector(), &gorm.Config{Logger: logger.Discard, QueryFields: model == nil})
	if err != nil {
		return nil, err
	}
	s.opened = append(s.opened, db)
	if model == nil {
		return db, nil
	}
	return db, db.Use(gormcrypt.New(gormcrypt.Config{Keys: s.keys, Models: []any{model}}))
}

// deploy returns the program of a deployment, and the migration as that program runs
// its steps.
func (s *site) deploy(to migrations.Deployment) (*program, *migrations.Migration, error) {
	model := map[migrations.Deployment]any{migrations.Reading: &readingCustomer{}, migrations.Writing: &writingCustomer{}, migrations.Settled: &settledCustomer{}}[to]
	db, err := s.open(model)
	if err != nil {
		return nil, nil, err
	}
	var m *migrations.Migration
	if model != nil {
		if m, err = migrations.Column(db, model, "Email"); err != nil {
			return nil, nil, err
		}
	}
	switch to {
	case migrations.Reading:
		return programOf(db, func(id int64, email string) readingCustomer { return readingCustomer{ID: id, Email: email} },
			func(c readingCustomer) (int64, string) { return c.ID, c.Email }), m, nil
	case migrations.Writing:
		return programOf(db, func(id int64, email string) writingCustomer { return writingCustomer{ID: id, Email: email} },
			func(c writingCustomer) (int64, string) { return c.ID, c.Email }), m, nil
	case migrations.Settled:
		return programOf(db, func(id int64, email string) settledCustomer { return settledCustomer{ID: id, Email: email} },
			func(c settledCustomer) (int64, string) { return c.ID, c.Email }), m, nil
	}
	return programOf(db, func(id int64, email string) plainCustomer { return plainCustomer{id, email} },
		func(c plainCustomer) (int64, string) { return c.ID, c.Email }), nil, nil
}

// close ends all programs.
func (s *site) close() error {
	var all []error
	for _, db := range s.opened {
		pool, err := db.DB()
		if err == nil {
			err = pool.Close()
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}

var errInterrupted = errors.New("interrupted")

func run(interruptible context.Context, out io.Writer, dsn string, rows int64) (err error) {
	ctx, fail := context.WithCancelCause(interruptible)
	defer fail(nil)
	keys, err := keyring.Generate() // keep yours: see the README
	if err != nil {
		return err
	}
	s := &site{keys: keys, dialector: func() gorm.Dialector { return postgres.Open(dsn) }}
	if dsn == "" {
		dir, err := os.MkdirTemp("", "gormcrypt-migrate-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		// In SQLite, other writers wait while Expand makes an index, and while Enforce counts.
		// With a million rows that takes seconds, and longer on a busy machine.
		file := "file:" + filepath.Join(dir, "app.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=cache_size(-65536)&_pragma=busy_timeout(60000)&_txlock=immediate"
		s.dialector = func() gorm.Dialector { return sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: file}) }
	}
	defer func() { err = errors.Join(err, s.close()) }()
	plain, err := s.open(nil)
	if err != nil {
		return err
	}
	if dsn != "" {
		remove, err := s.prepare(ctx, plain)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, remove()) }()
	}

	defer func() { // before what it made is removed
		if interruptible.Err() != nil {
			err = errInterrupted
		}
	}()

	began := time.Now()
	if err := fill(plain.WithContext(ctx), rows); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d customers, written in %v. From now on the application reads, writes and searches them\nin four parts, which are deployed one after the other.\n\n", rows, time.Since(began).Round(100*time.Millisecond))
	program, _, err := s.deploy(migrations.WithoutTag)
	if err != nil {
		return err
	}
	app, wait := start(ctx, rows, program, fail)
	defer wait() // before the table is removed
	defer fail(nil)
	w := &way{ctx: ctx, out: out, site: s, app: app, plain: plain}
	err = w.there()
	if err == nil {
		err = w.back()
	}
	if cause := context.Cause(ctx); cause != nil { // a call of the application failed
		err = cause
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe application made %d calls. None failed, and none gave a wrong value.\n", w.calls)
	return nil
}

// fill makes the table, with customers whose addresses are plaintext.
func fill(db *gorm.DB, rows int64) error {
	if err := db.AutoMigrate(&plainCustomer{}); err != nil {
		return err
	}
	return db.Exec("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO "+table+" (id, email) SELECT i, 'customer' || i || '@example.org' FROM n", rows).Error
}

// prepare removes from a PostgreSQL database what a run has left that was killed. What
// it returns removes what this one has made.
func (s *site) prepare(ctx context.Context, plain *gorm.DB) (remove func() error, err error) {
	version, _, err := migrations.Version(ctx, plain)
	if err != nil {
		return nil, err
	}
	remove = func() error {
		ctx := context.WithoutCancel(ctx)
		plain := plain.WithContext(ctx)
		if plain.Migrator().HasTable(table) {
			// Without rows, the way back from anywhere is short.
			if err := plain.Exec("TRUNCATE " + table).Error; err != nil {
				return err
			}
			_, m, err := s.deploy(migrations.Reading)
			if err != nil {
				return err
			}
			for _, deployed := range []migrations.Deployment{migrations.Reading, migrations.WithoutTag} {
				if _, err := m.Revert(ctx, migrations.Config{Deployed: deployed}); err != nil && !errors.Is(err, migrations.ErrDeployment) {
					return err
				}
			}
			if err := plain.Migrator().DropTable(table); err != nil {
				return err
			}
		}
		if version == 0 { // gormcrypt's own tables were not there
			return migrations.Downgrade(ctx, plain, 0)
		}
		return nil
	}
	return remove, remove()
}

// way goes there and back, and tells of it.
type way struct {
	ctx   context.Context
	out   io.Writer
	site  *site
	app   *application
	plain *gorm.DB
	calls int
	// note is what is to be said of a step.
	note string
	// m is the migration in the program that was deployed last.
	m *migrations.Migration
}

// fast is how steps run here: without pauses between batches, so that it is over soon.
// The defaults work for a tenth of the time, and in SQLite for a fiftieth, so that
// applications hardly notice.
func (w *way) fast(deployed migrations.Deployment) migrations.Config {
	return migrations.Config{Deployed: deployed, Limits: rotation.Limits{Duty: 1, Target: 50 * time.Millisecond}, Progress: bar(w.out)}
}

func (w *way) there() error {
	// A program with migrating=read looks at the table, before anything is deployed.
	program, m, err := w.site.deploy(migrations.Reading)
	if err != nil {
		return err
	}
	plan, err := m.Plan(w.ctx, w.fast(""))
	if err != nil {
		return err
	}
	fmt.Fprintf(w.out, "The plan for %s.%s: %d rows are plaintext, %d are ciphertext, %d are NULL.\n", plan.Table, plan.Column, plan.Plaintext, plan.Ciphertext, plan.Nulls)
	for _, step := range plan.Steps {
		fmt.Fprintln(w.out, " ", short(step))
	}
	for _, warning := range plan.Warnings {
		fmt.Fprintln(w.out, "  Warning:", warning)
	}
	if len(plan.Problems) > 0 {
		return fmt.Errorf("the plan has problems: %s", strings.Join(plan.Problems, "; "))
	}
	w.heading("there")
	return w.steps(
		w.step("Expand", func() error { return m.Expand(w.ctx, w.fast("")) }),
		w.rollTo(program, m, migrations.Reading),
		w.roll(migrations.Writing),
		w.step("Backfill", func() error {
			_, err := w.m.Backfill(w.ctx, w.fast(migrations.Writing))
			return err
		}),
		w.step("Verify", func() error {
			_, err := w.m.Verify(w.ctx, w.fast(""))
			return err
		}),
		w.step("Enforce", func() error {
			if err := w.m.Enforce(w.ctx, w.fast(migrations.Writing)); err != nil {
				return err
			}
			return w.refused()
		}),
		w.roll(migrations.Settled),
		w.step("Finish", func() error { return w.m.Finish(w.ctx, w.fast(migrations.Settled)) }),
		w.check(migrations.Settled, "gc1:%"),
	)
}

func (w *way) back() error {
	w.heading("and back")
	revert := func(deployed migrations.Deployment) error {
		_, err := w.m.Revert(w.ctx, w.fast(deployed))
		return err
	}
	return w.steps(
		w.step("Revert", func() error {
			// It lets the database take plaintext, and then asks for a deployment.
			err := revert("")
			if errors.Is(err, migrations.ErrDeployment) {
				return nil
			}
			return fmt.Errorf("the first Revert asks for no deployment: %v", err)
		}),
		w.roll(migrations.Writing),
		w.roll(migrations.Reading),
		w.step("Revert", func() error { return revert(migrations.Reading) }),
		w.roll(migrations.WithoutTag),
		w.step("Revert", func() error { return revert(migrations.WithoutTag) }),
		w.check(migrations.WithoutTag, "customer%"),
	)
}

func (w *way) steps(all ...func() error) error {
	for _, one := range all {
		if err := one(); err != nil {
			return err
		}
		if w.ctx.Err() != nil {
			return context.Cause(w.ctx)
		}
	}
	return nil
}

func (w *way) heading(where string) {
	fmt.Fprintf(w.out, "\n%-26s %8s %7s %8s   %s\n", "The way "+where, "took", "calls", "slowest", "customer 1 in the database")
	w.app.since()
}

// step returns what does something, and tells how it went.
func (w *way) step(name string, do func() error) func() error {
	return func() error {
		began := time.Now()
		if err := do(); err != nil {
			return err
		}
		took := time.Since(began)
		calls, slowest := w.app.since()
		w.calls += calls
		var stored string
		if err := w.plain.Table(table).Select("email").Order("id").Limit(1).Scan(&stored).Error; err != nil {
			return err
		}
		fmt.Fprintf(w.out, "%-26s %6.1f s %7d %5d ms   %.32s\n", name, took.Seconds(), calls, slowest.Milliseconds(), stored)
		if w.note != "" {
			fmt.Fprintln(w.out, " ", short(w.note))
			w.note = ""
		}
		return nil
	}
}

// roll returns what deploys to all parts of the application.
func (w *way) roll(to migrations.Deployment) func() error {
	return func() error {
		program, m, err := w.site.deploy(to)
		if err != nil {
			return err
		}
		if m == nil { // who reverts still has the tag
			m = w.m
		}
		return w.rollTo(program, m, to)()
	}
}

func (w *way) rollTo(program *program, m *migrations.Migration, to migrations.Deployment) func() error {
	return w.step("deploy "+string(to), func() error {
		w.m = m
		return w.app.roll(w.ctx, program)
	})
}

// refused makes sure that SQL of others cannot store plaintext.
func (w *way) refused() error {
	err := w.plain.Exec("UPDATE " + table + " SET email = 'ada@example.org'").Error
	if err == nil {
		return errors.New("the database takes plaintext, although it is enforced")
	}
	w.note = "SET email = 'ada@example.org' in SQL: " + err.Error()
	return nil
}

// check returns what compares every row with what was written.
func (w *way) check(deployed migrations.Deployment, form string) func() error {
	return w.step("every row compared", func() error {
		program, _, err := w.site.deploy(deployed)
		if err != nil {
			return err
		}
		n, err := w.app.check(program)
		if err != nil {
			return err
		}
		var others int64
		if err := w.plain.Table(table).Where("email NOT LIKE ? OR email IS NULL", form).Count(&others).Error; err != nil {
			return err
		}
		if others > 0 {
			return fmt.Errorf("of %d rows, %d do not begin with %s", n, others, form)
		}
		w.note = fmt.Sprintf("All %d customers have what the application wrote last, stored as %s", n, form)
		return nil
	})
}

// short cuts a line.
func short(line string) string {
	if len(line) > 115 {
		return line[:112] + "..."
	}
	return line
}

// bar returns a function that prints progress as a bar, at each quarter of a pass.
func bar(out io.Writer) func(rotation.Progress) {
	pass, next := 0, 0.0
	return func(p rotation.Progress) {
		if p.Pass != pass {
			pass, next = p.Pass, 0
		}
		if p.Share < next || p.Phase == "ended" {
			return
		}
		next = p.Share + 0.25
		done := int(p.Share * 30)
		fmt.Fprintf(out, "  %-9s pass %d  [%s%s] %3.0f %%  %7d rows replaced, %6.0f a second\n", p.Phase, p.Pass, strings.Repeat("#", done), strings.Repeat(".", 30-done), 100*p.Share, p.Swapped, p.Rate)
	}
}
