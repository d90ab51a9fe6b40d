package migrations_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/keyring"
)

var compared = flag.Int("migrations.forms", 3000, "values by which SQL is compared with ciphertext.Parse, for each column")

// sealedValues returns values of all kinds that programs write, in text or in bytes.
func sealedValues(t testing.TB, binary bool) [][]byte {
	t.Helper()
	keys, err := keyring.Generate()
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	for _, algorithm := range []ciphertext.Algorithm{ciphertext.XChaCha20Poly1305, ciphertext.AES256GCM, ciphertext.AESSIV} {
		config := ciphertext.Config{Algorithm: algorithm}
		if algorithm == ciphertext.AESSIV {
			config.Algorithm = 0
		}
		cipher, err := ciphertext.New(keys, config)
		if err != nil {
			t.Fatal(err)
		}
		for _, named := range []bool{false, true} {
			for _, pad := range []int{0, 16} {
				for _, names := range [][2]string{{"customers", "email"}, {"c", "e"}, {strings.Repeat("t", 300), "\u00e4"}, {}} {
					column, err := cipher.Column(ciphertext.ColumnConfig{Table: names[0], Column: names[1], Deterministic: algorithm == ciphertext.AESSIV, Binary: binary, Named: named, Pad: pad})
					if err != nil {
						t.Fatal(err)
					}
					for _, value := range []any{"", "a", "ab", "abc", strings.Repeat("long ", 80), int64(-7), []byte{}, true, 1.5} {
						sealed, err := column.Seal(nil, value)
						if err != nil {
							t.Fatal(err)
						}
						all = append(all, sealed)
					}
				}
			}
		}
	}
	return all
}

// versions are those that a value may name, and may not.
var versions = []string{
	"1", "7", "10", "4294967295", "i1", "i4294967295", "0", "01", "i0", "i01", "4294967296", "i4294967296", "9999999999", "10000000000", "i10000000000",
	"", "i", "-1", "+1", "I1", "ii1", "1i", " 1", "1 ", "\u0661", "1\n", "1:1", "1,000", "0x1",
}

// changed returns a value with something wrong with it, or at the edge of it.
func changed(random *rand.Rand, value []byte) []byte {
	value = bytes.Clone(value)
	parts := bytes.SplitN(value, []byte(":"), 3)
	if len(parts) < 3 { // it was changed before
		return value
	}
	at := random.IntN(len(value))
	if random.IntN(2) == 0 {
		at = random.IntN(min(len(value), 24))
	}
	strange := [][]byte{{'\n'}, {'\r'}, {' '}, {'='}, {'+'}, {'/'}, {'.'}, {'~'}, {0}, {1}, {2}, {3}, {0x81}, {0x82}, {0x83}, {0xff}, {0xc3}, []byte("\u00e4"), {':'}, {'A'}, {'g'}, {'Q'}, {'w'}, {'v'}, {'_'}, {'-'}, {'i'}, {'g', 'c', '1', ':'}}
	piece := strange[random.IntN(len(strange))]
	switch random.IntN(9) {
	case 0:
		return value[:at]
	case 1:
		value[at] = byte(random.IntN(256))
	case 2:
		return bytes.Join([][]byte{value[:at], value[at:]}, piece)
	case 3:
		return append(value[:at:at], value[at+1:]...)
	case 4, 5: // another version
		return bytes.Join([][]byte{parts[0], []byte(versions[random.IntN(len(versions))]), parts[2]}, []byte(":"))
	case 6:
		return append(value, piece...)
	case 7:
		return append(bytes.Clone(piece), value...)
	case 8: // around the shortest of each algorithm
		return value[:len(value)-len(parts[2])+random.IntN(min(len(parts[2]), 60)+1)]
	}
	return value
}

// generated returns values, and what they look like when something is wrong with them.
func generated(t testing.TB, random *rand.Rand, n int) [][]byte {
	t.Helper()
	all := append(sealedValues(t, false), sealedValues(t, true)...)
	intact := len(all)
	for i := range all[:intact] { // of some, each beginning
		if i%61 > 0 {
			continue
		}
		for end := range min(len(all[i]), 100) {
			all = append(all, all[i][:end])
		}
	}
	for _, text := range ugly(testdb.Database{Name: "sqlite"}) {
		all = append(all, []byte(text))
	}
	for len(all) < n {
		value := changed(random, all[random.IntN(intact)])
		for random.IntN(3) == 0 {
			value = changed(random, value)
		}
		all = append(all, value)
	}
	return all
}

var begins = regexp.MustCompile(`^gc1:(i?)[1-9][0-9]{0,9}:`)

