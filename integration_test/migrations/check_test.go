package migrations_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// deploy opens the database as a program with these models does.
func deploy(t *testing.T, where testdb.Database, keys *keyring.Keyring, models ...any) *gorm.DB {
	t.Helper()
	db := where.Open(t, nil)
	if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: models})); err != nil {
		t.Fatal(err)
	}
	return db
}

func newKeys(t *testing.T) *keyring.Keyring {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func alter(t *testing.T, where testdb.Database, statements ...string) {
	t.Helper()
	pool := where.Plain(t)
	for _, statement := range statements {
		if _, err := pool.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// checked compares a manifest of one program with the models of another, in both ways
// that there are.
func checked(t *testing.T, m manifest.Manifest, db *gorm.DB, models ...any) error {
	t.Helper()
	err, byDB := migrations.Check(m, models...), migrations.CheckDB(m, db)
	if fmt.Sprint(err) != fmt.Sprint(byDB) {
		t.Errorf("Check: %v\nCheckDB: %v", err, byDB)
	}
	return err
}

func manifestOf(t *testing.T, db *gorm.DB) manifest.Manifest {
	t.Helper()
	m, err := gormcrypt.Manifest(db)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// change is a change of a model, between two deployments.
type change struct {
	name string
	// before returns a row, which is stored, and after one that is read into. What
	// is compared is the field V.
	before, after func() any
	// alter is what the second deployment does to the tables, before AutoMigrate.
	alter []string
	// find is what V is compared with, where the second program searches by it.
	find any
	// refused is a part of the finding, if the row is not read, or not found.
	refused string
}

type index = encryptedtype.BlindIndex

// The models of the changes all have the name member, and so the table members.

func plainModel() any {
	type member struct {
		ID int64
		V  string `gorm:"serializer:encrypted"`
	}
	return &member{1, "SECRET"}
}

func boundModel() any {
	type member struct {
		ID   int64
		A, B string
		V    string `gorm:"serializer:encrypted" encrypt:"bind=A,B"`
	}
	return &member{1, "7", "8", "SECRET"}
}

func bytesModel() any {
	type member struct {
		ID int64
		V  []byte `gorm:"serializer:encrypted;type:text"`
	}
	return &member{1, []byte("SECRET")}
}

func binaryModel() any {
	type member struct {
		ID int64
		V  string `gorm:"serializer:encrypted;type:bytes"`
	}
	return &member{1, "SECRET"}
}

func anyModel() any {
	type member struct {
		ID int64
		V  any `gorm:"serializer:encrypted;type:text"`
	}
	return &member{1, "SECRET"}
}

func intModel() any {
	type member struct {
		ID int64
		V  int64 `gorm:"serializer:encrypted;type:text"`
	}
	return &member{1, 42}
}

func uintModel() any {
	type member struct {
		ID int64
		V  uint8 `gorm:"serializer:encrypted;type:text"`
	}
	return &member{1, 42}
}

func floatModel() any {
	type member struct {
		ID int64
		V  float64 `gorm:"serializer:encrypted;type:text"`
	}
	return &member{1, 42}
}

func boolModel() any {
	type member struct {
		ID int64
		V  bool `gorm:"serializer:encrypted;type:text"`
	}
	return &member{1, true}
}

func timeModel() any {
	type member struct {
		ID int64
		V  time.Time `gorm:"serializer:encrypted;type:text"`
	}
	return &member{1, time.Unix(1, 0).UTC()}
}

func jsonModel() any {
	type member struct {
		ID int64
		V  map[string]string `gorm:"serializer:encrypted"`
	}
	return &member{1, map[string]string{"A": "b"}}
}

func deterministicModel() any {
	type member struct {
		ID int64
		V  string `gorm:"serializer:encrypted" encrypt:"deterministic"`
	}
	return &member{1, "SECRET"}
}

func indexedModel() any {
	type member struct {
		ID     int64
		V      string `gorm:"serializer:encrypted"`
		VIndex index  `encrypt:"of=V,normalize=lower"`
	}
	return &member{ID: 1, V: "SECRET"}
}

func oldContextModel() any {
	type member struct {
		ID int64
		V  string `gorm:"serializer:encrypted" encrypt:"context=old.v"`
	}
	return &member{1, "SECRET"}
}

func readModel() any {
	type member struct {
		ID int64
		V  string `gorm:"serializer:encrypted" encrypt:"migrating=read"`
	}
	return &member{1, "SECRET"}
}

func writeModel() any {
	type member struct {
		ID int64
		V  string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
	}
	return &member{1, "SECRET"}
}

func indexedWriteModel() any {
	type member struct {
		ID     int64
		V      string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		VIndex index  `encrypt:"of=V"`
	}
	return &member{ID: 1, V: "SECRET"}
}

var (
	renameV = []string{"ALTER TABLE members RENAME COLUMN v TO w"}
	renameT = []string{"ALTER TABLE members RENAME TO patrons"}
)

// renames are changes of names, of columns and of what they are bound to.
func renames() []change {
	return []change{
		{name: "nothing", before: plainModel, after: plainModel},
		{name: "column", before: plainModel, alter: renameV, after: func() any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted;column:w"`
			}
			return &member{}
		}, refused: "members.v: no model has this encrypted column any more; if it was renamed to members.w, add context=members.v to"},
		{name: "column, with context", before: plainModel, alter: renameV, after: func() any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted;column:w" encrypt:"context=members.v"`
			}
			return &member{}
		}},
		{name: "table", before: plainModel, alter: renameT, after: func() any {
			type patron struct {
				ID int64
				V  string `gorm:"serializer:encrypted"`
			}
			return &patron{}
		}, refused: "members.v: no model has this encrypted column any more; if it was renamed to patrons.v, add context=members.v to"},
		{name: "table, with context", before: indexedModel, alter: renameT, find: "secret", after: func() any {
			type patron struct {
				ID     int64
				V      string `gorm:"serializer:encrypted" encrypt:"context=members.v"`
				VIndex index  `encrypt:"of=V,normalize=lower,context=members.v_index"`
			}
			return &patron{}
		}},
		{name: "table, with context but of the index", before: indexedModel, alter: renameT, find: "secret", after: func() any {
			type patron struct {
				ID     int64
				V      string `gorm:"serializer:encrypted" encrypt:"context=members.v"`
				VIndex index  `encrypt:"of=V,normalize=lower"`
			}
			return &patron{}
		}, refused: "patrons.v_index: the blind index is new, and what is stored has no term of it: searches by it would miss that; deploy it with migrating=read first; if it is members.v_index under a new name, add context=members.v_index"},
		{name: "column moved, with context", before: plainModel, alter: []string{"CREATE TABLE vaults AS SELECT id, v FROM members"}, after: func() any {
			type vault struct {
				ID int64
				V  string `gorm:"serializer:encrypted" encrypt:"context=members.v"`
			}
			return &vault{}
		}},
		{name: "context changed", before: plainModel, after: oldContextModel, refused: "members.v: its context was members.v and is old.v, so its values do not open; write context=members.v"},
		{name: "context removed", before: oldContextModel, after: plainModel, refused: "write context=old.v"},
		{name: "column that an index is of", before: indexedModel, alter: renameV, find: "Secret", after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted;column:w" encrypt:"context=members.v"`
				VIndex index  `encrypt:"of=V,normalize=lower"`
			}
			return &member{}
		}},
		{name: "index, with context", before: indexedModel, alter: []string{"ALTER TABLE members RENAME COLUMN v_index TO w"}, find: "Secret", after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `gorm:"column:w" encrypt:"of=V,normalize=lower,context=members.v_index"`
			}
			return &member{}
		}},
		{name: "context of an index", before: indexedModel, find: "Secret", refused: "write context=members.v_index in its encrypt tag", after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V,normalize=lower,context=old.v_index"`
			}
			return &member{}
		}},
	}
}

