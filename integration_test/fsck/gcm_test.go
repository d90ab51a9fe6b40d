package fsck_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Values of AES-256-GCM are checked as others are, with their shorter nonces. A nonce
// counts as used twice under one key only: of one column and one algorithm.
func TestDamagedGCM(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys, _ := rings(t)
		db := where.Open(t, nil)
		if err := db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Algorithm: ciphertext.AES256GCM, Models: []any{&shared{}}})); err != nil {
			t.Fatal(err)
		}
		if err := db.AutoMigrate(&shared{}); err != nil {
			t.Fatal(err)
		}
		var rows []shared
		for id := range 20 {
			rows = append(rows, shared{ID: int64(id + 1), Tenant: fmt.Sprint("tenant ", id+1), Secret: pointer("SECRET"), Other: pointer("SECRET"), Note: pointer("SECRET")})
		}
		if err := db.Create(&rows).Error; err != nil {
			t.Fatal(err)
		}
		requireFindings(t, nil, check(t, db, fsck.Config{}))

		const prefix = "gc1:1:"
		body := func(column string, id int) []byte {
			t.Helper()
			var text string
			if err := where.Plain(t).QueryRow(fmt.Sprintf("SELECT %s FROM shareds WHERE id = %d", column, id)).Scan(&text); err != nil {
				t.Fatal(err)
			}
			return must[[]byte](t)(base64.RawURLEncoding.DecodeString(strings.TrimPrefix(text, prefix)))
		}
		put := func(column string, id int, body []byte) {
			t.Helper()
			exec(t, where, fmt.Sprintf("UPDATE shareds SET %s = '%s' WHERE id = %d", column, prefix+base64.RawURLEncoding.EncodeToString(body), id))
		}
		nonce := func(column string, id int) []byte { return body(column, id)[1:13] }

		for i := range 3 { // a bit of the nonce, of the ciphertext and of the tag
			flipped := body("other", 1+i)
			flipped[[]int{1, 14, len(flipped) - 1}[i]] ^= 1
			put("other", 1+i, flipped)
		}
		put("note", 4, body("note", 5))
		put("note", 6, body("other", 6))
		put("secret", 7, body("secret", 8))
		put("other", 10, sealGCM(t, keys, "other", nonce("other", 9), "\x01SECRET again"))
		put("note", 12, sealGCM(t, keys, "note", nonce("other", 11), "\x01SECRET again"))

		at := func(id int, column string) fsck.Place {
			return fsck.Place{Table: "shareds", Key: fmt.Sprint(id), Column: column}
		}
		from := func(id int, column string) *fsck.Place {
			place := at(id, column)
			return &place
		}
		requireFindings(t, []fsck.Finding{
			{Place: at(1, "other"), Kind: fsck.Damaged, Version: "1"},
			{Place: at(2, "other"), Kind: fsck.Damaged, Version: "1"},
			{Place: at(3, "other"), Kind: fsck.Damaged, Version: "1"},
			{Place: at(5, "note"), Kind: fsck.Copied, Version: "1", From: from(4, "note")},
			{Place: at(6, "note"), Kind: fsck.Moved, Version: "1", From: from(6, "other")},
			{Place: at(7, "secret"), Kind: fsck.Moved, Version: "1", From: from(8, "secret")},
			{Place: at(10, "other"), Kind: fsck.DuplicateNonce, Version: "1", From: from(9, "other")},
		}, check(t, db, fsck.Config{}))
	})
}

// sealGCM returns the body of a value with a nonce of the caller's, sealed as
// docs/format.md says.
func sealGCM(t testing.TB, keys *keyring.Keyring, column string, nonce []byte, plaintext string) []byte {
	t.Helper()
	lp := func(fields ...string) []byte {
		var all []byte
		for _, field := range fields {
			all = append(binary.BigEndian.AppendUint32(all, uint32(len(field))), field...)
		}
		return all
	}
	secret := must[[]byte](t)(keys.Derive(keyring.MakeVersion(keyring.DataKeys, 1), string(lp("gormcrypt/1 key", "\x02", "shareds", column)), 32))
	aead := must[cipher.AEAD](t)(cipher.NewGCM(must[cipher.Block](t)(aes.NewCipher(secret))))
	return aead.Seal(append([]byte{2}, nonce...), nonce, []byte(plaintext), lp("gormcrypt/1", "\x02", "1", "shareds", column))
}
