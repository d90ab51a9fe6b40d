package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// The deployments of employees, of which Salary is migrated: a number, which is NOT
// NULL until then.
type (
	plainEmployee struct {
		ID     int64
		Salary int64 `gorm:"not null;index:by_salary"`
		Name   string
	}
	readingEmployee struct {
		ID           int64
		Salary       int64                    `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		SalarySealed encryptedtype.Beside     `encrypt:"of=Salary"`
		SalaryIndex  encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Salary"`
		Name         string
	}
	writingEmployee struct {
		ID           int64
		Salary       int64                    `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		SalarySealed encryptedtype.Beside     `encrypt:"of=Salary"`
		SalaryIndex  encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Salary"`
		Name         string
	}
	settledEmployee struct {
		ID          int64
		Salary      int64                    `gorm:"serializer:encrypted;type:text"`
		SalaryIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Salary"`
		Name        string
	}
)

func (plainEmployee) TableName() string   { return "employees" }
func (readingEmployee) TableName() string { return "employees" }
func (writingEmployee) TableName() string { return "employees" }
func (settledEmployee) TableName() string { return "employees" }

// employees are customers of another table, whose addresses are numbers.
type employees struct{ customers }

func newEmployees(t testing.TB, where testdb.Database) employees {
	t.Helper()
	if where.Name == "postgres" {
		// The type of a column changes, which prepared statements do not survive.
		where.DSN = withParameter(where.DSN, "default_query_exec_mode=exec")
	}
	c := newCustomers(t, where)
	if err := c.plain.AutoMigrate(&plainEmployee{}); err != nil {
		t.Fatal(err)
	}
	return employees{c}
}

func withParameter(dsn, parameter string) string {
	switch {
	case !strings.Contains(dsn, "://"):
		return dsn + " " + parameter
	case strings.Contains(dsn, "?"):
		return dsn + "&" + parameter
	}
	return dsn + "?" + parameter
}

func (e employees) as(model any) *migrations.Migration {
	e.Helper()
	return column(e, e.open(model), model, "Salary")
}

