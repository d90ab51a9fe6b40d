package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/migrations"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Models of a table whose column value is to be migrated.
type (
	subject struct {
		ID    int64
		Value *string `gorm:"serializer:encrypted" encrypt:"migrating=read"`
	}
	settledSubject struct {
		ID    int64
		Value *string `gorm:"serializer:encrypted"`
	}
	numberedSubject struct {
		ID    int64
		Value int64 `gorm:"serializer:encrypted;type:text" encrypt:"migrating=read"`
	}
	uniqueSubject struct {
		ID    int64
		Value *string `gorm:"serializer:encrypted;unique" encrypt:"deterministic,migrating=read"`
	}
	indexedSubject struct {
		ID         int64
		Value      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		ValueIndex encryptedtype.BlindIndex `gorm:"uniqueIndex" encrypt:"of=Value"`
	}
	constrainedSubject struct {
		ID         int64
		Value      *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		ValueIndex encryptedtype.BlindIndex `gorm:"unique" encrypt:"of=Value"`
	}
	compoundSubject struct {
		ID    int64
		Value *string                  `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		Other *string                  `gorm:"serializer:encrypted"`
		Both  encryptedtype.BlindIndex `encrypt:"of=Value+Other"`
	}
)

func (subject) TableName() string            { return "subjects" }
func (settledSubject) TableName() string     { return "subjects" }
func (numberedSubject) TableName() string    { return "subjects" }
func (uniqueSubject) TableName() string      { return "subjects" }
func (indexedSubject) TableName() string     { return "subjects" }
func (constrainedSubject) TableName() string { return "subjects" }
func (compoundSubject) TableName() string    { return "subjects" }

// reason is something in a database that a plan is to mention.
type reason struct {
	// on is the database that has it, empty for both, and model is subject if it is nil.
	on     string
	model  any
	unique bool // Config.Unique
	// columns follow the primary key, and more are statements.
	columns string
	more    []string
	// Each of these is a part of one of the plan's, which has no others. Steps are some.
	problems, warnings, steps []string
}

var reasons = map[string]reason{
	"nothing":               {columns: "value text"},
	"a missing column":      {columns: "other text", problems: []string{"no such column"}},
	"without migrating":     {model: &settledSubject{}, columns: "value text", problems: []string{"no migrating= in this program"}},
	"integer":               {model: &numberedSubject{}, columns: "value bigint", problems: []string{"has the type bigint, which holds no ciphertext"}},
	"date":                  {columns: "value date", problems: []string{"has the type date, which holds no ciphertext"}},
	"time":                  {columns: "value timestamp", problems: []string{"has the type timestamp"}},
	"char(n)":               {on: "postgres", columns: "value char(10)", problems: []string{"has the type character(10), which holds no ciphertext"}},
	"varchar(n)":            {on: "postgres", columns: "value varchar(10)", steps: []string{`Expand: ALTER TABLE "subjects" ALTER COLUMN "value" TYPE text`}},
	"varchar(n) and a view": {on: "postgres", columns: "value varchar(10)", more: []string{"CREATE VIEW seen AS SELECT value FROM subjects"}, problems: []string{"the view seen"}},
	"varchar(n) and a trigger": {on: "postgres", columns: "value varchar(10)", more: []string{triggerFunction, "CREATE TRIGGER watching AFTER UPDATE OF value ON subjects FOR EACH ROW EXECUTE FUNCTION watch()"},
		problems: []string{"the trigger watching"}, warnings: []string{"the trigger watching"}},
	"varchar":             {columns: "value varchar"},
	"varchar(n), ignored": {on: "sqlite", columns: "value varchar(10)"},
	"default":             {columns: "value text DEFAULT 'x'", problems: []string{"has a default"}},
	"default NULL":        {columns: "value text DEFAULT NULL"},
	"generated":           {columns: "other text, value text GENERATED ALWAYS AS (other) STORED", problems: []string{"the database computes the column"}},
	"generated from it":   {columns: "value text, other text GENERATED ALWAYS AS (upper(value)) STORED", problems: []string{"computed from it"}},
	"CHECK":               {columns: "value text CHECK (value <> 'x')", problems: []string{"CHECK constraint"}},
	"CHECK of the table":  {columns: "value text, other text, CHECK (length(other) > 0 AND length(value) > 0)", problems: []string{"CHECK constraint"}},
	"CHECK of another":    {columns: "value text, other text CHECK (other <> 'value')"},
	"foreign key":         {columns: "value text REFERENCES parents (name)", problems: []string{"foreign key"}},
	"foreign key to it": {model: &uniqueSubject{}, unique: true, columns: "value text UNIQUE", more: []string{"CREATE TABLE children (name text REFERENCES subjects (value))"},
		problems: []string{"foreign key"}},
	"view":                     {columns: "value text", more: []string{"CREATE VIEW seen AS SELECT value FROM subjects"}, warnings: []string{"the view seen"}},
	"view of another":          {columns: "value text, other text", more: []string{"CREATE VIEW seen AS SELECT other FROM subjects"}},
	"trigger":                  {on: "postgres", columns: "value text", more: []string{triggerFunction, "CREATE TRIGGER watching AFTER UPDATE ON subjects FOR EACH ROW EXECUTE FUNCTION watch()"}, warnings: []string{"the trigger watching"}},
	"trigger in SQLite":        {on: "sqlite", columns: "value text", more: []string{"CREATE TRIGGER watching AFTER UPDATE ON subjects BEGIN DELETE FROM parents; END"}, warnings: []string{"the trigger watching"}},
	"policy":                   {on: "postgres", columns: "value text", more: []string{"CREATE POLICY own ON subjects USING (value = 'x')"}, problems: []string{"the policy own"}},
	"collation":                {on: "postgres", columns: "value text COLLATE fuzzy", problems: []string{"a collation that takes different texts for equal"}},
	"collation in SQLite":      {on: "sqlite", columns: "value text COLLATE NOCASE"}, // which compares no ciphertext
	"unique":                   {columns: "value text UNIQUE", problems: []string{"its ciphertext would never be equal"}},
	"unique index":             {columns: "value text", more: []string{"CREATE UNIQUE INDEX one ON subjects (value)"}, problems: []string{"the column is unique (one)"}},
	"unique and deterministic": {model: &uniqueSubject{}, columns: "value text UNIQUE", problems: []string{"set Config.Unique"}},
	"unique, as is known":      {model: &uniqueSubject{}, unique: true, columns: "value text UNIQUE"},
	"unique terms":             {model: &indexedSubject{}, columns: "value text", problems: []string{"set Config.Unique"}},
	"unique terms, as is known": {model: &indexedSubject{}, unique: true, columns: "value text", more: []string{"CREATE UNIQUE INDEX one ON subjects (value)"},
		steps: []string{`Expand: ALTER TABLE "subjects" ADD COLUMN "value_index" text`, `Expand: CREATE UNIQUE INDEX `, `"idx_subjects_value_index"`, `Finish: DROP INDEX `, `"one"`}},
	"unique terms by a constraint":      {model: &constrainedSubject{}, unique: true, columns: "value text", warnings: []string{"value_index is unique by a constraint, which Expand does not make"}},
	"unique terms by one that is there": {model: &constrainedSubject{}, unique: true, columns: "value text, value_index text UNIQUE"},
	"index":                             {columns: "value text", more: []string{"CREATE INDEX one ON subjects (value)"}, warnings: []string{"the index one finds no ciphertext: Finish drops it"}, steps: []string{`Finish: DROP INDEX `, `"one"`}},
	"index of two":                      {columns: "value text, other text", more: []string{"CREATE INDEX one ON subjects (other, value)"}, warnings: []string{"the index one has the column in it"}},
	"index of an expression":            {columns: "value text", more: []string{"CREATE INDEX one ON subjects (lower(value))"}, warnings: []string{"the index one has the column in it"}},
	"partial index":                     {columns: "value text, other text", more: []string{"CREATE INDEX one ON subjects (other) WHERE value IS NULL"}, warnings: []string{"the index one has the column in it"}},
	"index of another":                  {columns: "value text, other text", more: []string{"CREATE INDEX one ON subjects (other)"}},
	"partitions":                        {on: "postgres", columns: "value text", more: []string{"DROP TABLE subjects", "CREATE TABLE subjects (id bigint PRIMARY KEY, value text) PARTITION BY RANGE (id)", "CREATE TABLE part PARTITION OF subjects DEFAULT"}, warnings: []string{"the table is partitioned"}},
	"a compound index":                  {model: &compoundSubject{}, columns: "value text, other text, \"both\" text", warnings: []string{"the blind index both is of several fields"}},
	"two things at once":                {columns: "value date DEFAULT '2020-01-01'", problems: []string{"has a default", "has the type date"}},
}

const triggerFunction = "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"

// A plan has every reason why a column cannot be migrated, and what is to be known;
// and Expand refuses it for the same, and changes nothing.
func TestReasons(t *testing.T) {
	t.Parallel()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for name, reason := range reasons {
			if reason.on != "" && reason.on != where.Name {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				where := map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres}[where.Name](t)
				if where.Name == "postgres" && reason.columns == "value text COLLATE fuzzy" {
					execute(t, where, "CREATE COLLATION fuzzy (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
				}
				execute(t, where, "CREATE TABLE parents (name text PRIMARY KEY)", "CREATE TABLE subjects (id bigint PRIMARY KEY, "+reason.columns+")")
				execute(t, where, reason.more...)
				if reason.model == nil {
					reason.model = &subject{}
				}
				m := column(t, open(t, where, keys, reason.model), reason.model, "Value")
				config := fast(migrations.WithoutTag)
				config.Unique = reason.unique
				if _, err := m.State(t.Context()); err != nil { // makes gormcrypt's own tables
					t.Fatal(err)
				}
				before := everything(t, where)
				plan, err := m.Plan(t.Context(), config)
				if err != nil {
					t.Fatal(err)
				}
				requireParts(t, "problems", plan.Problems, reason.problems)
				requireParts(t, "warnings", plan.Warnings, reason.warnings)
				for _, step := range reason.steps {
					if !strings.Contains(strings.Join(plan.Steps, "\n"), step) {
						t.Errorf("steps %q, want %q", plan.Steps, step)
					}
				}
				if d := cmp.Diff(before, everything(t, where)); d != "" {
					t.Errorf("Plan has changed (-before +after)\n%s", d)
				}
				err = m.Expand(t.Context(), config)
				if len(reason.problems) == 0 {
					if err != nil {
						t.Error(err)
					}
					return
				}
				if !errors.Is(err, migrations.ErrProblems) || !strings.Contains(err.Error(), strings.Join(plan.Problems, "; ")) {
					t.Errorf("Expand: %v, want %q", err, plan.Problems)
				}
				if d := cmp.Diff(before, everything(t, where)); d != "" {
					t.Errorf("Expand has changed (-before +after)\n%s", d)
				}
			})
		}
	})
}

func requireParts(t *testing.T, what string, got, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s %q, want %q", what, got, want)
	}
	for _, part := range want {
		if !strings.Contains(strings.Join(got, "\n"), part) {
			t.Errorf("%s %q, want %q", what, got, part)
		}
	}
}

// everything returns the definitions of a database and its rows, in PostgreSQL with
// the transactions that have written them.
func everything(t testing.TB, where testdb.Database) []string {
	t.Helper()
	if where.Name == "sqlite" {
		all := texts(t, where, "SELECT coalesce(sql, name) FROM sqlite_master ORDER BY type, name")
		for _, table := range texts(t, where, "SELECT name FROM sqlite_master WHERE type = 'table'") {
			columns := strings.Join(texts(t, where, "SELECT 'quote(\"' || name || '\")' FROM pragma_table_xinfo('"+table+"')"), " || ' ' || ")
			all = append(all, texts(t, where, "SELECT '"+table+" ' || "+columns+" FROM "+table+" ORDER BY 1")...)
		}
		return all
	}
	all := texts(t, where, `SELECT * FROM (SELECT concat_ws(' ', c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) AS said FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid WHERE c.relnamespace = current_schema()::regnamespace AND a.attnum > 0
UNION ALL SELECT conname || ' ' || pg_get_constraintdef(oid) || convalidated FROM pg_constraint WHERE connamespace = current_schema()::regnamespace
UNION ALL SELECT pg_get_indexdef(x.indexrelid) || x.indisvalid FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indexrelid WHERE c.relnamespace = current_schema()::regnamespace) AS all_of_it ORDER BY 1`)
	for _, table := range texts(t, where, "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' ORDER BY 1") {
		all = append(all, texts(t, where, fmt.Sprintf("SELECT '%[1]s ' || t.xmin::text || ' ' || t::text FROM %[1]s AS t ORDER BY 1", table))...)
	}
	return all
}

// The reasons of an index that is migrated by itself.
func TestReasonsOfAnIndex(t *testing.T) {
	t.Parallel()
	type settled struct {
		ID         int64
		Value      string                   `gorm:"serializer:encrypted"`
		ValueIndex encryptedtype.BlindIndex `encrypt:"of=Value"`
	}
	type beside struct {
		ID         int64
		Value      string                   `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		ValueIndex encryptedtype.BlindIndex `encrypt:"of=Value,migrating=read"`
	}
	type unique struct {
		ID         int64
		Value      string                   `gorm:"serializer:encrypted"`
		ValueIndex encryptedtype.BlindIndex `gorm:"uniqueIndex" encrypt:"of=Value,migrating=read"`
	}
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		for table, reason := range map[string]struct {
			model any
			says  string
		}{
			"settleds": {&settled{}, "the index has no migrating= in this program"}, "besides": {&beside{}, "it is of value, which is migrating"}, "uniques": {&unique{}, "set Config.Unique"},
		} {
			execute(t, where, "CREATE TABLE "+table+" (id bigint PRIMARY KEY, value text)")
			m := column(t, open(t, where, keys, reason.model), reason.model, "ValueIndex")
			plan, err := m.Plan(context.Background(), migrations.Config{})
			if err != nil {
				t.Errorf("%s: %v", table, err)
			}
			requireParts(t, "problems of "+table, plan.Problems, []string{reason.says})
			if err := m.Expand(context.Background(), migrations.Config{}); !errors.Is(err, migrations.ErrProblems) || !strings.Contains(err.Error(), reason.says) {
				t.Errorf("%s: %v", table, err)
			}
		}
	})
}

