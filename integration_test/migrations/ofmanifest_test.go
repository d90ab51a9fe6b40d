package migrations_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// deployments are those of a migration, in order.
var deployments = []migrations.Deployment{migrations.WithoutTag, migrations.Reading, migrations.Writing, migrations.Settled}

// written returns the manifest of a program with a model, as it is read from a file.
func (c customers) written(model any) manifest.Manifest {
	c.Helper()
	m, err := gormcrypt.Manifest(c.open(model))
	if err != nil {
		c.Fatal(err)
	}
	var file bytes.Buffer
	if err := m.Write(&file); err != nil {
		c.Fatal(err)
	}
	if m, err = manifest.Read(&file); err != nil {
		c.Fatal(err)
	}
	return m
}

// ofManifest returns the migration as one has it without the model.
func (c customers) ofManifest(m manifest.Manifest, table, name string) *migrations.Migration {
	c.Helper()
	migration, err := migrations.OfManifest(c.where.Open(c, nil), migrations.Source{Manifest: m, Keys: c.keys}, table, name)
	if err != nil {
		c.Fatal(err)
	}
	return migration
}

// operator runs the steps of a migration by the manifests that the deployments have
// written. Of the models he knows nothing, nor of the order of the steps.
type operator struct {
	*application
	table, column string
	manifests     map[migrations.Deployment]manifest.Manifest
	deployed      migrations.Deployment
}

func (o *operator) migration() *migrations.Migration {
	o.Helper()
	return o.ofManifest(o.manifests[o.deployed], o.table, o.column)
}

// deploy rolls through all deployments to another one.
func (o *operator) deploy(to migrations.Deployment) {
	o.Helper()
	for o.deployed != to {
		at, goal := slices.Index(deployments, o.deployed), slices.Index(deployments, to)
		o.deployed = deployments[at+max(-1, min(1, goal-at))]
		o.roll(o.deployed)
	}
}

// run runs a step by its name.
func (o *operator) run(step string, config migrations.Config) error {
	m, ctx := o.migration(), context.Background()
	switch step {
	case "Expand":
		return m.Expand(ctx, config)
	case "Backfill":
		_, err := m.Backfill(ctx, config)
		return err
	case "Verify":
		_, err := m.Verify(ctx, config)
		return err
	case "Enforce":
		return m.Enforce(ctx, config)
	case "Finish":
		return m.Finish(ctx, config)
	case "Revert":
		_, err := m.Revert(ctx, config)
		return err
	}
	return errors.New("there is no step " + step)
}

func (o *operator) state() migrations.State {
	o.Helper()
	state, err := o.migration().State(context.Background())
	if err != nil {
		o.Fatal(err)
	}
	return state
}

// there does what State.Next says, until it says nothing.
func (o *operator) there() {
	o.Helper()
	for range 10 {
		deploy, step := o.state().Next()
		if step == "" {
			return
		}
		for _, next := range deploy {
			o.deploy(next)
		}
		if err := o.run(step, fast(o.deployed)); err != nil {
			o.Fatalf("%s: %v", step, err)
		}
	}
	o.Fatal("it does not end")
}

// back calls Revert, and deploys what its errors and State.Next say.
func (o *operator) back() {
	o.Helper()
	confirmed := migrations.Deployment("")
	for range 10 {
		var asks *migrations.DeploymentError
		switch err := o.run("Revert", fast(confirmed)); {
		case errors.As(err, &asks):
			o.deploy(asks.Admitted[0])
		case err != nil:
			o.Fatalf("Revert: %v", err)
		}
		state := o.state()
		if state == migrations.None {
			return
		}
		deploy, step := state.Next()
		if asks == nil {
			for _, next := range deploy {
				o.deploy(next)
			}
		}
		if step != "Revert" && asks == nil {
			o.Fatalf("it is %s, and next is %s", state, step)
		}
		confirmed = o.deployed
	}
	o.Fatal("it does not end")
}

