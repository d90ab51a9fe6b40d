package migrations_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// besideType is a type of columns that hold no text, or not enough of it.
type besideType struct {
	name string
	// kinds are the types of the column, by database.
	kinds map[string]string
	// values are SQL.
	values map[string][]string
	// run migrates the table there and back, and reads it in between.
	run func(t *testing.T, c customers, kind string)
}

// thereAndBack migrates the column v of the table things, by the models of the four
// deployments, and compares what each reads.
func thereAndBack[Plain, Reading, Writing, Settled any](t *testing.T, c customers, value func(any) any) {
	t.Helper()
	ctx := t.Context()
	must := func(step string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", step, err)
		}
	}
	read := func(db *gorm.DB, rows any) []any {
		t.Helper()
		if err := db.Session(&gorm.Session{QueryFields: true}).Order("id").Find(rows).Error; err != nil {
			t.Fatalf("%T: %v", rows, err)
		}
		var all []any
		switch rows := rows.(type) {
		case *[]Plain:
			for _, row := range *rows {
				all = append(all, value(row))
			}
		case *[]Reading:
			for _, row := range *rows {
				all = append(all, value(row))
			}
		case *[]Writing:
			for _, row := range *rows {
				all = append(all, value(row))
			}
		case *[]Settled:
			for _, row := range *rows {
				all = append(all, value(row))
			}
		}
		return all
	}
	sameInstant := cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })
	want := read(c.where.Open(t, nil), &[]Plain{})
	if len(want) == 0 {
		t.Fatal("there are no rows")
	}
	same := func(what string, got []any) {
		t.Helper()
		if diff := cmp.Diff(want, got, sameInstant); diff != "" {
			t.Errorf("%s (-want +got)\n%s", what, diff)
		}
	}
	as := func(model any) *migrations.Migration { return column(t, c.open(model), model, "V") }
	must("Expand", as(new(Reading)).Expand(ctx, fast("")))
	same("migrating=read", read(c.open(new(Reading)), &[]Reading{}))
	if _, err := as(new(Writing)).Backfill(ctx, fast(migrations.Writing)); err != nil {
		if errors.Is(err, rotation.ErrQuarantined) {
			jobs, _ := rotation.Jobs(ctx, c.plain)
			left, _ := rotation.Quarantine(ctx, c.plain, jobs[0].ID)
			t.Logf("%+v", left)
		}
		t.Fatal(err)
	}
	same("migrating=write", read(c.open(new(Writing)), &[]Writing{}))
	_, err := as(new(Writing)).Verify(ctx, fast(""))
	must("Verify", err)
	must("Enforce", as(new(Writing)).Enforce(ctx, fast(migrations.Writing)))
	same("migrating=write, cut over", read(c.open(new(Writing)), &[]Writing{}))
	same("settled", read(c.open(new(Settled)), &[]Settled{}))
	must("Finish", as(new(Settled)).Finish(ctx, fast(migrations.Settled)))
	v, err := as(new(Settled)).Verify(ctx, fast(""))
	must("Verify", err)
	if v.Rows != int64(len(want)) {
		t.Errorf("%d rows are verified, of %d", v.Rows, len(want))
	}
	for _, deployed := range []migrations.Deployment{migrations.Writing, migrations.Reading, migrations.WithoutTag} {
		model := any(new(Reading))
		if deployed == migrations.Writing {
			model = new(Writing)
		}
		_, err := as(model).Revert(ctx, fast(deployed))
		if err != nil && !errors.Is(err, migrations.ErrDeployment) {
			t.Fatalf("Revert: %v", err)
		}
	}
	same("reverted", read(c.where.Open(t, nil), &[]Plain{}))
}

type thingTable struct{}

func (thingTable) TableName() string { return "things" }