// A plan counts the values of each kind, tries some, and leaves no trace, not even in
// the versions of the rows.
func TestPlanCounts(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		want := c.fill(60)
		lookalikes := int64(0)
		for _, text := range want {
			if text != nil && strings.HasPrefix(*text, "gc1:") {
				lookalikes++
			}
		}
		if err := wayThere[0].run(c); err != nil {
			t.Fatal(err)
		}
		sealed := []writingCustomer{{ID: 1001, Email: pointer("SECRET one")}, {ID: 1002, Email: pointer("SECRET two")}, {ID: 1003}}
		if err := c.open(&writingCustomer{}).Create(&sealed).Error; err != nil {
			t.Fatal(err)
		}
		m := c.as(&readingCustomer{})
		before := everything(t, where)
		plan, err := m.Plan(t.Context(), migrations.Config{})
		if err != nil {
			t.Fatal(err)
		}
		got := []int64{plan.Rows, plan.Nulls, plan.Plaintext, plan.Ciphertext, plan.Lookalikes}
		if d := cmp.Diff([]int64{63, 2, 59, 2, lookalikes}, got); d != "" {
			t.Errorf("rows, nulls, plaintext, ciphertext, lookalikes (-want +got)\n%s", d)
		}
		if plan.Table != "customers" || plan.Column != "email" || plan.State != migrations.Expanded || !strings.Contains(plan.Next, "deploy migrating=read") || len(plan.Failed) > 0 || plan.Duration < 0 {
			t.Errorf("%+v", plan)
		}
		if d := cmp.Diff(before, everything(t, where)); d != "" {
			t.Errorf("it has changed (-before +after)\n%s", d)
		}
		steps := strings.Join(plan.Steps, "\n")
		for _, one := range []string{"Backfill: the values of customers.email", "Verify: ", "Enforce: "} {
			if !strings.Contains(steps, one) || strings.Contains(steps, "Expand: ") {
				t.Errorf("steps %q", plan.Steps)
			}
		}
		// And when it is over, there is nothing to do.
		for _, step := range wayThere[1:] {
			if err := step.run(c); err != nil {
				t.Fatal(err)
			}
		}
		if plan, err = c.as(&settledCustomer{}).Plan(t.Context(), migrations.Config{}); err != nil || plan.Plaintext != 0 || plan.Ciphertext != 61 || plan.Lookalikes != 0 || plan.Nulls != 2 || plan.State != migrations.Finished {
			t.Errorf("%v: %+v", err, plan)
		}
	})
}

