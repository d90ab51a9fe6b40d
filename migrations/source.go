package migrations

import (
	"fmt"
	"slices"
	"strings"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/sources"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// Column returns the migration of a field of a model: an encrypted one, whose column
// holds plaintext now, or a BlindIndex of fields that are encrypted already. The
// *gorm.DB has the plugin, with the model. The field is named as in Go, or as its
// column.
//
// It returns gormcrypt.ErrNoPlugin, a *gormcrypt.ModelError for a field that is not
// encrypted, an error if the table is not there, and that of the database.
func Column(db *gorm.DB, model any, field string) (*Migration, error) {
	plugin := sources.Plugin(db)
	if plugin == nil {
		return nil, fmt.Errorf("gormcrypt: %w", gormcrypt.ErrNoPlugin)
	}
	all, err := gormcrypt.Manifest(db)
	if err != nil {
		return nil, err
	}
	stmt := &gorm.Statement{DB: db}
	if err := stmt.Parse(model); err != nil {
		return nil, fmt.Errorf("gormcrypt: parsing the model %T: %w", model, err)
	}
	table := tableOf(all, stmt.Schema.Table)
	if table == nil {
		return nil, fmt.Errorf("gormcrypt: there is no table %s with encrypted columns; list the model in gormcrypt.Config.Models, and have it migrated where the table is", stmt.Schema.Table)
	}
	name := ""
	if found := stmt.Schema.LookUpField(field); found != nil {
		name = found.DBName
	}
	if !slices.Contains(namesOf(*table), name) {
		return nil, &gormcrypt.ModelError{Model: stmt.Schema.ModelType.String(), Field: field, Problem: "it has no encrypted field and no blind index of that name", Fix: "write the name of a field that is marked as encrypted, or of a BlindIndex"}
	}
	return newMigration(db, source{plugin.Cipher(), plugin.Normalizations(), thisProgram}, *table, name)
}

// Source is what a migration needs to know where there are no models: what is
// encrypted, and by which keys.
type Source struct {
	// Manifest is that of the programs that run, which gormcrypt.Manifest writes. Each
	// deployment of a migration has one of its own: a step that wants a field to have
	// migrating=write looks for that here.
	Manifest manifest.Manifest
	// Keys are loaded once, with the context of the *gorm.DB.
	Keys keyring.Source
	// Algorithm and Normalizations are those of gormcrypt.Config.
	Algorithm      ciphertext.Algorithm
	Normalizations map[string]func(string) string
}

// OfManifest returns the migration of a column, or of a blind index, as [Column] does,
// by a manifest in place of a model. The *gorm.DB is without the plugin. Table and
// column are named as in the manifest. It sends nothing to the database.
//
// It returns an error if the *gorm.DB has the plugin; what is wrong with the manifest;
// an error for a table or a column that it does not have, with those that it has; and
// that of the source of keys.
func OfManifest(db *gorm.DB, from Source, table, column string) (*Migration, error) {
	switch {
	case sources.Plugin(db) != nil:
		return nil, fmt.Errorf("gormcrypt: the *gorm.DB has the plugin, which has models and keys already; call migrations.Column, or open a *gorm.DB without it")
	case from.Keys == nil:
		return nil, fmt.Errorf("gormcrypt: there are no keys; set Source.Keys")
	}
	if err := from.Manifest.Check(); err != nil {
		return nil, err
	}
	found := tableOf(from.Manifest, table)
	if found == nil {
		var has []string
		for _, one := range from.Manifest.Tables {
			has = append(has, one.Name)
		}
		return nil, fmt.Errorf("gormcrypt: the manifest has no table %q; it has %s", table, listed(has))
	}
	if has := namesOf(*found); !slices.Contains(has, column) {
		return nil, fmt.Errorf("gormcrypt: the manifest has no encrypted column and no blind index %q of the table %s; it has %s", column, table, listed(has))
	}
	keys, err := from.Keys.Load(db.Statement.Context)
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: loading the keyring: %w", err)
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{Algorithm: from.Algorithm})
	if err != nil {
		return nil, err
	}
	return newMigration(db, source{cipher, from.Normalizations, theManifest}, *found, column)
}

// source is where the keys of a migration come from, and what it was described by.
type source struct {
	cipher         *ciphertext.Cipher
	normalizations map[string]func(string) string
	description
}

// description says what has the field with its migrating=, and how it gets another.
type description struct{ where, renew, addRead string }

var (
	thisProgram = description{"in this program", "deploy that here too", `add encrypt:"migrating=read"`}
	theManifest = description{"in the manifest", "have a program that is deployed so write it anew, with gormcrypt.Manifest", `have a program with encrypt:"migrating=read" write it anew, with gormcrypt.Manifest`}
)

// newMigration returns the migration of what a table has.
func newMigration(db *gorm.DB, from source, table manifest.Table, name string) (*Migration, error) {
	pool, err := db.DB()
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: %w", err)
	}
	m := &Migration{
		db: db, pool: pool, source: from, table: table, name: name,
		store: store{pool, db.Dialector.Name() == "postgres", table.Name, name},
	}
	if at := slices.IndexFunc(table.Indexes, func(x manifest.Index) bool { return x.Name == name }); at >= 0 {
		m.index, m.indexes = &table.Indexes[at], []manifest.Index{table.Indexes[at]}
	} else {
		m.column = table.Columns[slices.IndexFunc(table.Columns, func(c manifest.Column) bool { return c.Name == name })]
		for _, index := range table.Indexes {
			if len(index.Of) == 1 && index.Of[0] == name {
				m.indexes = append(m.indexes, index)
			}
		}
	}
	for _, x := range table.DatabaseIndexes {
		if slices.ContainsFunc(m.indexes, func(blind manifest.Index) bool { return x.IsOf(blind.Name) }) {
			m.wanted = append(m.wanted, x)
		}
	}
	return m, nil
}

// tableOf returns a table of a manifest, nil if it has none of that name.
func tableOf(m manifest.Manifest, name string) *manifest.Table {
	at := slices.IndexFunc(m.Tables, func(t manifest.Table) bool { return t.Name == name })
	if at < 0 {
		return nil
	}
	return &m.Tables[at]
}

// namesOf returns the names of what can be migrated in a table.
func namesOf(t manifest.Table) []string {
	var all []string
	for _, column := range t.Columns {
		all = append(all, column.Name)
	}
	for _, index := range t.Indexes {
		all = append(all, index.Name)
	}
	return all
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
