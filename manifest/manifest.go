// Package manifest describes the encrypted columns of a database without the Go
// models that they come from, as JSON: for programs that rotate keys and check
// tables without the application's source, and to be checked in, so that a change
// that would leave values unreadable is seen before it is deployed, by Check of
// package migrations.
//
// A manifest holds names and options, and nothing of a key or a value. Who writes it
// is trusted as one who writes migrations is: parts of a [DatabaseIndex] are SQL.
package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// Format is the version of the format that this package writes. It reads no
// other.
const Format = 1

// Manifest lists the tables with encrypted columns, by name. Function
// gormcrypt.Manifest makes one from the models of a *gorm.DB.
type Manifest struct {
	Format int     `json:"format"`
	Tables []Table `json:"tables"`
}

// Table is a table with encrypted columns.
type Table struct {
	// Name is the table's name, with that of its schema in front if it has one:
	// "users", "public.users".
	Name string `json:"name"`
	// PrimaryKey names the columns of the primary key, in order.
	PrimaryKey []string `json:"primary_key"`
	Columns    []Column `json:"columns"`
	Indexes    []Index  `json:"indexes,omitempty"`
	// DatabaseIndexes are the indexes of the database on columns of blind indexes.
	DatabaseIndexes []DatabaseIndex `json:"database_indexes,omitempty"`
}

// UniqueUnderIndexKeys returns the columns, as "table.column", that have a unique
// constraint and hold what is sealed under index keys: deterministic columns and blind
// indexes. While two index keys are live, the constraint does not see that values under
// one and the other are equal.
func (t Table) UniqueUnderIndexKeys() []string {
	var all []string
	for _, column := range t.Columns {
		if column.Unique && column.Deterministic {
			all = append(all, t.Name+"."+column.Name)
		}
	}
	for _, index := range t.Indexes {
		if index.Unique {
			all = append(all, t.Name+"."+index.Name)
		}
	}
	return all
}

// Column is an encrypted column.
type Column struct {
	Name string `json:"name"`
	// Type is what its values are in Go.
	Type ValueType `json:"type"`
	// Migrating is "read" or "write" while the column may hold plaintext too, as the
	// tag of the field says, and empty otherwise.
	Migrating string `json:"migrating,omitempty"`
	// Beside is the column that takes the ciphertext while it is migrating, if this one
	// holds no text. It is empty otherwise.
	Beside string `json:"beside,omitempty"`
	// Context is the logical table and column in the associated data of its
	// values.
	Context Context `json:"context"`
	// Deterministic columns are sealed under index keys, others under data keys.
	Deterministic bool `json:"deterministic,omitempty"`
	// Unique says that the database does not admit equal ciphertexts.
	Unique bool `json:"unique,omitempty"`
	Binary bool `json:"binary,omitempty"`
	// Named values hold their context, as those of package encryptedtype do.
	Named bool `json:"named,omitempty"`
	// Pad is the multiple of bytes that plaintexts are padded to, or 0.
	Pad int `json:"pad,omitempty"`
	// Bind are the columns of the same row that values are bound to, in order.
	Bind []Bound `json:"bind,omitempty"`
}

// Config returns how package ciphertext calls the column.
func (c Column) Config() ciphertext.ColumnConfig {
	return ciphertext.ColumnConfig{
		Table: c.Context.Table, Column: c.Context.Column,
		Deterministic: c.Deterministic, Binary: c.Binary, Named: c.Named, Pad: c.Pad,
	}
}

// ValueType is what the values of a column are in Go, whatever their width. A value
// that was sealed as one type opens as the same, and a string also as bytes.
type ValueType string

// The types of values. AnyValue is one that differs from value to value.
const (
	StringValue ValueType = "string"
	BytesValue  ValueType = "bytes"
	IntValue    ValueType = "int"
	UintValue   ValueType = "uint"
	FloatValue  ValueType = "float"
	BoolValue   ValueType = "bool"
	TimeValue   ValueType = "time"
	JSONValue   ValueType = "json"
	AnyValue    ValueType = "any"
)

var valueTypes = []ValueType{StringValue, BytesValue, IntValue, UintValue, FloatValue, BoolValue, TimeValue, JSONValue, AnyValue}

// Context is the logical place of a value: the names that are part of its
// associated data, whatever the table and the column are called today.
type Context struct {
	Table  string `json:"table"`
	Column string `json:"column"`
}

// Bound is a column that values of another are bound to.
type Bound struct {
	Column string    `json:"column"`
	Type   BoundType `json:"type"`
}

// BoundType is the type that a bound value has in the associated data.
type BoundType string

// The types that can be bound.
const (
	Text    BoundType = "text"
	Integer BoundType = "integer"
	Bytes   BoundType = "bytes"
)

// Index is a blind index.
type Index struct {
	Name    string  `json:"name"`
	Context Context `json:"context"`
	// Of names the encrypted columns that the terms are made of, in order.
	Of []string `json:"of"`
	// Normalize are the names of the functions that text goes through, in order.
	Normalize []string `json:"normalize,omitempty"`
	Bits      int      `json:"bits,omitempty"`
	Slow      bool     `json:"slow,omitempty"`
	Unique    bool     `json:"unique,omitempty"`
	// Migrating is "read" or "write" while rows may have no term yet, as the tag of
	// the field says, and empty otherwise.
	Migrating string `json:"migrating,omitempty"`
}

