package rotation_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// A dry run says what would be done, and whether it would work, and writes
// nothing.
func TestDryRun(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, promoted := rings(t)
		accounts(t, where, first, 30)
		execute(t, where.Plain(t), "UPDATE accounts SET phone = NULL WHERE id <= 10")
		execute(t, where.Plain(t), "UPDATE accounts SET email = 'SECRET' WHERE id = 5")
		db := use(t, where, promoted, &account{})
		if err := db.Model(&account{}).Where("id > 25").Update("email", "SECRET").Error; err != nil {
			t.Fatal(err)
		}
		before := column(t, where, "SELECT email FROM accounts ORDER BY id")
		report, err := run(t, db, rotation.Config{DryRun: true})
		if err != nil {
			t.Fatal(err)
		}
		table := report.Plan.Tables[0]
		if len(table.Failed) != 1 || table.Failed[0].Key != "5" || strings.Contains(table.Failed[0].Reason, "SECRET") {
			t.Errorf("failed are %+v", table.Failed)
		}
		table.Failed = nil
		want := rotation.TablePlan{Table: "accounts", Rows: 30, Columns: []rotation.ColumnPlan{{Column: "email", Stale: 25}, {Column: "phone", Stale: 20}}, Tried: 30}
		if d := cmp.Diff(want, table); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		if d := cmp.Diff(before, column(t, where, "SELECT email FROM accounts ORDER BY id")); d != "" {
			t.Errorf("the dry run has written:\n%s", d)
		}
		if _, err := where.Plain(t).Exec("SELECT * FROM gormcrypt_jobs"); err == nil {
			t.Error("the dry run has created the ledger")
		}
	})
}

// unique has what the database does not admit twice.
type unique struct {
	ID    int64
	TaxID string `gorm:"serializer:encrypted;unique" encrypt:"deterministic"`
	Phone string `gorm:"serializer:encrypted" encrypt:"deterministic"`
	Note  string `gorm:"serializer:encrypted"`

	DeletedAt gorm.DeletedAt
}

// What cannot work is refused before anything is sent.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, _ := rings(t)
		db := use(t, where, first, &unique{})
		if err := db.AutoMigrate(&unique{}); err != nil {
			t.Fatal(err)
		}
		m, err := gormcrypt.Manifest(db)
		if err != nil {
			t.Fatal(err)
		}
		onlyData, err := keyring.New(keyring.DataKey(1, keyring.Primary, []byte("0123456789abcdef0123456789abcdef")))
		if err != nil {
			t.Fatal(err)
		}
		for want, config := range map[string]rotation.Config{
			"Config.Unique":                    {Set: keyring.IndexKeys},
			"names uniques.email, which is no": {Set: keyring.IndexKeys, Unique: []string{"uniques.tax_id", "uniques.email"}},
			"the table accounts":               {Tables: []string{"accounts"}},
			"leave Config.Manifest and Config": {Manifest: &m},
			"a lease of less than a second":    {Lease: 1},
			"negative":                         {Workers: -1},
			"a limit is negative":              {Limits: rotation.Limits{Rate: -1}},
			"duty":                             {Limits: rotation.Limits{Duty: 2}},
		} {
			if _, err := rotation.New(db, config); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		}
		if _, err := rotation.New(db, rotation.Config{Set: keyring.IndexKeys, Unique: []string{"uniques.tax_id"}}); err != nil {
			t.Errorf("named: %v", err)
		}
		bare := where.Open(t, nil)
		if _, err := rotation.New(bare, rotation.Config{}); !errors.Is(err, gormcrypt.ErrNoPlugin) {
			t.Errorf("without the plugin: %v", err)
		}
		if _, err := rotation.New(bare, rotation.Config{Manifest: &m, Keys: onlyData, Set: keyring.IndexKeys, Unique: []string{"uniques.tax_id"}}); !errors.Is(err, keyring.ErrNoPrimary) {
			t.Errorf("without an index key: %v", err)
		}
		if _, err := rotation.Find(context.Background(), bare, "none"); !errors.Is(err, rotation.ErrNoJob) {
			t.Errorf("no job: %v", err)
		}
	})
}