// looksSealed reports what SQL may take for ciphertext though it is none: numbers of
// versions that are too large, odd bits or a character too much at the end of base64,
// names that do not end, and, in bytes, a value of one algorithm as short as those of
// another. Backfill leaves those alone, and says so.
func looksSealed(value []byte) bool {
	found := begins.FindSubmatch(value)
	if found == nil {
		return false
	}
	body := value[len(found[0]):]
	longest := map[byte]int{1: 41, 2: 29, 3: 17}
	if len(body) == 0 {
		return false
	}
	if body[0] < 0x20 || body[0] >= 0x7f {
		_, known := longest[body[0]&0x7f]
		return known && (body[0]&0x7f == 3) == (len(found[1]) > 0) && len(value) >= 24
	}
	for _, c := range body {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-", rune(c)) {
			return false
		}
	}
	if len(body)%4 == 1 {
		body = body[:len(body)-1]
	}
	decoded, err := base64.RawURLEncoding.DecodeString(string(body))
	if err != nil || len(decoded) == 0 {
		return false
	}
	least, known := longest[decoded[0]&0x7f]
	return known && (decoded[0]&0x7f == 3) == (len(found[1]) > 0) && len(decoded)-1 >= least
}

// formColumn is a column that values are put into, in the type of SQL that they get
// there.
type formColumn struct {
	name   string
	binary bool
	stored func(value []byte) any
}

func formColumns(where testdb.Database) map[string]formColumn {
	asText := func(value []byte) any { return string(value) }
	asBytes := func(value []byte) any { return value }
	if where.Name == "postgres" {
		return map[string]formColumn{"text": {"text", false, asText}, "varchar": {"varchar", false, asText}, "fuzzy": {"text COLLATE fuzzy", false, asText}, "bytea": {"bytea", true, asBytes}}
	}
	return map[string]formColumn{
		"text": {"text", false, asText}, "nocase": {"text COLLATE NOCASE", false, asText}, "blob": {"blob", true, asBytes},
		"bytes in a text column": {"text", false, asBytes}, "text in a blob column": {"blob", true, asText},
	}
}

// What SQL takes for ciphertext is what package ciphertext parses, or is left alone.
func TestSQLAgreesWithParse(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		random := choices(t)
		if where.Name == "postgres" {
			execute(t, where, "CREATE COLLATION fuzzy (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
		}
		for title, column := range formColumns(where) {
			values := storable(where, column, generated(t, random, *compared))
			table := fill(t, where, column, values)
			plain := sides(t, where, table, column)
			sealed := 0
			for id, value := range values {
				header, err := ciphertext.Parse(value)
				isText := where.Name == "sqlite" && column.stored(nil) == any("") || where.Name == "postgres" && !column.binary
				switch {
				case err != nil && !plain[id] && !looksSealed(value):
					t.Errorf("%s: SQL takes %q for ciphertext: %v", title, value, err)
				case err == nil && plain[id] && !(header.Binary && isText): // which nobody writes as text
					t.Errorf("%s: SQL takes %.80q for plaintext", title, value)
				}
				if !plain[id] {
					sealed++
				}
			}
			if sealed < 100 || sealed > len(values)-100 {
				t.Errorf("%s: %d of %d values are ciphertext", title, sealed, len(values))
			}
		}
	})
}

// storable leaves out what a database does not take.
func storable(where testdb.Database, column formColumn, values [][]byte) [][]byte {
	if where.Name == "sqlite" || column.binary {
		return values
	}
	var all [][]byte
	for _, value := range values {
		if utf8.Valid(value) && bytes.IndexByte(value, 0) < 0 {
			all = append(all, value)
		}
	}
	return all
}