func binds() []change {
	return []change{
		{name: "added", before: plainModel, after: boundModel, refused: "bound to nothing",
			alter: []string{"ALTER TABLE members ADD COLUMN a text DEFAULT '7'", "ALTER TABLE members ADD COLUMN b text DEFAULT '8'"}},
		{name: "removed", before: boundModel, refused: "bound to a (text), b (text), and do not open bound to a (text)", after: func() any {
			type member struct {
				ID   int64
				A, B string
				V    string `gorm:"serializer:encrypted" encrypt:"bind=A"`
			}
			return &member{}
		}},
		{name: "in another order", before: boundModel, refused: "bound to b (text), a (text)", after: func() any {
			type member struct {
				ID   int64
				A, B string
				V    string `gorm:"serializer:encrypted" encrypt:"bind=B,A"`
			}
			return &member{}
		}},
		{name: "integer for text", before: boundModel, refused: "a (integer)", after: func() any {
			type member struct {
				ID int64
				A  int64
				B  string
				V  string `gorm:"serializer:encrypted" encrypt:"bind=A,B"`
			}
			return &member{}
		}},
		{name: "bytes for text", before: boundModel, refused: "a (bytes)", after: func() any {
			type member struct {
				ID int64
				A  []byte
				B  string
				V  string `gorm:"serializer:encrypted" encrypt:"bind=A,B"`
			}
			return &member{}
		}},
		{name: "another integer", before: func() any {
			type member struct {
				ID, A int64
				V     string `gorm:"serializer:encrypted" encrypt:"bind=A"`
			}
			return &member{1, 7, "SECRET"}
		}, after: func() any {
			type member struct {
				ID int64
				A  uint8
				V  string `gorm:"serializer:encrypted" encrypt:"bind=A"`
			}
			return &member{}
		}},
		{name: "renamed", before: boundModel, alter: []string{"ALTER TABLE members RENAME COLUMN a TO c"}, after: func() any {
			type member struct {
				ID   int64
				C, B string
				V    string `gorm:"serializer:encrypted" encrypt:"bind=C,B"`
			}
			return &member{}
		}},
		{name: "to another column", before: boundModel, alter: []string{"ALTER TABLE members ADD COLUMN c text DEFAULT '9'"}, refused: "c (text)", after: func() any {
			type member struct {
				ID      int64
				A, B, C string
				V       string `gorm:"serializer:encrypted" encrypt:"bind=C,B"`
			}
			return &member{}
		}},
	}
}

