package migrations_test

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// The form of ciphertext, in text and in bytes, as hexadecimal digits.
var (
	textForm   = regexp.MustCompile(`^gc1:([1-9][0-9]{0,9}:[Ag]([Q-Za-f][A-Za-z0-9_-]{54}|[g-v][A-Za-z0-9_-]{38})|i[1-9][0-9]{0,9}:[Ag][w-z0-9_-][A-Za-z0-9_-]{22})[A-Za-z0-9_-]*$`)
	binaryForm = regexp.MustCompile(`^6763313a(3[1-9](3[0-9]){0,9}3a(01|02|81|82)|693[1-9](3[0-9]){0,9}3a(03|83)).*$`)
)

// What SQL takes for ciphertext has its form, and so has all that package ciphertext
// parses: values at the boundaries of versions and lengths, and those with one
// character changed.
func TestFormOfCiphertext(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		for _, binary := range []bool{false, true} {
			kind := map[bool]string{false: "text", true: "blob"}[binary]
			if binary && where.Name == "postgres" {
				kind = "bytea"
			}
			t.Run(kind, func(t *testing.T) {
				name := "forms_" + kind
				execute(t, where, "CREATE TABLE "+name+" (id integer PRIMARY KEY, v "+kind+")")
				values := formsOf(binary)
				pool := where.Plain(t)
				tx, err := pool.Begin()
				if err != nil {
					t.Fatal(err)
				}
				defer tx.Rollback()
				insert := "INSERT INTO " + name + " (id, v) VALUES ($1, $2)"
				for i, value := range values {
					var stored any = value
					if binary {
						stored = []byte(value)
					}
					if _, err := tx.Exec(insert, i, stored); err != nil {
						t.Fatalf("%q: %v", value, err)
					}
				}
				if err := tx.Commit(); err != nil {
					t.Fatal(err)
				}
				plan := backfill.Table{Name: name, Key: []string{"id"}, Cells: []backfill.Cell{
					{Column: "v", Binary: binary, Stale: backfill.Sealed}, {Column: "v", Binary: binary, Stale: backfill.Plain},
				}}
				tables, err := backfill.OpenTables(t.Context(), pool, where.Name, []backfill.Table{plan})
				if err != nil {
					t.Fatal(err)
				}
				part, err := tables.Read(context.Background(), backfill.Shard{Pass: backfill.Pass{Phase: backfill.Rewriting}}, backfill.Room{Rows: 1 << 20, Stale: 1 << 20, Bytes: 1 << 30})
				if err != nil || len(part.Rows) != len(values) {
					t.Fatalf("%d of %d values: %v", len(part.Rows), len(values), err)
				}
				sealed := 0
				for i, row := range part.Rows {
					value := values[i]
					want := textForm.MatchString(value) || binary && len(value) >= 24 && binaryForm.MatchString(hex.EncodeToString([]byte(value)))
					if row.Old[0] != nil != want || row.Old[1] != nil == want {
						t.Errorf("%.80q has the form: %t, and SQL takes it for ciphertext: %t, for plaintext: %t", value, want, row.Old[0] != nil, row.Old[1] != nil)
					}
					if header, err := ciphertext.Parse([]byte(value)); err == nil && (binary || !header.Binary) {
						sealed++
						if !want {
							t.Errorf("%.80q parses, and has not the form", value)
						}
					}
				}
				if sealed < 50 {
					t.Errorf("%d of %d values are ciphertext", sealed, len(values))
				}
			})
		}
	})
}

// formsOf are values around the boundaries of the form.
func formsOf(binary bool) []string {
	const base64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
	r := rand.New(rand.NewPCG(1, 2))
	texts := []string{"", "gc1", "gc1:", "gc1:1", "gc1:i", "gc1:i:", "GC1:1:AQ", strings.Repeat("long ", 50_000)}
	body := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(base64[r.IntN(len(base64))])
		}
		return b.String()
	}
	for _, magic := range []string{"gc1:", "gc1:i", "gc2:", " gc1:"} {
		for _, version := range []string{"1", "12", "1234567890", "4294967295", "4294967296", "9999999999", "12345678901", "01", "", "x", "-1", "1 "} {
			for _, begins := range []string{"AQ", "Af", "AP", "Ag", "gQ", "gg", "gv", "Aw", "A_", "gw", "BQ", "iQ"} {
				for _, n := range []int{0, 20, 21, 22, 23, 24, 37, 38, 39, 40, 53, 54, 55, 56, 57, 58, 200} {
					texts = append(texts, magic+version+":"+begins+body(n))
				}
			}
		}
	}
	for i := range len(texts) {
		if i%7 == 0 && len(texts[i]) > 20 { // one character is another
			at := r.IntN(len(texts[i]))
			texts = append(texts, texts[i][:at]+[]string{"=", " ", "\n", "+", ":", "\u00e4"}[r.IntN(6)]+texts[i][at+1:], texts[i]+"\n", texts[i]+"=")
		}
	}
	if !binary {
		return texts
	}
	for _, magic := range []string{"gc1:", "gc1:i", "gc2:"} {
		for _, version := range []string{"1", "1234567890", "12345678901", "0"} {
			for _, algorithm := range []byte{0, 1, 2, 3, 4, 0x81, 0x82, 0x83, 0x84} {
				for n := range 48 {
					raw := make([]byte, n)
					for i := range raw {
						raw[i] = byte(r.IntN(256))
					}
					texts = append(texts, magic+version+":"+string([]byte{algorithm})+string(raw))
				}
			}
		}
	}
	return texts
}
