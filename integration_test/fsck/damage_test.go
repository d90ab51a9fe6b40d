package fsck_test

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// damage plants what is wrong, in rows that nothing else was planted in, and notes what
// is to be found.
type damage struct {
	*testing.T
	pool *sql.DB
	keys *keyring.Keyring
	free []int
	want []fsck.Finding
}

func newDamage(t *testing.T, where testdb.Database, keys *keyring.Keyring, rows int, random *rand.Rand) *damage {
	d := &damage{T: t, pool: where.Plain(t), keys: keys}
	for _, i := range random.Perm(rows) {
		if id := i + 1; id%11 > 0 { // which have all values
			d.free = append(d.free, id)
		}
	}
	return d
}

// row takes a row.
func (d *damage) row() int {
	d.Helper()
	if len(d.free) == 0 {
		d.Fatal("there are too few rows for all kinds of damage")
	}
	id := d.free[0]
	d.free = d.free[1:]
	return id
}

// rows takes two rows, in order.
func (d *damage) rows() (a, b int) {
	a, b = d.row(), d.row()
	return min(a, b), max(a, b)
}

func (d *damage) get(column string, id int) any {
	d.Helper()
	var value any
	if err := d.pool.QueryRowContext(context.Background(), fmt.Sprintf("SELECT %s FROM patients WHERE id = %d", column, id)).Scan(&value); err != nil {
		d.Fatal(err)
	}
	return value
}

func (d *damage) set(column string, id int, value any) {
	d.Helper()
	d.exec(fmt.Sprintf("UPDATE patients SET %s = $1 WHERE id = %d", column, id), value)
}

func (d *damage) exec(query string, args ...any) {
	d.Helper()
	result, err := d.pool.ExecContext(context.Background(), query, args...)
	if err != nil {
		d.Fatalf("%s: %v", query, err)
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		d.Fatalf("%s: %d rows, %v", query, n, err)
	}
}

func patientPlace(id int, column string) fsck.Place {
	return fsck.Place{Table: "patients", Key: fmt.Sprint(id), Column: column}
}

func visitPlace(id int, column string) fsck.Place {
	return fsck.Place{Table: visit{}.TableName(), Key: fmt.Sprintf("%s, %d", clinicOf(id), id), Column: column}
}

// expect notes a finding in a patient.
func (d *damage) expect(id int, column string, kind fsck.Kind, version string, from ...fsck.Place) {
	d.expectAt(patientPlace(id, column), kind, version, from...)
}

func (d *damage) expectAt(at fsck.Place, kind fsck.Kind, version string, from ...fsck.Place) {
	f := fsck.Finding{Place: at, Kind: kind, Version: version}
	if len(from) > 0 {
		f.From = &from[0]
	}
	d.want = append(d.want, f)
}

// versionOf returns the key version that a value names.
func versionOf(value any) string {
	text, ok := value.(string)
	if !ok {
		text = string(value.([]byte))
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(text, "gc1:"), ":")
	return version
}

// plant plants every kind of damage. other is a column that two values change places
// with: twice the same, and which is whose would not be known.
func (d *damage) plant(other string) {
	d.plantForm()
	d.plantKeys()
	d.plantMoves(other)
	d.plantCopies()
	d.plantTerms()
}

func (d *damage) plantForm() {
	for _, column := range []string{"name", "phone", "tax_id", "weight", "token", "payout"} {
		id := d.row()
		d.set(column, id, "SECRET in the clear")
		d.expect(id, column, fsck.Plaintext, "")
	}
	id := d.row()
	d.set("scan", id, []byte("SECRET\x00\xff"))
	d.expect(id, "scan", fsck.Plaintext, "")
	id = d.row()
	d.set("phone", id, "")
	d.expect(id, "phone", fsck.Plaintext, "")
	for _, text := range []string{"gc2:1:AAAA", "gc1:1:", "gc1:", "gc1:1:AAAA", "gc1:01:AAAA", "gc1:1:" + strings.Repeat("____", 50)} {
		id := d.row()
		d.set("phone", id, text)
		version := ""
		if strings.HasPrefix(text, "gc1:1:") {
			version = "1"
		}
		d.expect(id, "phone", fsck.Foreign, version)
	}

	id = d.row() // cut where it still is base64
	value := d.get("name", id).(string)
	prefix := len("gc1::" + versionOf(value))
	d.set("name", id, value[:prefix+(len(value)-prefix-4)/4*4])
	d.expect(id, "name", fsck.Damaged, versionOf(value))
	id = d.row()
	raw := append([]byte(nil), d.get("scan", id).([]byte)...)
	raw[len(raw)-1] ^= 1
	d.set("scan", id, raw)
	d.expect(id, "scan", fsck.Damaged, versionOf(raw))

	id = d.row() // a column that it is bound to was changed
	d.set("account_id", id, "account of nobody")
	d.expect(id, "payout", fsck.Damaged, versionOf(d.get("payout", id)))
	id = d.row()
	d.set("account_id", id, nil)
	d.expect(id, "payout", fsck.Damaged, "")

	cipher := must[*ciphertext.Cipher](d)(ciphertext.New(d.keys, ciphertext.Config{}))
	column := must[*ciphertext.Column](d)(cipher.Column(ciphertext.ColumnConfig{Table: "patients", Column: "weight"}))
	id = d.row()
	d.set("weight", id, string(must[[]byte](d)(column.Seal(nil, "SECRET heavy"))))
	d.expect(id, "weight", fsck.WrongType, "3")
}