func types() []change {
	return []change{
		{name: "string to int", before: plainModel, after: intModel, refused: "type string, and do not open as int64"},
		{name: "string to map", before: plainModel, after: jsonModel, refused: "do not open as map[string]string"},
		{name: "string to bytes", before: plainModel, after: bytesModel},
		{name: "bytes to string", before: bytesModel, after: plainModel},
		{name: "string to any", before: plainModel, after: anyModel},
		{name: "any to string", before: anyModel, after: plainModel},
		{name: "string to a type of package encryptedtype", before: plainModel, after: func() any {
			type member struct {
				ID int64
				V  encryptedtype.EncryptedString
			}
			return &member{}
		}},
		{name: "int to string", before: intModel, after: plainModel, refused: "type int, and do not open as string"},
		{name: "int to uint", before: intModel, after: uintModel},
		{name: "uint to int", before: uintModel, after: intModel},
		{name: "int to float", before: intModel, after: floatModel, refused: "do not open as float64"},
		{name: "float to int", before: floatModel, after: intModel, refused: "type float"},
		{name: "bool to int", before: boolModel, after: intModel, refused: "type bool"},
		{name: "time to string", before: timeModel, after: plainModel, refused: "type time"},
		{name: "map to string", before: jsonModel, after: plainModel, refused: "type json"},
		{name: "map to bytes", before: jsonModel, after: bytesModel, refused: "type json"},
		{name: "map to raw JSON", before: jsonModel, after: func() any {
			type member struct {
				ID int64
				V  json.RawMessage `gorm:"serializer:encrypted;type:text"`
			}
			return &member{}
		}},
		{name: "map to struct", before: jsonModel, after: func() any {
			type member struct {
				ID int64
				V  struct{ A string } `gorm:"serializer:encrypted"`
			}
			return &member{}
		}},
		{name: "int to a Scanner that takes it", before: intModel, after: func() any {
			type member struct {
				ID int64
				V  sql.NullString `gorm:"serializer:encrypted;type:text"`
			}
			return &member{}
		}},
		{name: "string to a Scanner that does not take it", before: plainModel, refused: "do not open as sql.NullInt64", after: func() any {
			type member struct {
				ID int64
				V  sql.NullInt64 `gorm:"serializer:encrypted;type:text"`
			}
			return &member{}
		}},
	}
}