// The whole way there and back with manifests only, which the deployments have written
// before there was anything in the database, beside an application with the models: in
// place, beside a column, and for an index.
func TestTheWholeWayByManifests(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		database := map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[where.Name]
		start := func(a *application, table, column string, reading, writing, settled any) *operator {
			a.Helper()
			read := a.written(reading)
			return &operator{a, table, column, map[migrations.Deployment]manifest.Manifest{
				migrations.WithoutTag: read, migrations.Reading: read, migrations.Writing: a.written(writing), migrations.Settled: a.written(settled),
			}, migrations.WithoutTag}
		}
		t.Run("in place", func(t *testing.T) {
			t.Parallel()
			c := newCustomers(t, database(t))
			c.indexed = true
			o := start(c.start(c.fill(150)), "customers", "email", &readingCustomer{}, &writingCustomer{}, &settledCustomer{})
			o.there()
			if n := c.count("SELECT count(*) FROM customers WHERE email NOT LIKE 'gc1:1:%' OR (email IS NULL) <> (email_index IS NULL)"); n > 0 {
				t.Errorf("%d rows are not sealed", n)
			}
			if !c.hasIndex("idx_customers_email_index") || c.hasIndex("by_email") {
				t.Error("it does not have the indexes that the model has")
			}
			o.back()
			c.requirePlain(o.stop())
			if !c.hasIndex("by_email") {
				t.Error("the index of the plaintext is gone")
			}
		})
		t.Run("beside", func(t *testing.T) {
			t.Parallel()
			e := newEmployees(t, database(t))
			a := e.startWith(e.program, func(random *rand.Rand, id int64) *string { return numeral(id*1e9 + random.Int64N(1e9)) }, e.fill(100))
			o := start(a, "employees", "salary", &readingEmployee{}, &writingEmployee{}, &settledEmployee{})
			o.there()
			e.requireSealed()
			o.back()
			want := o.stop()
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
		})
		t.Run("index", func(t *testing.T) {
			t.Parallel()
			c := newCustomers(t, database(t))
			o := start(c.startWith(c.clientProgram, c.draw, c.fillClients()), "clients", "email_index", &readingClient{}, &writingClient{}, &settledClient{})
			o.there()
			if n := c.count("SELECT count(*) FROM clients WHERE (email IS NULL) <> (email_index IS NULL)"); n > 0 || !c.hasIndex("idx_clients_email_index") {
				t.Errorf("%d rows do not have their term, or the index is not there", n)
			}
			o.back()
			o.stop()
			if _, err := c.pool.Exec("SELECT email_index FROM clients"); err == nil {
				t.Error("the column of the index is left")
			}
		})
	})
}

// Models whose blind index has indexes of every kind that tags can ask for.
type (
	oddCustomer struct {
		ID         int64
		Tenant     int64                    `gorm:"index:by_tenant,unique,priority:1"`
		Email      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index:by_tenant,unique,priority:2;index:the \"odd\" one,where:tenant > 0,sort:desc;index:by_hash,type:HASH;index:by_length,expression:length(email_index)" encrypt:"of=Email"`
		Name       string                   `gorm:"index:by_name"`
	}
	sqliteCollated struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index:collated,collate:NOCASE" encrypt:"of=Email"`
	}
	postgresCollated struct {
		ID         int64
		Email      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		EmailIndex encryptedtype.BlindIndex `gorm:"index:collated,collate:C" encrypt:"of=Email"`
	}
)

func (oddCustomer) TableName() string      { return "customers" }
func (sqliteCollated) TableName() string   { return "customers" }
func (postgresCollated) TableName() string { return "customers" }