func (d *damage) plantKeys() {
	for version, kind := range map[string]fsck.Kind{"2": fsck.RetiredKey, "9": fsck.UnknownKey} {
		id := d.row()
		value := d.get("phone", id).(string)
		d.set("phone", id, "gc1:"+version+":"+strings.TrimPrefix(value, "gc1:"+versionOf(value)+":"))
		d.expect(id, "phone", kind, version)
	}
	id := d.row()
	value := d.get("tax_id", id).(string)
	d.set("tax_id", id, "gc1:i9:"+strings.TrimPrefix(value, "gc1:"+versionOf(value)+":"))
	d.expect(id, "tax_id", fsck.UnknownKey, "i9")
}

func (d *damage) plantMoves(other string) {
	swap := func(a int, columnA string, b int, columnB string) {
		d.Helper()
		valueA, valueB := d.get(columnA, a), d.get(columnB, b)
		d.set(columnA, a, valueB)
		d.set(columnB, b, valueA)
		d.expect(a, columnA, fsck.Moved, versionOf(valueB), patientPlace(b, columnB))
		d.expect(b, columnB, fsck.Moved, versionOf(valueA), patientPlace(a, columnA))
	}
	copyTo := func(a int, columnA string, b int, columnB string) {
		d.Helper()
		value := d.get(columnB, b)
		d.set(columnA, a, value)
		d.expect(a, columnA, fsck.Moved, versionOf(value), patientPlace(b, columnB))
	}
	id := d.row()
	swap(id, "name", id, "phone") // in one row
	a, b := d.rows()
	swap(a, "labels", b, other) // of two rows, in columns that are bound to nothing
	a, b = d.rows()
	swap(a, "payout", b, "payout") // of two rows, in a bound column
	a, b = d.rows()
	swap(a, "payout", b, "born") // one of each
	a, b = d.rows()
	copyTo(a, "payout", b, "payout")
	a, b = d.rows()
	copyTo(b, "name", a, "phone")
	id = d.row()
	copyTo(id, "tax_id", id, "passport")
	a, b = d.rows()
	copyTo(a, "tax_id", b, "passport")
	a, b = d.rows()
	copyTo(a, "token", b, "phone")
	a, b = d.rows()
	copyTo(a, "phone", b, "token")

	a, b = d.rows() // and its place is empty now
	value := d.get("phone", b)
	d.set("name", a, value)
	d.set("phone", b, nil)
	d.expect(a, "name", fsck.Moved, versionOf(value), fsck.Place{Table: "patients", Column: "phone"})
	a, b = d.rows()
	value = d.get("payout", b)
	d.set("name", a, value)
	d.set("payout", b, nil)
	d.expect(a, "name", fsck.Moved, versionOf(value), patientPlace(b, "payout"))

	a, b = d.rows() // from another table
	d.exec(fmt.Sprintf("UPDATE patients SET weight = (SELECT note FROM %s WHERE number = %d) WHERE id = %d", visits, b, a))
	d.expect(a, "weight", fsck.Moved, versionOf(d.get("weight", a)), visitPlace(b, "note"))
	a, b = d.rows()
	d.exec(fmt.Sprintf("UPDATE patients SET payout = (SELECT doctor FROM %s WHERE number = %d) WHERE id = %d", visits, b, a))
	d.expect(a, "payout", fsck.Moved, versionOf(d.get("payout", a)), visitPlace(b, "doctor"))
	a, b = d.rows() // by a composite key
	d.exec(fmt.Sprintf("UPDATE %s SET doctor = (SELECT doctor FROM %s WHERE number = %d) WHERE number = %d", visits, visits, b, a))
	d.expectAt(visitPlace(a, "doctor"), fsck.Moved, d.versionOfVisit(b), visitPlace(b, "doctor"))
}