// forms are changes of what ciphertext looks like.
func forms() []change {
	return []change{
		{name: "padded", before: plainModel, after: func() any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted" encrypt:"pad=32"`
			}
			return &member{}
		}},
		{name: "binary", before: plainModel, after: binaryModel},
		{name: "deterministic", before: deterministicModel, after: deterministicModel, find: "SECRET"},
		{name: "made deterministic", before: plainModel, after: deterministicModel, find: "SECRET", refused: "it is deterministic now"},
		{name: "not deterministic any more", before: deterministicModel, after: plainModel, find: "SECRET", refused: "it is not deterministic any more"},
		{name: "deterministic, to bytes", before: deterministicModel, find: []byte("SECRET"), refused: "its values were of the type string and are of the type bytes: stored values open, but are not found", after: func() any {
			type member struct {
				ID int64
				V  []byte `gorm:"serializer:encrypted;type:text" encrypt:"deterministic"`
			}
			return &member{}
		}},
		{name: "deterministic, padded", before: deterministicModel, find: "SECRET", refused: "its pad= was 0 and is 32", after: func() any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted" encrypt:"deterministic,pad=32"`
			}
			return &member{}
		}},
		{name: "deterministic, binary", before: deterministicModel, find: "SECRET", refused: "changed between text and bytes", after: func() any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted;type:bytes" encrypt:"deterministic"`
			}
			return &member{}
		}},
		{name: "deterministic, named", before: deterministicModel, find: "SECRET", refused: "became one of package encryptedtype", after: func() any {
			type member struct {
				ID int64
				V  encryptedtype.EncryptedString `encrypt:"deterministic"`
			}
			return &member{}
		}},
	}
}

func indexes() []change {
	return []change{
		{name: "unchanged", before: indexedModel, after: indexedModel, find: "Secret"},
		{name: "removed", before: indexedModel, after: plainModel},
		{name: "normalize", before: indexedModel, find: "SECRET", refused: "was of=v,normalize=lower and is of=v,normalize=lower+digits, so", after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V,normalize=lower+digits"`
			}
			return &member{}
		}},
		{name: "bits", before: indexedModel, find: "secret", refused: "is of=v,normalize=lower,bits=64, so", after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V,normalize=lower,bits=64"`
			}
			return &member{}
		}},
		{name: "slow", before: indexedModel, find: "secret", refused: "is of=v,normalize=lower,slow, so", after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V,normalize=lower,slow"`
			}
			return &member{}
		}},
		{name: "of", find: "SECRET", refused: "was of=u and is of=v, so", before: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				U      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=U"`
			}
			return &member{ID: 1, V: "SECRET", U: "OTHER"}
		}, after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				U      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V"`
			}
			return &member{}
		}},
		{name: "type of what it is of", find: []byte("SECRET"), refused: "members.v_index: the type of v has changed", before: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V"`
			}
			return &member{ID: 1, V: "SECRET"}
		}, after: func() any {
			type member struct {
				ID     int64
				V      []byte `gorm:"serializer:encrypted;type:text"`
				VIndex index  `encrypt:"of=V"`
			}
			return &member{}
		}},
		{name: "new", before: plainModel, after: indexedModel, find: "secret", refused: "members.v_index: the blind index is new"},
		{name: "new and migrating", before: plainModel, after: func() any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V,migrating=read"`
			}
			return &member{}
		}},
		{name: "new, of a column that was migrating=read", before: readModel, after: indexedWriteModel, find: "SECRET"},
		{name: "new, of a column that was migrating=write", before: writeModel, after: indexedWriteModel, find: "SECRET", refused: "members.v_index: the blind index is new"},
	}
}