// fill makes a table of the values, with ids from 0, and one more that is NULL.
func fill(t testing.TB, where testdb.Database, column formColumn, values [][]byte) (table string) {
	t.Helper()
	table = fmt.Sprintf("forms_%d", rand.Uint32())
	execute(t, where, "CREATE TABLE "+table+" (id bigint PRIMARY KEY, value "+column.name+")", "INSERT INTO "+table+" VALUES (-1, NULL)")
	tx, err := where.Plain(t).Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	insert, err := tx.Prepare("INSERT INTO " + table + " VALUES ($1, $2)")
	if err != nil {
		t.Fatal(err)
	}
	for id, value := range values {
		if _, err := insert.Exec(id, column.stored(value)); err != nil {
			t.Fatalf("%.80q: %v", value, err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	return table
}

// sides returns which values SQL takes for plaintext, and checks that it takes all
// others but NULL for ciphertext, in whatever way it is asked.
func sides(t testing.TB, where testdb.Database, table string, column formColumn) map[int]bool {
	t.Helper()
	cell := func(stale backfill.Staleness) backfill.Cell {
		return backfill.Cell{Column: "value", Binary: column.binary, Stale: stale}
	}
	tables, err := backfill.OpenTables(context.Background(), where.Plain(t), where.Name, []backfill.Table{{Name: table, Key: []string{"id"}, Cells: []backfill.Cell{cell(backfill.Plain), cell(backfill.Sealed)}}})
	if err != nil {
		t.Fatal(err)
	}
	part, err := tables.Read(context.Background(), backfill.Shard{Pass: backfill.Pass{Phase: backfill.Rewriting}}, backfill.Room{Rows: 1 << 30, Stale: 1 << 30, Bytes: 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	plain := map[int]bool{}
	for _, row := range part.Rows {
		var id int
		if _, err := fmt.Sscan(fmt.Sprint(row.Key[0]), &id); err != nil {
			t.Fatal(err)
		}
		plain[id] = row.Old[0] != nil
		if (row.Old[1] != nil) == plain[id] || id < 0 {
			t.Errorf("row %d is plain: %t, sealed: %t", id, plain[id], row.Old[1] != nil)
		}
	}
	if len(part.Rows) != part.Count-1 {
		t.Errorf("of %d rows, %d are neither plaintext nor ciphertext nor NULL", part.Count, part.Count-len(part.Rows)-1)
	}
	_, counts, err := tables.Count(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	of := 0
	for _, is := range plain {
		if is {
			of++
		}
	}
	if int(counts[0]) != of || int(counts[1]) != len(plain)-of {
		t.Errorf("counted %v, read %d and %d", counts, of, len(plain)-of)
	}
	return plain
}

// The constraint of Enforce admits all that programs write, and refuses what does not
// begin as that does.
func TestConstraintAgreesWithResembles(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		random := choices(t)
		for title, column := range formColumns(where) {
			if strings.Contains(column.name, "fuzzy") {
				continue
			}
			values := storable(where, column, generated(t, random, *compared))
			table := fill(t, where, column, values)
			condition, err := backfill.Admits(where.Name, "value", column.binary, false)
			if err != nil {
				t.Fatal(err)
			}
			admitted := map[string]bool{}
			for _, id := range texts(t, where, "SELECT CAST(id AS text) FROM "+table+" WHERE "+condition) {
				admitted[id] = true
			}
			if !admitted["-1"] {
				t.Errorf("%s: NULL is refused", title)
			}
			for id, value := range values {
				switch is := ciphertext.Resembles(value); {
				case is && !admitted[fmt.Sprint(id)]:
					t.Errorf("%s: %.80q is refused", title, value)
				case !is && admitted[fmt.Sprint(id)] && !begins.Match(value): // but for its number
					t.Errorf("%s: %.80q is admitted", title, value)
				}
			}
			// And as a constraint.
			execute(t, where, "CREATE TABLE "+table+"_c (id bigint, value "+column.name+", CHECK ("+condition+"))", "INSERT INTO "+table+"_c SELECT id, value FROM "+table+" WHERE "+condition)
			for _, plaintext := range storable(where, column, [][]byte{{}, []byte("ada@example.org"), []byte("gc1:"), []byte("gc2:1:AAAA"), []byte("gc1:x:AAAA"), []byte("i1:AAAA"), {0}, {0xff}}) {
				if _, err := where.Plain(t).Exec("INSERT INTO "+table+"_c VALUES ($1, $2)", 1, column.stored(plaintext)); err == nil || !strings.Contains(strings.ToLower(err.Error()), "check") {
					t.Errorf("%s: %q: %v", title, plaintext, err)
				}
			}
		}
	})
}

// The constraint of an index admits all terms, and nothing that is none.
func TestConstraintOfAnIndex(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		condition, err := backfill.Admits(where.Name, "term", false, true)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, where, "CREATE TABLE terms (term text, CHECK ("+condition+"))")
		keys, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		cipher, err := ciphertext.New(keys, ciphertext.Config{})
		if err != nil {
			t.Fatal(err)
		}
		admitted := []any{nil, "i4294967295:AAAAAAAAAAAAAAAAAAAAAA"}
		for _, bits := range []int{0, 24} {
			index, err := cipher.Index(ciphertext.IndexConfig{Table: "t", Column: "c", Bits: bits})
			if err != nil {
				t.Fatal(err)
			}
			term, err := index.Term("ada@example.org")
			if err != nil {
				t.Fatal(err)
			}
			admitted = append(admitted, term)
		}
		pool := where.Plain(t)
		for _, term := range admitted {
			if _, err := pool.Exec("INSERT INTO terms VALUES ($1)", term); err != nil {
				t.Errorf("%v: %v", term, err)
			}
		}
		for _, other := range []any{"", "ada@example.org", "1:AAAA", "gc1:i1:AAAA", "i0:AAAA", "i01:AAAA", "i:AAAA", "i1", "I1:AAAA", " i1:AAAA", "i12345678901:AAAA"} {
			if _, err := pool.Exec("INSERT INTO terms VALUES ($1)", other); err == nil {
				t.Errorf("%v is admitted", other)
			}
		}
	})
}