func number(text *string) int64 {
	n, err := strconv.ParseInt(*text, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func numeral(n int64) *string {
	text := strconv.FormatInt(n, 10)
	return &text
}

func (e employees) fill(rows int) map[int64]*string {
	e.Helper()
	special := []int64{0, 1, -1, math.MaxInt64, math.MinInt64}
	want := map[int64]*string{}
	var all []plainEmployee
	for i := range rows {
		n := int64(1000 + i)
		if i < len(special) {
			n = special[i]
		}
		all = append(all, plainEmployee{int64(i + 1), n, "n"})
		want[int64(i+1)] = numeral(n)
	}
	if err := e.plain.CreateInBatches(&all, 200).Error; err != nil {
		e.Fatal(err)
	}
	return want
}

func (e employees) program(deployment migrations.Deployment) *program {
	e.Helper()
	value := func(text *string) any { return number(text) }
	switch deployment {
	case migrations.Reading:
		return programOf(e.open(&readingEmployee{}), "salary", value,
			func(c customer) readingEmployee {
				return readingEmployee{ID: c.ID, Salary: number(c.Email), Name: c.Name}
			},
			func(p readingEmployee) customer { return customer{ID: p.ID, Email: numeral(p.Salary), Name: p.Name} })
	case migrations.Writing:
		return programOf(e.open(&writingEmployee{}), "salary", value,
			func(c customer) writingEmployee {
				return writingEmployee{ID: c.ID, Salary: number(c.Email), Name: c.Name}
			},
			func(p writingEmployee) customer { return customer{ID: p.ID, Email: numeral(p.Salary), Name: p.Name} })
	case migrations.Settled:
		return programOf(e.open(&settledEmployee{}), "salary", value,
			func(c customer) settledEmployee {
				return settledEmployee{ID: c.ID, Salary: number(c.Email), Name: c.Name}
			},
			func(p settledEmployee) customer { return customer{ID: p.ID, Email: numeral(p.Salary), Name: p.Name} })
	}
	return programOf(e.where.Open(e, &gorm.Config{QueryFields: true}), "salary", value,
		func(c customer) plainEmployee { return plainEmployee{c.ID, number(c.Email), c.Name} },
		func(p plainEmployee) customer { return customer{ID: p.ID, Email: numeral(p.Salary), Name: p.Name} })
}

// besideWay is the way there, each step with the program that runs it and the
// deployment that comes after it.
func (e employees) besideWay() []struct {
	name  string
	run   func(context.Context) error
	after migrations.Deployment
} {
	return []struct {
		name  string
		run   func(context.Context) error
		after migrations.Deployment
	}{
		{"Expand", func(ctx context.Context) error { return e.as(&readingEmployee{}).Expand(ctx, fast("")) }, migrations.Reading},
		{"", func(context.Context) error { return nil }, migrations.Writing},
		{"Backfill", func(ctx context.Context) error {
			_, err := e.as(&writingEmployee{}).Backfill(ctx, fast(migrations.Writing))
			return err
		}, ""},
		{"Verify", func(ctx context.Context) error {
			_, err := e.as(&writingEmployee{}).Verify(ctx, fast(""))
			return err
		}, ""},
		{"Enforce", func(ctx context.Context) error {
			return e.as(&writingEmployee{}).Enforce(ctx, fast(migrations.Writing))
		}, ""},
		{"deploy", func(context.Context) error { return nil }, migrations.Settled},
		{"Finish", func(ctx context.Context) error {
			return e.as(&settledEmployee{}).Finish(ctx, fast(migrations.Settled))
		}, ""},
	}
}

// revert calls Revert until it ends, and deploys what it asks for.
func (e employees) revert(deployed migrations.Deployment, deploy func(migrations.Deployment)) {
	e.Helper()
	models := map[migrations.Deployment]any{"": &settledEmployee{}, migrations.Settled: &settledEmployee{}, migrations.Writing: &writingEmployee{}, migrations.Reading: &readingEmployee{}, migrations.WithoutTag: &readingEmployee{}}
	for range 6 {
		_, err := e.as(models[deployed]).Revert(context.Background(), fast(deployed))
		next := migrations.Deployment("")
		switch {
		case err == nil:
			state, err := e.as(models[deployed]).State(context.Background())
			if err != nil {
				e.Fatal(err)
			}
			if state == migrations.None {
				return
			}
			next = migrations.WithoutTag
		case !errors.Is(err, migrations.ErrDeployment):
			e.Fatal(err)
		case strings.Contains(err.Error(), "migrations.Writing"):
			next = migrations.Writing
		case strings.Contains(err.Error(), "migrations.Reading"):
			if deployed == migrations.Settled {
				deploy(migrations.Writing)
			}
			next = migrations.Reading
		case strings.Contains(err.Error(), "migrations.WithoutTag"):
			next = migrations.WithoutTag
		default:
			e.Fatal(err)
		}
		if deployed == migrations.Writing && next == migrations.WithoutTag {
			deploy(migrations.Reading)
		}
		deploy(next)
		deployed = next
	}
	e.Fatal("it does not end")
}

// A column of numbers goes the whole way, and back from each step, under an
// application that reads and writes all the while.
func TestBesideUnderAnApplication(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for _, last := range []int{1, 2, 4, 6} {
			t.Run(fmt.Sprint(last), func(t *testing.T) {
				t.Parallel()
				e := newEmployees(t, map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[where.Name](t))
				a := e.startWith(e.program, func(random *rand.Rand, id int64) *string { return numeral(id*1e9 + random.Int64N(1e9)) }, e.fill(100))
				deployed := migrations.WithoutTag
				for _, step := range e.besideWay()[:last+1] {
					if err := step.run(t.Context()); err != nil {
						t.Fatalf("%s: %v", step.name, err)
					}
					if step.after != "" {
						deployed = step.after
						a.roll(deployed)
					}
				}
				if last >= 2 {
					if n := e.count("SELECT count(*) FROM employees WHERE salary_index IS NULL"); n > 0 {
						t.Errorf("%d rows have no term", n)
					}
				}
				if last == 6 {
					e.requireSealed()
				}
				e.revert(deployed, func(to migrations.Deployment) { a.roll(to) })
				time.Sleep(*applicationTime)
				want := a.stop()
				var all []plainEmployee
				if err := e.plain.Session(&gorm.Session{QueryFields: true}).Find(&all).Error; err != nil {
					t.Fatal(err)
				}
				if len(all) != len(want) {
					t.Errorf("there are %d rows, want %d", len(all), len(want))
				}
				for _, row := range all {
					if want[row.ID] == nil || row.Salary != number(want[row.ID]) {
						t.Errorf("row %d has %d", row.ID, row.Salary)
					}
				}
				for _, column := range []string{"salary_sealed", "salary_index"} {
					if _, err := e.pool.ExecContext(t.Context(), "SELECT "+column+" FROM employees"); err == nil {
						t.Errorf("the column %s is left", column)
					}
				}
				if !e.hasIndex("by_salary") {
					t.Error("the index of the numbers is gone")
				}
				if _, err := e.pool.ExecContext(t.Context(), "INSERT INTO employees (id, salary, name) VALUES (1000000, NULL, 'n')"); err == nil {
					t.Error("it admits NULL")
				}
			})
		}
	})
}

// requireSealed checks that the column holds ciphertext, takes nothing else, and has
// nothing beside it.
func (e employees) requireSealed() {
	e.Helper()
	if n := e.count("SELECT count(*) FROM employees WHERE salary IS NULL OR substr(salary, 1, 6) <> 'gc1:1:'"); n > 0 {
		e.Errorf("%d rows are not sealed", n)
	}
	for _, statement := range []string{"UPDATE employees SET salary = '5'", "SELECT salary_sealed FROM employees"} {
		if _, err := e.pool.ExecContext(context.Background(), statement); err == nil {
			e.Errorf("%s: it works", statement)
		}
	}
}