// revealed returns the field V of a row as text, whatever its type.
func revealed(row any) string {
	switch v := reflect.ValueOf(row).Elem().FieldByName("V").Interface().(type) {
	case encryptedtype.EncryptedString:
		return v.Reveal()
	case sql.NullString:
		return v.String
	case []byte:
		return string(v)
	case map[string]string, struct{ A string }, json.RawMessage:
		text, err := json.Marshal(v)
		return fmt.Sprint(string(text), err)
	default:
		return fmt.Sprint(v)
	}
}

// What Check says is what happens to a row that the program before has written.
func TestCheckSaysWhatHappens(t *testing.T) {
	t.Parallel()
	for group, changes := range map[string]func() []change{"names": renames, "bind": binds, "types": types, "forms": forms, "indexes": indexes} {
		for _, c := range changes() {
			t.Run(group+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				testdb.Each(t, c.run)
			})
		}
	}
}

func (c change) run(t *testing.T, where testdb.Database) {
	keys := newKeys(t)
	row, read := c.before(), c.after()
	first := deploy(t, where, keys, row)
	if err := errors.Join(first.AutoMigrate(row), first.Create(row).Error); err != nil {
		t.Fatal(err)
	}
	m := manifestOf(t, first)
	alter(t, where, c.alter...)
	second := deploy(t, where, keys, read)
	if err := second.AutoMigrate(read); err != nil {
		t.Fatal(err)
	}

	found := checked(t, m, second, read)
	reflect.ValueOf(read).Elem().SetZero()
	query := second
	if c.find != nil {
		query = second.Where("v = ?", c.find)
		if second.Migrator().HasColumn(read, "w") && !second.Migrator().HasColumn(read, "v") {
			query = second.Where("w = ?", c.find)
		}
	}
	err := query.First(read).Error
	if err == nil && revealed(read) != revealed(row) {
		err = fmt.Errorf("%s is read as %s", revealed(row), revealed(read))
	}
	if (found == nil) != (err == nil) {
		t.Errorf("Check: %v\nthe second program: %v", found, err)
	}
	if found != nil && !errors.Is(found, migrations.ErrOrphans) {
		t.Errorf("%v is not ErrOrphans", found)
	}
	if !strings.Contains(fmt.Sprint(found), c.refused) || strings.Contains(fmt.Sprint(found), "\n") || (found == nil) != (c.refused == "") {
		t.Errorf("Check: %v\nwant one with %q", found, c.refused)
	}
}

// A column of bytes that becomes one of text opens as it is, but PostgreSQL casts bytes
// to hexadecimal digits, and AutoMigrate has it do so.
func TestCheckOfBytesThatBecomeText(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys := newKeys(t)
		first, second := deploy(t, where, keys, binaryModel()), deploy(t, where, keys, plainModel())
		if err := errors.Join(first.AutoMigrate(binaryModel()), first.Create(binaryModel()).Error); err != nil {
			t.Fatal(err)
		}
		if err := checked(t, manifestOf(t, first), second, plainModel()); !errors.Is(err, migrations.ErrOrphans) || !strings.Contains(err.Error(), "members.v: its column was of bytes and is of text") {
			t.Errorf("Check: %v", err)
		}
		if err := second.First(plainModel()).Error; err != nil {
			t.Errorf("the column as it was: %v", err)
		}
		if err := second.AutoMigrate(plainModel()); err != nil {
			t.Fatal(err)
		}
		if err := second.First(plainModel()).Error; (err == nil) != (where.Name == "sqlite") {
			t.Errorf("the column of text: %v", err)
		}
	})
}

// steps are a model as each deployment of a migration has it. W has the table in the
// manifest of the one that does not encrypt V.
func steps() map[string]func(v string) any {
	return map[string]func(v string) any{
		"absent": func(v string) any {
			type member struct {
				ID int64
				V  string
				W  string `gorm:"serializer:encrypted"`
			}
			return &member{V: v}
		},
		"read": func(v string) any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted" encrypt:"migrating=read"`
				W  string `gorm:"serializer:encrypted"`
			}
			return &member{V: v}
		},
		"write": func(v string) any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted" encrypt:"migrating=write"`
				W  string `gorm:"serializer:encrypted"`
			}
			return &member{V: v}
		},
		"settled": func(v string) any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted"`
				W  string `gorm:"serializer:encrypted"`
			}
			return &member{V: v}
		},
	}
}

