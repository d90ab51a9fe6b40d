package rotation_test

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// ugly are values that someone wrote past the plugin, for columns of text.
var ugly = []string{
	"gc1:7", "gc1:x:", "gc1:0:AAAA", "gc1:07:AAAA", "gc1:i:", "gc1:i0:AAAA", "gc1::", "gc1:", "gc1", "", ":", "plaintext",
	"gc1:4294967296:AAAA", "gc1:99999999999:AAAA", "gc1:999999999999:AAAA", "gc1:-1:AAAA", "gc1:+1:AAAA", "gc1:1 :AAAA", "gc1: 1:AAAA", "gc1:\u00e4:",
	"gc1:1\u00e4:", "\u00e4\U0001f512", "GC1:1:AAAA", " gc1:1:AAAA", "gc2:1:AAAA", "7:30", "i7:AAAA", `gc1:\:`, `\x`, `gc1:'1':`, "gc1:%:", "gc1:i1i:AAAA", "gc1:I1:AAAA",
	// And these have versions, which the keyring does not know or whose values were
	// cut.
	"gc1:4294967295:AAAA", "gc1:i4294967295:AAAA", "gc1:1:", "gc1:i1:", "gc1:10:AAAA", "gc1:7:", "gc1:7:a:b", "gc1:7:" + strings.Repeat("long ", 1e5),
}

// uglyBytes are more of them, for columns of bytes.
var uglyBytes = []string{
	"\x00", "\xff\xfe", "gc1:\x00:", "gc1:\xff:", "gc1:7\x00:", "gc1:7\xff:", "\x00gc1:7:", "\xffgc1:7:", "gc1:7:\x00\xff", "gc1:i7:\xff\x00", `gc1:\000:`,
}

// uglyTerms are those for the columns of indexes.
var uglyTerms = []string{"", ":", "i", "i:", "i0:AAAA", "7:30", "1:AAAA", "i7", "I7:AAAA", "gc1:i7:AAAA", "\u00e4:", "i7:", "i7:AAAA", "i7:a19456.2.1:AAAA", "i12:AAAA"}

// soil puts ugly values into each column, one in a row.
func soil(t *testing.T, where testdb.Database) {
	t.Helper()
	pool := where.Plain(t)
	put := func(column string, values []any) {
		ids := column1(t, pool, "SELECT id FROM patients ORDER BY id")
		for i, value := range values {
			query := "UPDATE patients SET " + column + " = $1 WHERE id = $2"
			if _, err := pool.ExecContext(context.Background(), query, value, ids[3*i%len(ids)]); err != nil {
				t.Fatalf("%s %d: %v", column, i, err)
			}
		}
	}
	var texts, binaries, terms []any
	for _, value := range ugly {
		texts, binaries = append(texts, value), append(binaries, []byte(value))
	}
	for _, value := range uglyBytes {
		binaries = append(binaries, []byte(value))
	}
	for _, value := range uglyTerms {
		terms = append(terms, value)
	}
	if where.Name == "sqlite" { // in which every column takes everything
		texts = append(append(texts, binaries...), int64(7), 1.5)
		for _, value := range uglyBytes {
			texts = append(texts, value)
		}
		terms = append(terms, []byte{}, []byte("i7:AAAA"), []byte("\xff:"), int64(7))
	}
	for column, values := range map[string][]any{"name": texts, "phone": texts, "tax_id": texts, "scan": binaries, "name_index": terms} {
		put(column, values)
	}
}