// A manifest that was written and read says the same as the model: every statement of
// the plan, every count, every problem and warning.
func TestAPlanByManifestIsThatOfTheModel(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		e := newEmployees(t, where)
		e.customers.fillWith(ugly(where), 50)
		e.fill(50)
		e.fillClients()
		execute(t, where, "ALTER TABLE customers ADD COLUMN tenant bigint")
		collated := map[string]any{"sqlite": &sqliteCollated{}, "postgres": &postgresCollated{}}[where.Name]
		steps := map[string]int{}
		for _, c := range []struct {
			model                any
			field, table, column string
		}{
			{&readingCustomer{}, "Email", "customers", "email"}, {&writingCustomer{}, "Email", "customers", "email"}, {&settledCustomer{}, "Email", "customers", "email"},
			{&readingEmployee{}, "Salary", "employees", "salary"}, {&writingEmployee{}, "Salary", "employees", "salary"},
			{&readingClient{}, "EmailIndex", "clients", "email_index"}, {&settledClient{}, "EmailIndex", "clients", "email_index"},
			{&oddCustomer{}, "Email", "customers", "email"}, {collated, "Email", "customers", "email"},
		} {
			want, err := column(t, e.open(c.model), c.model, c.field).Plan(t.Context(), fast(""))
			if err != nil {
				t.Fatal(err)
			}
			for i, problem := range want.Problems {
				problem = strings.Replace(problem, "in this program", "in the manifest", 1)
				want.Problems[i] = strings.Replace(problem, `add encrypt:"migrating=read"`, `have a program with encrypt:"migrating=read" write it anew, with gormcrypt.Manifest`, 1)
			}
			got, err := e.ofManifest(e.written(c.model), c.table, c.column).Plan(t.Context(), fast(""))
			if d := cmp.Diff(want, got, cmpopts.IgnoreFields(migrations.Plan{}, "Duration")); err != nil || d != "" {
				t.Errorf("%T: %v (-model +manifest)\n%s", c.model, err, d)
			}
			for _, step := range got.Steps {
				if strings.Contains(step, " INDEX ") {
					steps[step]++
				}
			}
		}
		for _, want := range map[string][]string{
			"postgres": {
				`Expand: CREATE INDEX CONCURRENTLY "idx_employees_salary_index" ON "employees" ("salary_index")`,
				`Expand: CREATE UNIQUE INDEX CONCURRENTLY "by_tenant" ON "customers" ("tenant", "email_index")`,
				`Expand: CREATE INDEX CONCURRENTLY "the ""odd"" one" ON "customers" ("email_index" desc) WHERE tenant > 0`,
				`Expand: CREATE INDEX CONCURRENTLY "by_hash" ON "customers" USING "hash" ("email_index")`,
				`Expand: CREATE INDEX CONCURRENTLY "by_length" ON "customers" (length(email_index))`,
				`Expand: CREATE INDEX CONCURRENTLY "collated" ON "customers" ("email_index" COLLATE "C")`,
			},
			"sqlite": {
				`Expand: CREATE INDEX "main"."idx_employees_salary_index" ON "employees" ("salary_index")`,
				`Expand: CREATE UNIQUE INDEX "main"."by_tenant" ON "customers" ("tenant", "email_index")`,
				`Expand: CREATE INDEX "main"."the ""odd"" one" ON "customers" ("email_index" desc) WHERE tenant > 0`,
				`Expand: CREATE INDEX "main"."by_hash" ON "customers" ("email_index")`,
				`Expand: CREATE INDEX "main"."by_length" ON "customers" (length(email_index))`,
				`Expand: CREATE INDEX "main"."collated" ON "customers" ("email_index" COLLATE "NOCASE")`,
			},
		}[where.Name] {
			if steps[want] == 0 {
				t.Errorf("no plan has %s, but %v", want, steps)
			}
		}
		// The databases take them.
		m := e.ofManifest(e.written(&oddCustomer{}), "customers", "email")
		if err := m.Expand(t.Context(), fast("")); !errors.Is(err, migrations.ErrProblems) || !strings.Contains(err.Error(), "set Config.Unique") {
			t.Errorf("a unique index that nobody has confirmed: %v", err)
		}
		if err := m.Expand(t.Context(), migrations.Config{Unique: true}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"by_tenant", `the "odd" one`, "by_hash", "by_length"} {
			if !e.hasIndex(name) {
				t.Errorf("the index %s is not there", name)
			}
		}
		if e.hasIndex("by_name") {
			t.Error("there is an index that has nothing to do with it")
		}
	})
}

// A step wants the manifest of the deployment that it is for, and says so.
func TestAManifestOfAnotherDeployment(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := t.Context()
		c := newCustomers(t, where)
		want := c.fill(30)
		reading, writing, settled := c.written(&readingCustomer{}), c.written(&writingCustomer{}), c.written(&settledCustomer{})
		with := func(m manifest.Manifest) *migrations.Migration { return c.ofManifest(m, "customers", "email") }
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		refused := func(err error, says string) {
			t.Helper()
			var asks *migrations.DeploymentError
			if !errors.Is(err, migrations.ErrDeployment) || errors.As(err, &asks) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "with gormcrypt.Manifest") {
				t.Errorf("got %v, want an error with %q", err, says)
			}
		}
		if err := with(settled).Expand(ctx, fast("")); !errors.Is(err, migrations.ErrProblems) || !strings.Contains(err.Error(), "no migrating= in the manifest") {
			t.Errorf("Expand: %v", err)
		}
		must(with(reading).Expand(ctx, fast("")))
		_, err := with(reading).Backfill(ctx, fast(migrations.Writing))
		refused(err, "in the manifest, customers.email is migrating=read, and is to be migrating=write")
		c.requirePlain(want)
		_, err = with(writing).Backfill(ctx, fast(migrations.Writing))
		must(err)
		_, err = with(writing).Verify(ctx, fast(""))
		must(err)
		must(with(writing).Enforce(ctx, fast(migrations.Writing)))
		refused(with(writing).Finish(ctx, fast(migrations.Settled)), "is migrating=write, and is to be without migrating=")
		must(with(settled).Finish(ctx, fast(migrations.Settled)))
		_, err = with(settled).Revert(ctx, fast(migrations.Reading))
		refused(err, "is without migrating=, and is to be migrating=read")
		c.requireSealed(want)
	})
}

