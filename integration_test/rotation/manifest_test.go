package rotation_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// patientName is what a result is read into. It has no table.
type patientName struct {
	ID   int64
	Name string `gorm:"serializer:encrypted" encrypt:"context=patients.name"`
}

// The manifest says what the tags say.
func TestManifestOfModels(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, _ := rings(t)
		db := use(t, where, first, append(models(), &patientName{})...)
		if m, err := gormcrypt.Manifest(db); err != nil || len(m.Tables) != 0 {
			t.Errorf("before there are tables: %v: %+v", err, m)
		}
		if err := db.AutoMigrate(models()...); err != nil {
			t.Fatal(err)
		}
		m, err := gormcrypt.Manifest(db)
		if err != nil {
			t.Fatal(err)
		}
		in := func(table, column string) manifest.Context { return manifest.Context{Table: table, Column: column} }
		column := func(name string, of manifest.ValueType) manifest.Column {
			return manifest.Column{Name: name, Type: of, Context: in("patients", name)}
		}
		visits := `visits of "2026"`
		want := []manifest.Table{
			{Name: "devices", PrimaryKey: []string{"serial"}, Columns: []manifest.Column{{Name: "secret", Type: manifest.StringValue, Context: in("devices", "secret")}}},
			{Name: "patients", PrimaryKey: []string{"id"}, Columns: []manifest.Column{
				column("name", manifest.StringValue),
				{Name: "phone", Type: manifest.StringValue, Context: in("patients", "phone"), Pad: 32},
				{Name: "tax_id", Type: manifest.StringValue, Context: in("patients", "tax_id"), Deterministic: true},
				{Name: "scan", Type: manifest.BytesValue, Context: in("patients", "scan"), Binary: true},
				column("weight", manifest.FloatValue), column("born", manifest.TimeValue),
				{Name: "labels", Type: manifest.JSONValue, Context: in("patients", "labels")},
				{Name: "token", Type: manifest.StringValue, Context: in("patients", "token"), Named: true},
				{Name: "payout", Type: manifest.StringValue, Context: in("patients", "payout"), Bind: []manifest.Bound{{Column: "account_id", Type: manifest.Text}}},
			}, Indexes: []manifest.Index{{Name: "name_index", Context: in("patients", "name_index"), Of: []string{"name"}, Normalize: []string{"lower"}}},
				DatabaseIndexes: []manifest.DatabaseIndex{{Name: "idx_patients_name_index", Parts: []manifest.IndexPart{{Column: "name_index"}}}}},
			{Name: visits, PrimaryKey: []string{"clinic", "number"}, Columns: []manifest.Column{
				{Name: "note", Type: manifest.StringValue, Context: in(visits, "note")},
				{Name: "doctor", Type: manifest.StringValue, Context: in(visits, "doctor"), Bind: []manifest.Bound{{Column: "clinic", Type: manifest.Text}, {Column: "number", Type: manifest.Integer}}},
			}},
		}
		if d := cmp.Diff(want, m.Tables); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		if _, err := gormcrypt.Manifest(where.Open(t, nil)); !errors.Is(err, gormcrypt.ErrNoPlugin) {
			t.Errorf("without the plugin: %v", err)
		}
	})
}

// keyless has rows that cannot be told apart.
type keyless struct {
	Note string `gorm:"serializer:encrypted"`
}

// other tells the rows of patients apart by something else.
type other struct {
	AccountID string `gorm:"primaryKey"`
	Name      string `gorm:"serializer:encrypted"`
}

func (other) TableName() string { return "patients" }

func TestManifestRefused(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, _, _ := rings(t)
		for _, c := range []struct {
			models []any
			want   string
		}{{[]any{&keyless{}}, "no primary key"}, {[]any{&patient{}, &other{}}, "describes it otherwise"}} {
			db := use(t, where, first, c.models...)
			if err := db.AutoMigrate(c.models[0]); err != nil {
				t.Fatal(err)
			}
			var refused *gormcrypt.ModelError
			if _, err := gormcrypt.Manifest(db); !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		}
	})
}