// column1 returns the first column of what a query finds.
func column1(t testing.TB, pool *sql.DB, query string) []any {
	t.Helper()
	rows, err := pool.QueryContext(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var all []any
	for rows.Next() {
		var value any
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		all = append(all, value)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	valueStart = regexp.MustCompile(`^gc1:([^:]*):`)
	termStart  = regexp.MustCompile(`^(i[^:]*):`)
)

// counted is what a census should say of a column, by reading all its values.
func counted(t testing.TB, pool *sql.DB, quoted, table, column string, index bool) rotation.ColumnCensus {
	t.Helper()
	want := rotation.ColumnCensus{Table: table, Column: column, Index: index}
	start := valueStart
	if index {
		start = termStart
	}
	found := map[keyring.Version]int64{}
	for _, value := range column1(t, pool, "SELECT "+column+" FROM "+quoted) {
		want.Rows++
		if value == nil {
			want.Nulls++
			continue
		}
		text := fmt.Sprint(value)
		if b, ok := value.([]byte); ok {
			text = string(b)
		}
		if match := start.FindStringSubmatch(text); match != nil {
			if version, err := keyring.ParseVersion(match[1]); err == nil {
				found[version]++
				continue
			}
		}
		want.Foreign++
		if !index && strings.HasPrefix(text, "gc1:") {
			want.Unreadable++
		}
	}
	for version, rows := range found {
		want.Versions = append(want.Versions, rotation.VersionCount{Version: version, Rows: rows})
	}
	slices.SortFunc(want.Versions, func(a, b rotation.VersionCount) int {
		return cmp.Or(cmp.Compare(a.Version.Set(), b.Version.Set()), cmp.Compare(a.Version.Number(), b.Version.Number()))
	})
	return want
}

var sameVersion = gocmp.Comparer(func(a, b keyring.Version) bool { return a == b })

// A census says what reading all values says, of ugly values too, with the plugin
// and by a manifest alone.
func TestCensusCountsWhatIsStored(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		db := use(t, where, first, models()...)
		fill(t, db, 400)
		if err := use(t, where, promoted, models()...).Create(&device{Serial: []byte("new"), Secret: "SECRET"}).Error; err != nil {
			t.Fatal(err)
		}
		soil(t, where)
		pool := where.Plain(t)
		var want rotation.CensusReport
		for _, column := range []string{"secret"} {
			want.Columns = append(want.Columns, counted(t, pool, "devices", "devices", column, false))
		}
		for _, column := range []string{"born", "labels", "name", "name_index", "payout", "phone", "scan", "tax_id", "token", "weight"} {
			want.Columns = append(want.Columns, counted(t, pool, "patients", "patients", column, column == "name_index"))
		}
		for _, column := range []string{"doctor", "note"} {
			want.Columns = append(want.Columns, counted(t, pool, `"visits of ""2026"""`, visit{}.TableName(), column, false))
		}
		got, err := rotation.Census(context.Background(), db, rotation.CensusConfig{})
		if err != nil {
			t.Fatal(err)
		}
		if d := gocmp.Diff(want, got, sameVersion); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		// What the test is about is there.
		for _, c := range got.Columns {
			switch c.Column {
			case "name":
				if c.Unreadable < 15 || c.Foreign < c.Unreadable+10 || len(c.Versions) < 6 {
					t.Errorf("too few ugly values: %+v", c)
				}
			case "phone":
				if c.Nulls == 0 {
					t.Errorf("nothing is NULL: %+v", c)
				}
			case "secret":
				if len(c.Versions) != 2 {
					t.Errorf("two key versions: %+v", c)
				}
			}
		}

		m, err := gormcrypt.Manifest(db)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := rotation.Census(context.Background(), where.Open(t, nil), rotation.CensusConfig{Manifest: &m, Tables: []string{"devices"}})
		if d := gocmp.Diff(want.Columns[:1], plain.Columns, sameVersion); err != nil || d != "" {
			t.Errorf("by a manifest: %v (-want +got)\n%s", err, d)
		}
	})
}

// note has values that are long, so that few are in a page.
type note struct {
	ID   int64
	Text string  `gorm:"serializer:encrypted"`
	More *string `gorm:"serializer:encrypted"`
}