// A step of a migration is refused if programs of the two deployments would not read
// what the other writes.
func TestCheckOfSteps(t *testing.T) {
	t.Parallel()
	for was, before := range steps() {
		for is, after := range steps() {
			t.Run(was+" to "+is, func(t *testing.T) {
				t.Parallel()
				testdb.Each(t, func(t *testing.T, where testdb.Database) {
					keys := newKeys(t)
					first, second := deploy(t, where, keys, before("")), deploy(t, where, keys, after(""))
					one, two := before("SECRET one"), after("SECRET two")
					if err := errors.Join(first.AutoMigrate(one), first.Create(one).Error, second.Create(two).Error); err != nil {
						t.Fatal(err)
					}
					gotTwo, gotOne := before(""), after("")
					err := errors.Join(first.First(gotTwo, 2).Error, second.First(gotOne, 1).Error)
					reads := err == nil && revealed(gotTwo) == "SECRET two" && revealed(gotOne) == "SECRET one"
					found := checked(t, manifestOf(t, first), second, after(""))
					if was == "absent" && is == "settled" { // for a column that is new, and has no plaintext
						reads = true
					}
					if (found == nil) != reads {
						t.Errorf("Check: %v\nthe programs: %v, %q and %q", found, err, revealed(gotOne), revealed(gotTwo))
					}
				})
			})
		}
	}
}

// indexSteps are the same for a blind index.
func indexSteps() map[string]func(v string) any {
	return map[string]func(v string) any{
		"absent": func(v string) any {
			type member struct {
				ID int64
				V  string `gorm:"serializer:encrypted"`
			}
			return &member{V: v}
		},
		"read": func(v string) any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V,migrating=read"`
			}
			return &member{V: v}
		},
		"write": func(v string) any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V,migrating=write"`
			}
			return &member{V: v}
		},
		"settled": func(v string) any {
			type member struct {
				ID     int64
				V      string `gorm:"serializer:encrypted"`
				VIndex index  `encrypt:"of=V"`
			}
			return &member{V: v}
		},
	}
}

// A step of an index is refused if a search would miss what programs of the other
// deployment write: at once, or when the index is searched.
func TestCheckOfIndexSteps(t *testing.T) {
	t.Parallel()
	misses := func(db *gorm.DB, row any, v string) bool {
		return errors.Is(db.Where("v = ?", v).First(row).Error, gorm.ErrRecordNotFound) // and not refused
	}
	for was, before := range indexSteps() {
		for is, after := range indexSteps() {
			t.Run(was+" to "+is, func(t *testing.T) {
				t.Parallel()
				testdb.Each(t, func(t *testing.T, where testdb.Database) {
					keys := newKeys(t)
					first, second := deploy(t, where, keys, before("")), deploy(t, where, keys, after(""))
					one, two := before("SECRET one"), after("SECRET two")
					if err := errors.Join(first.AutoMigrate(one), second.AutoMigrate(two), first.Create(one).Error, second.Create(two).Error); err != nil {
						t.Fatal(err)
					}
					found := checked(t, manifestOf(t, first), second, after(""))
					missed := misses(second, after(""), "SECRET one") || misses(first, before(""), "SECRET two")
					if was == "absent" && is == "write" { // whose term is left behind when the value changes
						settled := indexSteps()["settled"]
						third := deploy(t, where, keys, settled(""))
						if err := first.Model(before("")).Where("id = ?", 2).Update("v", "SECRET three").Error; err != nil {
							t.Fatal(err)
						}
						missed = misses(third, settled(""), "SECRET three")
					}
					if was == "settled" && is == "absent" { // missed by programs before only, which end
						missed = misses(second, after(""), "SECRET one")
					}
					if (found == nil) == missed {
						t.Errorf("Check: %v\nrows are missed: %t", found, missed)
					}
				})
			})
		}
	}
}