// Config returns how package ciphertext calls the index. It returns an error for
// a normalization that is neither one of package ciphertext nor in own, which may
// be nil: the functions that a program has added.
func (x Index) Config(own map[string]func(string) string) (ciphertext.IndexConfig, error) {
	config := ciphertext.IndexConfig{Table: x.Context.Table, Column: x.Context.Column, Bits: x.Bits, Slow: x.Slow}
	for _, name := range x.Normalize {
		normalize, ok := own[name]
		if !ok {
			normalize, ok = ciphertext.Normalization(name)
		}
		if !ok {
			return config, fmt.Errorf("the function %s of normalize= is not known here; run this in a program that adds it to gormcrypt.Config.Normalizations", name)
		}
		config.Normalize = append(config.Normalize, normalize)
	}
	return config, nil
}

// Write writes the manifest as indented JSON.
func (m Manifest) Write(w io.Writer) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// Read reads a manifest and checks it. It returns an error that says where the
// manifest is wrong: members that it does not know, names that are missing or
// listed twice, columns that an index or a bind names and the table does not have.
func Read(r io.Reader) (Manifest, error) {
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	var m Manifest
	if err := decoder.Decode(&m); err != nil {
		return Manifest{}, fmt.Errorf("gormcrypt: reading the manifest: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Manifest{}, errors.New("gormcrypt: reading the manifest: something follows it")
	}
	return m, m.Check()
}

// Check returns what is wrong with the manifest, nil if it is complete.
func (m Manifest) Check() error {
	if m.Format != Format {
		return fmt.Errorf("gormcrypt: the manifest has format %d, and this program reads %d; write it again with gormcrypt.Manifest", m.Format, Format)
	}
	seen := map[string]bool{}
	for _, table := range m.Tables {
		if err := table.check(); err != nil {
			return fmt.Errorf("gormcrypt: the manifest, table %q: %w", table.Name, err)
		}
		if seen[table.Name] {
			return fmt.Errorf("gormcrypt: the manifest, table %q: it is listed twice", table.Name)
		}
		seen[table.Name] = true
	}
	return nil
}

func (t Table) check() error {
	switch {
	case t.Name == "" || strings.Contains(t.Name, "\x00"):
		return errors.New("it has no name")
	case len(t.PrimaryKey) == 0 || slices.Contains(t.PrimaryKey, ""):
		return errors.New("its primary key is missing")
	case len(t.Columns) == 0:
		return errors.New("it has no encrypted column")
	}
	seen := map[string]bool{}
	for _, name := range t.PrimaryKey {
		if seen[name] {
			return fmt.Errorf("%q is in its primary key twice", name)
		}
		seen[name] = true
	}
	for _, c := range t.Columns {
		if err := c.check(); err != nil {
			return fmt.Errorf("column %q: %w", c.Name, err)
		}
		if seen[c.Name] {
			return fmt.Errorf("column %q is listed twice, or is part of the primary key", c.Name)
		}
		seen[c.Name] = true
	}
	for _, x := range t.Indexes {
		switch {
		case x.Name == "" || x.Context.Table == "" || x.Context.Column == "":
			return fmt.Errorf("index %q: it has no name or no context", x.Name)
		case !isMigrating(x.Migrating):
			return fmt.Errorf("index %q: it cannot be migrating %q; want read, write or nothing", x.Name, x.Migrating)
		case len(x.Of) == 0:
			return fmt.Errorf("index %q: it does not say of what", x.Name)
		case seen[x.Name]:
			return fmt.Errorf("index %q is listed twice", x.Name)
		}
		seen[x.Name] = true
		for _, of := range x.Of {
			if !slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Name == of }) {
				return fmt.Errorf("index %q: it is of %q, which is no encrypted column", x.Name, of)
			}
		}
	}
	return t.checkDatabaseIndexes()
}

func isMigrating(mode string) bool { return mode == "" || mode == "read" || mode == "write" }

func (c Column) check() error {
	switch {
	case c.Name == "":
		return errors.New("it has no name")
	case c.Context.Table == "" || c.Context.Column == "":
		return errors.New("its context is missing")
	case !slices.Contains(valueTypes, c.Type):
		return fmt.Errorf("there is no type %q of values; want one of %v", c.Type, valueTypes)
	case !isMigrating(c.Migrating):
		return fmt.Errorf("it cannot be migrating %q; want read, write or nothing", c.Migrating)
	}
	for _, bound := range c.Bind {
		switch {
		case bound.Column == "" || bound.Column == c.Name:
			return fmt.Errorf("it cannot be bound to %q", bound.Column)
		case bound.Type != Text && bound.Type != Integer && bound.Type != Bytes:
			return fmt.Errorf("it is bound to a value of type %q; want text, integer or bytes", bound.Type)
		}
	}
	return nil
}