// A sample is about right, and says that it is one; small tables are counted.
func TestCensusOfASample(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		db := use(t, where, first, &note{}, &device{})
		if err := db.AutoMigrate(&note{}, &device{}); err != nil {
			t.Fatal(err)
		}
		const rows = 6000
		for _, keys := range []*keyring.Keyring{first, promoted} {
			notes := make([]note, rows/2)
			for i := range notes {
				notes[i].Text = strings.Repeat("SECRET ", 30)
			}
			if err := use(t, where, keys, &note{}).CreateInBatches(&notes, 500).Error; err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Create(&[]device{{Serial: []byte("1"), Secret: "SECRET"}, {Serial: []byte("2"), Secret: "SECRET"}}).Error; err != nil {
			t.Fatal(err)
		}
		got, err := rotation.Census(context.Background(), db, rotation.CensusConfig{Sample: 0.5})
		if err != nil || len(got.Columns) != 3 {
			t.Fatalf("%v: %+v", err, got)
		}
		if c := got.Columns[0]; c.Estimated || c.Rows != 2 {
			t.Errorf("a small table: %+v", c)
		}
		near := func(n, want int64) bool { return math.Abs(float64(n-want)) < float64(want)/3 }
		for _, c := range got.Columns[1:] {
			sum := c.Nulls + c.Foreign
			for _, v := range c.Versions {
				sum += v.Rows
			}
			if !c.Estimated || !near(c.Rows, rows) || c.Rows != sum || c.Foreign != 0 {
				t.Errorf("a sample: %+v", c)
			}
			if c.Column == "more" && c.Nulls != c.Rows || c.Column == "text" && (len(c.Versions) != 2 || !near(c.Versions[0].Rows, rows/2) || !near(c.Versions[1].Rows, rows/2)) {
				t.Errorf("a sample: %+v", c)
			}
		}
		// About half of the rows were looked at, and not all.
		if got.Columns[1].Nulls == rows {
			again, err := rotation.Census(context.Background(), db, rotation.CensusConfig{Sample: 0.5})
			if err != nil || again.Columns[1].Nulls == rows {
				t.Errorf("a sample found all rows twice: %v: %+v", err, again)
			}
		}
		whole, err := rotation.Census(context.Background(), db, rotation.CensusConfig{Sample: 1})
		if err != nil || whole.Columns[2].Estimated || whole.Columns[2].Rows != rows {
			t.Errorf("%v: %+v", err, whole)
		}
	})
}