// Values of every type come through, and back.
func TestBesideOfEveryType(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for _, c := range []besideType{
			{"times", map[string]string{"postgres": "timestamptz", "sqlite": "datetime"}, map[string][]string{
				"postgres": {"NULL", "'2026-03-04 05:06:07.891234+02'", "'1969-12-31 23:59:59+00'", "'0001-01-01 00:00:00+00'", "'9999-12-31 23:59:59.999999+00'"},
				"sqlite":   {"NULL", "'2026-03-04 05:06:07.891234567+02:00'", "'1969-12-31 23:59:59+00:00'", "'2026-01-02'"},
			}, func(t *testing.T, c customers, _ string) {
				type plain struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *time.Time
				}
				type reading struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *time.Time           `gorm:"serializer:encrypted;type:datetime" encrypt:"migrating=read"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type writing struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *time.Time           `gorm:"serializer:encrypted;type:datetime" encrypt:"migrating=write"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type settled struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *time.Time `gorm:"serializer:encrypted;type:text"`
				}
				thereAndBack[plain, reading, writing, settled](t, c, func(row any) any {
					switch row := row.(type) {
					case plain:
						return row.V
					case reading:
						return row.V
					case writing:
						return row.V
					}
					return row.(settled).V
				})
			}},
			{"numbers", map[string]string{"postgres": "double precision", "sqlite": "real"}, map[string][]string{
				"postgres": {"NULL", "0", "-1.5", "0.1", "1e308", "5e-324", "123456789.123456789"},
				"sqlite":   {"NULL", "0", "-1.5", "0.1", "1e308", "5e-324", "123456789.123456789"},
			}, func(t *testing.T, c customers, _ string) {
				type plain struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *float64
				}
				type reading struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *float64             `gorm:"serializer:encrypted" encrypt:"migrating=read"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type writing struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *float64             `gorm:"serializer:encrypted" encrypt:"migrating=write"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type settled struct {
					thingTable `gorm:"-"`
					ID         int64
					V          *float64 `gorm:"serializer:encrypted;type:text"`
				}
				thereAndBack[plain, reading, writing, settled](t, c, func(row any) any {
					switch row := row.(type) {
					case plain:
						return row.V
					case reading:
						return row.V
					case writing:
						return row.V
					}
					return row.(settled).V
				})
			}},
			{"bools", map[string]string{"postgres": "boolean", "sqlite": "numeric"}, map[string][]string{"postgres": {"true", "false"}, "sqlite": {"1", "0"}}, func(t *testing.T, c customers, _ string) {
				type plain struct {
					thingTable `gorm:"-"`
					ID         int64
					V          bool
				}
				type reading struct {
					thingTable `gorm:"-"`
					ID         int64
					V          bool                 `gorm:"serializer:encrypted" encrypt:"migrating=read"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type writing struct {
					thingTable `gorm:"-"`
					ID         int64
					V          bool                 `gorm:"serializer:encrypted" encrypt:"migrating=write"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type settled struct {
					thingTable `gorm:"-"`
					ID         int64
					V          bool `gorm:"serializer:encrypted;type:text"`
				}
				thereAndBack[plain, reading, writing, settled](t, c, func(row any) any {
					switch row := row.(type) {
					case plain:
						return row.V
					case reading:
						return row.V
					case writing:
						return row.V
					}
					return row.(settled).V
				})
			}},
			{"narrow texts", map[string]string{"postgres": "char(12)", "sqlite": "varchar(12)"}, map[string][]string{
				"postgres": {"''", "'a'", "'gc1:1:AAAA'", "'null'"}, "sqlite": {"''", "'a'", "'gc1:1:AAAA'", "'null'"},
			}, func(t *testing.T, c customers, kind string) {
				type plain struct {
					thingTable `gorm:"-"`
					ID         int64
					V          string
				}
				type reading struct {
					thingTable `gorm:"-"`
					ID         int64
					V          string               `gorm:"serializer:encrypted;type:char(12)" encrypt:"migrating=read"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type writing struct {
					thingTable `gorm:"-"`
					ID         int64
					V          string               `gorm:"serializer:encrypted;type:char(12)" encrypt:"migrating=write"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type settled struct {
					thingTable `gorm:"-"`
					ID         int64
					V          string `gorm:"serializer:encrypted;type:text"`
				}
				thereAndBack[plain, reading, writing, settled](t, c, func(row any) any {
					switch row := row.(type) {
					case plain:
						return row.V
					case reading:
						return row.V
					case writing:
						return row.V
					}
					return row.(settled).V
				})
			}},
			{"JSON", map[string]string{"postgres": "jsonb", "sqlite": "text"}, map[string][]string{
				"postgres": {"NULL", `'{"a": ["x", 12345678901234567890], "b": null}'`, "'{}'"}, "sqlite": {"NULL", `'{"a": ["x", 12345678901234567890], "b": null}'`, "'{}'"},
			}, func(t *testing.T, c customers, _ string) {
				type plain struct {
					thingTable `gorm:"-"`
					ID         int64
					V          map[string]any `gorm:"serializer:json"`
				}
				type reading struct {
					thingTable `gorm:"-"`
					ID         int64
					V          map[string]any       `gorm:"serializer:encrypted;type:json" encrypt:"migrating=read"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type writing struct {
					thingTable `gorm:"-"`
					ID         int64
					V          map[string]any       `gorm:"serializer:encrypted;type:json" encrypt:"migrating=write"`
					W          encryptedtype.Beside `encrypt:"of=V"`
				}
				type settled struct {
					thingTable `gorm:"-"`
					ID         int64
					V          map[string]any `gorm:"serializer:encrypted"`
				}
				thereAndBack[plain, reading, writing, settled](t, c, func(row any) any {
					switch row := row.(type) {
					case plain:
						return row.V
					case reading:
						return row.V
					case writing:
						return row.V
					}
					return row.(settled).V
				})
			}},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				own := newCustomers(t, map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[where.Name](t))
				if where.Name == "postgres" {
					own.where.DSN = withParameter(own.where.DSN, "default_query_exec_mode=exec")
				}
				if _, err := own.pool.ExecContext(t.Context(), fmt.Sprintf("CREATE TABLE things (id bigint PRIMARY KEY, v %s)", c.kinds[where.Name])); err != nil {
					t.Fatal(err)
				}
				for i, value := range c.values[where.Name] {
					if _, err := own.pool.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO things VALUES (%d, %s)", i+1, value)); err != nil {
						t.Fatal(err)
					}
				}
				c.run(t, own, c.kinds[where.Name])
			})
		}
	})
}