func (d *damage) versionOfVisit(id int) string {
	d.Helper()
	var value any
	if err := d.pool.QueryRowContext(context.Background(), fmt.Sprintf("SELECT doctor FROM %s WHERE number = %d", visits, id)).Scan(&value); err != nil {
		d.Fatal(err)
	}
	return versionOf(value)
}

func (d *damage) plantCopies() {
	for _, column := range []string{"weight", "token", "scan", "phone"} {
		a, b := d.rows()
		value := d.get(column, b)
		d.set(column, a, value)
		d.expect(b, column, fsck.Copied, versionOf(value), patientPlace(a, column))
	}
	a, b := d.rows() // in three rows
	c := d.row()
	a, b, c = min(a, c), max(min(b, c), a), max(b, c)
	value := d.get("labels", b)
	d.set("labels", a, value)
	d.set("labels", c, value)
	d.expect(b, "labels", fsck.Copied, versionOf(value), patientPlace(a, "labels"))
	d.expect(c, "labels", fsck.Copied, versionOf(value), patientPlace(a, "labels"))
	a, b = d.rows() // and the one that it is copied from was changed since
	value = d.get("name", b)
	d.set("name", a, value)
	d.set("name_index", a, d.get("name_index", b))
	d.expect(b, "name", fsck.Copied, versionOf(value), patientPlace(a, "name"))

	// And a value with the nonce of another, sealed as docs/format.md says.
	a, b = d.rows()
	first := d.get("phone", a).(string)
	version := versionOf(first)
	body := must[[]byte](d)(base64.RawURLEncoding.DecodeString(strings.TrimPrefix(first, "gc1:"+version+":")))
	d.set("phone", b, "gc1:"+version+":"+base64.RawURLEncoding.EncodeToString(d.sealWith(version, "phone", body[1:25], "\x01SECRET again")))
	d.expect(b, "phone", fsck.DuplicateNonce, version, patientPlace(a, "phone"))
}

// sealWith returns the body of a value with a nonce of the caller's.
func (d *damage) sealWith(version, column string, nonce []byte, plaintext string) []byte {
	d.Helper()
	lp := func(fields ...string) []byte {
		var all []byte
		for _, field := range fields {
			all = append(binary.BigEndian.AppendUint32(all, uint32(len(field))), field...)
		}
		return all
	}
	parsed := must[keyring.Version](d)(keyring.ParseVersion(version))
	secret := must[[]byte](d)(d.keys.Derive(parsed, string(lp("gormcrypt/1 key", "\x01", "patients", column)), chacha20poly1305.KeySize))
	aead, err := chacha20poly1305.NewX(secret)
	if err != nil {
		d.Fatal(err)
	}
	body := append([]byte{1}, nonce...)
	return aead.Seal(body, nonce, []byte(plaintext), lp("gormcrypt/1", "\x01", version, "patients", column))
}

func (d *damage) plantTerms() {
	a, b := d.rows()
	d.set("name_index", a, d.get("name_index", b))
	d.expect(a, "name_index", fsck.WrongTerm, versionOf(d.get("name_index", b)))
	id := d.row()
	d.set("name_index", id, nil)
	d.expect(id, "name_index", fsck.NoTerm, "")
	id = d.row()
	d.set("name", id, nil)
	d.expect(id, "name_index", fsck.TermWithoutValue, versionOf(d.get("name_index", id)))
	for _, text := range []string{"", "SECRET", "7:AAAA", "i1:"} {
		id = d.row()
		d.set("name_index", id, text)
		d.expect(id, "name_index", fsck.Foreign, "")
	}
	id = d.row()
	d.set("name_index", id, "i9:AAAAAAAAAAAAAAAAAAAAAA")
	d.expect(id, "name_index", fsck.UnknownKey, "i9")
	// A value that was copied without its term is two findings.
	a, b = d.rows()
	value := d.get("name", a)
	d.set("name", b, value)
	d.expect(b, "name", fsck.Copied, versionOf(value), patientPlace(a, "name"))
	d.expect(b, "name_index", fsck.WrongTerm, versionOf(d.get("name_index", b)))
}