func TestCensusRefuses(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, _ := rings(t)
		db := use(t, where, first, &device{})
		if err := db.AutoMigrate(&device{}); err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		for _, share := range []float64{-1, 1.1, 1e-7, math.NaN(), math.Inf(1)} {
			if _, err := rotation.Census(ctx, db, rotation.CensusConfig{Sample: share}); err == nil {
				t.Errorf("a sample of %v is admitted", share)
			}
		}
		if _, err := rotation.Census(ctx, db, rotation.CensusConfig{Tables: []string{"gone"}}); err == nil {
			t.Error("a table that is not there is admitted")
		}
		if _, err := rotation.Census(ctx, where.Open(t, nil), rotation.CensusConfig{}); !errors.Is(err, gormcrypt.ErrNoPlugin) {
			t.Errorf("without plugin and manifest: %v", err)
		}
		m, err := gormcrypt.Manifest(db)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rotation.Census(ctx, db, rotation.CensusConfig{Manifest: &m}); err == nil {
			t.Error("a manifest beside the plugin is admitted")
		}
		m.Tables[0].Columns = append(m.Tables[0].Columns, manifest.Column{Name: "missing", Type: manifest.StringValue, Context: manifest.Context{Table: "devices", Column: "missing"}})
		if _, err := rotation.Census(ctx, where.Open(t, nil), rotation.CensusConfig{Manifest: &m}); err == nil || !strings.Contains(err.Error(), "devices") {
			t.Errorf("a column that is not there: %v", err)
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		if _, err := rotation.Census(cancelled, db, rotation.CensusConfig{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

// Tables in schemas, collations in which other text is equal, and rows that a
// policy hides from who counts.
func TestCensusOnPostgreSQL(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	where := testdb.Postgres(t)
	pool := where.Plain(t)
	execute := func(statements ...string) {
		t.Helper()
		for _, statement := range statements {
			if _, err := pool.ExecContext(ctx, statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
	}
	schema := fmt.Sprint(column1(t, pool, "SELECT current_schema()")[0])
	execute(`CREATE COLLATION careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
		`CREATE TABLE odd (id bigint PRIMARY KEY, "a ""b""" varchar(200) COLLATE careless, b bytea) PARTITION BY RANGE (id)`,
		`CREATE TABLE odd_1 PARTITION OF odd FOR VALUES FROM (0) TO (2)`, `CREATE TABLE odd_2 PARTITION OF odd FOR VALUES FROM (2) TO (9)`,
		`INSERT INTO odd VALUES (1, 'gc1:i7:AA', 'gc1:7:'), (2, 'GC1:I7:AA', '\xff'), (3, 'gc1:I7:AA', NULL)`)
	m := manifest.Manifest{Format: manifest.Format, Tables: []manifest.Table{{Name: schema + ".odd", PrimaryKey: []string{"id"}, Columns: []manifest.Column{
		{Name: `a "b"`, Type: manifest.StringValue, Context: manifest.Context{Table: "odd", Column: "a"}}, {Name: "b", Type: manifest.StringValue, Context: manifest.Context{Table: "odd", Column: "b"}, Binary: true},
	}}}}
	db := where.Open(t, nil)
	got, err := rotation.Census(ctx, db, rotation.CensusConfig{Manifest: &m})
	want := []rotation.ColumnCensus{
		{Table: schema + ".odd", Column: `a "b"`, Rows: 3, Foreign: 2, Unreadable: 1, Versions: []rotation.VersionCount{{Version: keyring.MakeVersion(keyring.IndexKeys, 7), Rows: 1}}},
		{Table: schema + ".odd", Column: "b", Rows: 3, Nulls: 1, Foreign: 1, Versions: []rotation.VersionCount{{Version: keyring.MakeVersion(keyring.DataKeys, 7), Rows: 1}}},
	}
	if d := gocmp.Diff(want, got.Columns, sameVersion); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}

	execute(`ALTER TABLE odd ENABLE ROW LEVEL SECURITY`, `CREATE POLICY second ON odd USING (id = 2)`,
		`CREATE ROLE `+schema, `GRANT USAGE ON SCHEMA `+schema+` TO `+schema, `GRANT SELECT ON odd TO `+schema)
	t.Cleanup(func() { execute(`DROP OWNED BY `+schema, `DROP ROLE `+schema) })
	one, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	one.SetMaxOpenConns(1)
	if _, err := one.ExecContext(ctx, "SET ROLE "+schema); err != nil {
		t.Fatal(err)
	}
	if got, err := rotation.Census(ctx, db, rotation.CensusConfig{Manifest: &m}); err == nil {
		t.Errorf("rows that are hidden are left out: %+v", got)
	}
}

// A database whose text is UTF-16 has bytes that are not.
func TestCensusOnSQLite(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	where := testdb.SQLite(t)
	pool := where.Plain(t)
	pool.SetMaxOpenConns(1)
	for _, statement := range []string{`PRAGMA encoding = 'UTF-16le'`, `CREATE TABLE odd (id integer PRIMARY KEY, a text COLLATE NOCASE)`,
		`INSERT INTO odd (a) VALUES ('gc1:7:AA'), (x'6763313a373aff'), ('GC1:7:AA'), (CAST('gc1:7:AA' AS BLOB)), (7), (NULL)`} {
		if _, err := pool.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	m := manifest.Manifest{Format: manifest.Format, Tables: []manifest.Table{{Name: "odd", PrimaryKey: []string{"id"}, Columns: []manifest.Column{
		{Name: "a", Type: manifest.StringValue, Context: manifest.Context{Table: "odd", Column: "a"}},
	}}}}
	got, err := rotation.Census(ctx, where.Open(t, nil), rotation.CensusConfig{Manifest: &m})
	want := []rotation.ColumnCensus{{Table: "odd", Column: "a", Rows: 6, Nulls: 1, Foreign: 3, Versions: []rotation.VersionCount{{Version: keyring.MakeVersion(keyring.DataKeys, 7), Rows: 2}}}}
	if d := gocmp.Diff(want, got.Columns, sameVersion); err != nil || d != "" {
		t.Errorf("%v (-want +got)\n%s", err, d)
	}
}
