package integration_test

import (
	"flag"
	"os"
	"testing"

	"github.com/gormcrypt/gormcrypt/gormcrypttest/conformance"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

var update = flag.Bool("update", false, "write docs/gorm-paths.md anew, from what TestConformance finds")

const pathsPage = "../docs/gorm-paths.md"

// pathsIntro is what the page says in front of its tables.
const pathsIntro = `# What happens on each path through GORM

Each row is a test. The package [gormcrypttest/conformance](../gormcrypttest/conformance) runs all of them on each database,
with fields of every kind (` + "`string`, `*string`, `[]byte`" + ` in text and binary columns, numbers, ` + "`bool`, `time.Time`" + `, a slice, a map,
an embedded struct, a deterministic field) and of the types of ` + "`encryptedtype`" + `, and this page is made of what came of it:
` + "`go test -run TestConformance -update`" + ` in ` + "`integration_test`" + ` writes it, and the same without ` + "`-update`" + ` fails if it is out of date.

"yes" means that what the row says happens on that database, and that four checks found nothing:

- **value**: what was written is what another ` + "`*gorm.DB`" + `, with another plugin under the same keyring, reads;
- **stored**: every value of an encrypted column is ciphertext, or NULL, and every one of a blind index a term, or NULL, to plain
  ` + "`database/sql`" + `;
- **wire**: no plaintext was in an SQL text, an argument or a result, between ` + "`database/sql`" + ` and the driver;
- **said**: none is in what GORM's loggers write at their most talkative, or in an error, and the program's own maps and
  structs are what they were.

What is refused fails with the error that is named, which tells table and column where there are such. Writes and conditions
are refused before they are sent, and nothing that is stored changes; of reads, nothing is handed out. ` + "`G[T]`" + ` is ` + "`gorm.G[T](db)`" + `, the generic API.

Each row of the conditions runs by a field that has a blind index and by a deterministic one, unless it names one of them, and with
one live index key and with two, unless it says so: rows that were written under either are found. Rows of the other tables that have conditions refused are about
fields without an index.
`

// Every path through GORM, on both databases; and docs/gorm-paths.md says what it
// finds.
func TestConformance(t *testing.T) {
	// Alone: while another test registers a plugin, GORM knows the serializer.
	var reports []*conformance.Report
	for _, kind := range []struct {
		name string
		open func(testing.TB) testdb.Database
	}{{"sqlite", testdb.SQLite}, {"postgres", testdb.Postgres}} {
		t.Run(kind.name, func(t *testing.T) {
			reports = append(reports, conformance.Run(t, func(t testing.TB) conformance.Database {
				where := kind.open(t)
				return conformance.Database{Name: where.Name, Driver: where.Driver(), DSN: where.DSN, Dialector: where.Dialector}
			}))
		})
	}
	if len(reports) < 2 {
		t.Log("docs/gorm-paths.md was not compared: one of the databases is not there")
		return
	}
	for _, report := range reports {
		if !report.Complete() {
			t.Log("docs/gorm-paths.md was not compared: not all rows were run")
			return
		}
	}
	tables, err := conformance.Markdown(reports...)
	if err != nil {
		t.Fatal(err)
	}
	page := pathsIntro + tables
	if *update {
		if err := os.WriteFile(pathsPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := os.ReadFile(pathsPage); err != nil || string(old) != page {
		t.Errorf("docs/gorm-paths.md is out of date; write it anew with -update (%v)", err)
	}
}