func pointer[T any](value T) *T { return &value }

// A plan says about how long Backfill will take with its limits.
func TestPlanDuration(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		c := newCustomers(t, where)
		const rows = 20_000
		fill := map[string]string{
			"sqlite":   "INSERT INTO customers (id, email, name) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000) SELECT i, 'customer' || i || '@example.org', 'n' FROM n",
			"postgres": "INSERT INTO customers (id, email, name) SELECT i, 'customer' || i || '@example.org', 'n' FROM generate_series(1, 20000) AS i",
		}
		execute(t, where, fill[where.Name])
		if err := wayThere[0].run(c); err != nil {
			t.Fatal(err)
		}
		config := migrations.Config{Deployed: migrations.Writing, Workers: 1, Limits: rotation.Limits{Duty: 0.5, Rate: 8000}}
		m := c.as(&writingCustomer{})
		plan, err := m.Plan(t.Context(), config)
		if err != nil || plan.Rows != rows || plan.Plaintext != rows {
			t.Fatalf("%v: %+v", err, plan)
		}
		began := time.Now()
		if _, err := m.Backfill(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		switch took := time.Since(began); {
		case plan.Duration > 5*took || plan.Duration < rows/8000*time.Second:
			t.Errorf("it took %v, and was to take %v", took, plan.Duration)
		case took > 5*plan.Duration:
			t.Skipf("it took %v, and was to take %v: the machine is busy", took, plan.Duration)
		}
	})
}

// A varchar with a length goes the whole way, and comes back as text.
func TestVarchar(t *testing.T) {
	t.Parallel()
	c := newCustomers(t, testdb.Postgres(t))
	execute(t, c.where, "ALTER TABLE customers ALTER COLUMN email TYPE varchar(120)")
	c.indexed = true
	want := c.fill(300)
	for _, step := range wayThere {
		if err := step.run(c); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	c.requireSealed(want)
	c.back(want)
	if kind := texts(t, c.where, "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'customers'::regclass AND attname = 'email'"); kind[0] != "text" {
		t.Errorf("it is %s", kind[0])
	}
}
