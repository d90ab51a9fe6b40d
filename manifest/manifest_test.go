package manifest_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/manifest"
)

const example = `{
  "format": 1,
  "tables": [
    {
      "name": "public.customers",
      "primary_key": ["tenant", "id"],
      "columns": [
        {"name": "email", "type": "string", "context": {"table": "customers", "column": "email"}, "pad": 64},
        {"name": "tax_id", "type": "string", "context": {"table": "customers", "column": "tax_id"}, "deterministic": true, "unique": true},
        {"name": "payout", "type": "string", "context": {"table": "customers", "column": "payout"}, "binary": true, "named": true,
         "bind": [{"column": "tenant", "type": "text"}, {"column": "id", "type": "integer"}]}
      ],
      "indexes": [
        {"name": "email_index", "context": {"table": "customers", "column": "email_index"}, "of": ["email"], "normalize": ["trim", "lower"], "bits": 24}
      ],
      "database_indexes": [
        {"name": "by_email", "unique": true, "using": "btree", "where": "tenant <> ''", "parts": [
          {"column": "tenant", "collate": "C", "sort": "desc"}, {"column": "email_index", "expression": "lower(email_index)"}]}
      ]
    }
  ]
}`

func TestManifestIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	m, err := manifest.Read(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := m.Write(&text); err != nil {
		t.Fatal(err)
	}
	again, err := manifest.Read(&text)
	if err != nil || !reflect.DeepEqual(m, again) {
		t.Errorf("%v: first %+v, again %+v", err, m, again)
	}
	table := m.Tables[0]
	want := ciphertext.ColumnConfig{Table: "customers", Column: "payout", Binary: true, Named: true}
	if got := table.Columns[2].Config(); got != want {
		t.Errorf("payout is %+v", got)
	}
	config, err := table.Indexes[0].Config(nil)
	if err != nil || config.Bits != 24 || len(config.Normalize) != 2 || config.Normalize[1](config.Normalize[0](" A ")) != "a" {
		t.Errorf("email_index is %+v: %v", config, err)
	}
	byEmail := manifest.DatabaseIndex{Name: "by_email", Unique: true, Using: "btree", Where: "tenant <> ''", Parts: []manifest.IndexPart{
		{Column: "tenant", Collate: "C", Sort: "desc"}, {Column: "email_index", Expression: "lower(email_index)"},
	}}
	if got := table.DatabaseIndexes; len(got) != 1 || !reflect.DeepEqual(got[0], byEmail) {
		t.Errorf("by_email is %+v", got)
	}
}

// A function that a program has registered is needed where its index is made.
func TestIndexWithAFunctionOfTheProgram(t *testing.T) {
	t.Parallel()
	index := manifest.Index{Name: "x", Normalize: []string{"soundex"}}
	if _, err := index.Config(nil); err == nil || !strings.Contains(err.Error(), "soundex") {
		t.Errorf("%v", err)
	}
	own := map[string]func(string) string{"soundex": strings.ToUpper}
	if config, err := index.Config(own); err != nil || config.Normalize[0]("a") != "A" {
		t.Errorf("%v", err)
	}
}

func TestReadRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, from, to, want string }{
		{"nothing", example, ``, "EOF"},
		{"another format", `"format": 1`, `"format": 2`, "format 2"},
		{"an unknown member", `"format": 1,`, `"format": 1, "secret": true,`, "secret"},
		{"something behind it", "\n  ]\n}", "\n  ]\n} {}", "follows"},
		{"no table name", `"public.customers"`, `""`, "no name"},
		{"no primary key", `["tenant", "id"]`, `[]`, "primary key"},
		{"a key twice", `["tenant", "id"]`, `["id", "id"]`, "twice"},
		{"a column twice", `"name": "tax_id"`, `"name": "email"`, "twice"},
		{"an encrypted key", `"name": "tax_id"`, `"name": "id"`, "primary key"},
		{"no context", `"context": {"table": "customers", "column": "tax_id"}`, `"context": {"table": "", "column": ""}`, "context"},
		{"an index of what is not there", `"of": ["email"]`, `"of": ["e-mail"]`, "no encrypted column"},
		{"an index of nothing", `"of": ["email"]`, `"of": []`, "of what"},
		{"an index without a context", `"context": {"table": "customers", "column": "email_index"}`, `"context": {"table": "", "column": ""}`, "context"},
		{"an index twice", `"name": "email_index"`, `"name": "email"`, "twice"},
		{"no type of values", `"type": "string"`, `"type": ""`, "type"},
		{"another state of a migration", `"name": "email",`, `"name": "email", "migrating": "done",`, "done"},
		{"another state of an index", `"name": "email_index",`, `"name": "email_index", "migrating": "done",`, "done"},
		{"a type that cannot be bound", `"type": "integer"`, `"type": "float"`, "float"},
		{"a database index without a name", `"name": "by_email"`, `"name": ""`, "no name"},
		{"a database index twice", `{"name": "by_email",`, `{"name": "by_email", "parts": [{"column": "email_index"}]}, {"name": "by_email",`, "twice"},
		{"a part of a database index without a column", `{"column": "tenant", "collate": "C"`, `{"collate": "C"`, "name its column"},
		{"a database index of other columns", `{"column": "email_index", "expression"`, `{"column": "email", "expression"`, "no part of it is a blind index"},
		{"an unknown member of a database index", `"using": "btree"`, `"method": "btree"`, "method"},
		{"an unknown member of a part", `"sort": "desc"`, `"order": "desc"`, "order"},
		{"a bind to itself", `{"column": "tenant", "type": "text"}`, `{"column": "payout", "type": "text"}`, "bound to"},
	} {
		text := strings.Replace(example, c.from, c.to, 1)
		if text == example {
			t.Fatalf("%s: nothing was replaced", c.what)
		}
		if _, err := manifest.Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %q", c.what, err, c.want)
		}
	}
	var m manifest.Manifest
	if err := json.Unmarshal([]byte(example), &m); err != nil {
		t.Fatal(err)
	}
	m.Tables = append(m.Tables, m.Tables[0])
	if err := m.Check(); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("a table twice: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"format":1,"tables":[]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := manifest.Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		var written bytes.Buffer
		if err := m.Write(&written); err != nil {
			t.Fatal(err)
		}
		again, err := manifest.Read(&written)
		if err != nil || len(m.Tables) != len(again.Tables) {
			t.Errorf("%v: first %+v, again %+v", err, m, again)
		}
	})
}