// A value that was typed and reads like ciphertext is sealed without the model, too.
func TestTakeForPlaintextByAManifest(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		ctx := t.Context()
		c := newCustomers(t, where)
		another, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		want := c.fillWith([]string{sealUnder(t, another, "customers", "email")}, 10)
		if err := c.ofManifest(c.written(&readingCustomer{}), "customers", "email").Expand(ctx, fast("")); err != nil {
			t.Fatal(err)
		}
		m := c.ofManifest(c.written(&writingCustomer{}), "customers", "email")
		if _, err := m.Backfill(ctx, fast(migrations.Writing)); !errors.Is(err, rotation.ErrQuarantined) {
			t.Fatalf("Backfill: %v", err)
		}
		if err := m.TakeForPlaintext(ctx, fast(migrations.Writing), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Backfill(ctx, fast(migrations.Writing)); err != nil {
			t.Error(err)
		}
		c.requireSealed(want)
	})
}

// What cannot be is said before anything is sent, with what there is.
func TestSourcesThatCannotBe(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		good := migrations.Source{Manifest: c.written(&readingCustomer{}), Keys: c.keys}
		another := func(change func(*migrations.Source)) migrations.Source {
			source := good
			change(&source)
			return source
		}
		for what, one := range map[string]struct {
			from                migrations.Source
			table, column, want string
		}{
			"a table that it does not have":  {good, "clients", "email", `no table "clients"; it has customers`},
			"a column that it does not have": {good, "customers", "Email", `"Email" of the table customers; it has email, email_index`},
			"no column":                      {good, "customers", "", "it has email, email_index"},
			"a column that is not encrypted": {good, "customers", "name", "it has email, email_index"},
			"no manifest":                    {migrations.Source{Keys: c.keys}, "customers", "email", "format 0"},
			"an empty manifest":              {migrations.Source{Keys: c.keys, Manifest: manifest.Manifest{Format: manifest.Format}}, "customers", "email", "it has none"},
			"no keys":                        {migrations.Source{Manifest: good.Manifest}, "customers", "email", "set Source.Keys"},
			"keys that are not there":        {another(func(s *migrations.Source) { s.Keys = keyring.File(filepath.Join(t.TempDir(), "none")) }), "customers", "email", "loading the keyring"},
			"an algorithm that is none":      {another(func(s *migrations.Source) { s.Algorithm = 99 }), "customers", "email", "algorithm"},
		} {
			if _, err := migrations.OfManifest(c.plain, one.from, one.table, one.column); err == nil || !strings.Contains(err.Error(), one.want) {
				t.Errorf("%s: got %v, want an error with %q", what, err, one.want)
			}
		}
		if _, err := migrations.OfManifest(c.open(&readingCustomer{}), good, "customers", "email"); err == nil || !strings.Contains(err.Error(), "has the plugin") {
			t.Errorf("with the plugin: %v", err)
		}
		// A database that does not have the table, as the manifest of another one would say.
		for _, name := range []string{"email", "email_index"} {
			m := c.ofManifest(good.Manifest, "customers", name)
			execute(t, where, "ALTER TABLE customers RENAME TO elsewhere")
			plan, err := m.Plan(t.Context(), fast(""))
			if err != nil || len(plan.Problems) != 1 || !strings.Contains(plan.Problems[0], "there is no such table") {
				t.Errorf("%s: the plan has the problems %q: %v", name, plan.Problems, err)
			}
			if err := m.Expand(t.Context(), fast("")); !errors.Is(err, migrations.ErrProblems) {
				t.Errorf("%s: %v", name, err)
			}
			execute(t, where, "ALTER TABLE elsewhere RENAME TO customers")
		}
		// A function that only the program has.
		c.fill(5)
		own := c.written(&readingCustomer{})
		own.Tables[0].Indexes[0].Normalize = []string{"soundex"}
		if _, err := c.ofManifest(own, "customers", "email_index").Plan(t.Context(), fast("")); err == nil || !strings.Contains(err.Error(), "soundex") {
			t.Errorf("without the function: %v", err)
		}
		m, err := migrations.OfManifest(c.plain, migrations.Source{Manifest: own, Keys: c.keys, Normalizations: map[string]func(string) string{"soundex": strings.ToUpper}}, "customers", "email_index")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Plan(t.Context(), fast("")); err != nil {
			t.Errorf("with the function: %v", err)
		}
	})
}
