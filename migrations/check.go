package migrations

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// ErrOrphans: models have changed so that stored data would not be read, or not be
// found. The error is one or more of *Change.
var ErrOrphans = errors.New("stored data would not be read, or not be found, by the models as they are now")

// Change is a change of a model that leaves stored data behind.
type Change struct {
	// Table and Column are where it is stored: as the manifest has it or, of what is
	// not in the manifest, as the models have it. Column may be a blind index.
	Table, Column string
	// Problem says what has changed, and what comes of it.
	Problem string
	// Fix says what to change in the models, or to deploy first.
	Fix string
}

// Error returns the column, the problem and the fix.
func (c *Change) Error() string {
	return fmt.Sprintf("gormcrypt: %s.%s: %s; %s", c.Table, c.Column, c.Problem, c.Fix)
}

// Unwrap returns ErrOrphans.
func (c *Change) Unwrap() error { return ErrOrphans }

// Check compares the models of today with a manifest of the last deployment, which
// [gormcrypt.Manifest] wrote, and returns an error if stored data would not be read,
// or not be found. It needs neither a database nor a key, so that a unit test fails
// before such a change is deployed:
//
//	m, err := manifest.Read(file)
//	if err := migrations.Check(m, &Customer{}, &Order{}); err != nil {
//		t.Fatal(err)
//	}
//
// Models are those of [gormcrypt.Config]. When a deployment is done, or a column was
// dropped on purpose, write the manifest again. Whether rows are left in a migration is
// for the database to say: that a column was migrating=write and is not any more is no
// finding.
//
// The error joins a *[Change] for each finding, in the order of tables and columns;
// errors.Is tells them by [ErrOrphans] from other errors: a manifest that cannot be,
// and a *[gormcrypt.ModelError]. A blind index that is gone is no finding: nothing is
// searched by it any more, but by programs of the last deployment while they run, which
// do not find what this one writes. What the manifest does not tell is not found: a
// field that a value is bound to counts as renamed if the model has it no more, and
// functions of normalize= and JSON as what they were.
//
// Use [CheckDB] if the program has a NamingStrategy, or Normalizations that it adds.
func Check(m manifest.Manifest, models ...any) error {
	keys, err := keyring.Generate() // a plugin wants one; nothing is sealed for keeps
	if err != nil {
		return err
	}
	db, err := gorm.Open(noDatabase{}, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return err
	}
	plugin := gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models, Normalizations: standIns(m)})
	if err := db.Use(plugin); err != nil {
		return fmt.Errorf("%w (if the program has Normalizations or a NamingStrategy, call migrations.CheckDB instead)", err)
	}
	return CheckDB(m, db)
}

// CheckDB is [Check] with the models of a *gorm.DB that has the plugin, with its
// NamingStrategy and Normalizations. It sends nothing to the database; tables need
// not exist. It returns [gormcrypt.ErrNoPlugin] too.
func CheckDB(m manifest.Manifest, db *gorm.DB) error {
	if err := m.Check(); err != nil {
		return err
	}
	declared, err := gormcrypt.Declarations(db)
	if err != nil {
		return err
	}
	c, err := newComparison(m, declared)
	if err != nil {
		return err
	}
	c.followIndexes()
	c.compareColumns()
	c.compareIndexes()
	slices.SortStableFunc(c.found, func(a, b *Change) int {
		return cmp.Or(cmp.Compare(a.Table, b.Table), cmp.Compare(a.Column, b.Column))
	})
	var all []error
	for _, change := range c.found {
		all = append(all, change)
	}
	return errors.Join(all...)
}

// standIns are functions for the names in the manifest that a program must have
// added: what is compared are the names.
func standIns(m manifest.Manifest) map[string]func(string) string {
	functions := map[string]func(string) string{}
	for _, table := range m.Tables {
		for _, x := range table.Indexes {
			for _, name := range x.Normalize {
				if _, ok := ciphertext.Normalization(name); !ok {
					functions[name] = func(s string) string { return s }
				}
			}
		}
	}
	return functions
}

// noDatabase is a dialect for models that are parsed and never used.
type noDatabase struct{ gorm.Dialector }

func (noDatabase) Name() string { return "none" }

func (noDatabase) Initialize(*gorm.DB) error { return nil }

// QuoteTo is called for the names of tables in a schema.
func (noDatabase) QuoteTo(w clause.Writer, name string) { _, _ = w.WriteString(name) }
