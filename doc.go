// Package gormcrypt encrypts fields of GORM models: tag a field, register the
// plugin, and the database only ever holds ciphertext.
//
//	type Customer struct {
//		ID    uint
//		Email string `gorm:"serializer:encrypted"`
//	}
//
//	keys, err := keyring.FromEnv("GORMCRYPT_KEYS")
//	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{})
//	err = db.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&Customer{}}}))
//
// Every ciphertext names the key version that made it, so keys rotate while
// the application runs, and it is bound to its table and column, so that it
// does not open anywhere else.
//
// # Tags
//
// The mark is `gorm:"serializer:encrypted"`. GORM refuses to parse a model
// whose serializer it does not know, so a *gorm.DB that the plugin was not
// registered with fails, with "invalid serializer type encrypted", instead of
// storing plaintext. Fields of the types of package encryptedtype carry the
// mark themselves. The encrypt tag adds options,
// separated by commas:
//
//	bind=AccountID,TenantID  the ciphertext opens only beside these values of its row
//	context=table.column     the logical name it is bound to, instead of today's table and column
//	pad=64                   the plaintext is padded to a multiple, to hide its length
//	deterministic            equal values give equal ciphertexts, under the index key, and can be compared with values
//
// A field of the type encryptedtype.BlindIndex makes others searchable, and has
// options of its own. docs/search.md says what can be searched, and what that
// shows:
//
//	of=Email, of=First+Last  the fields that it is an index of
//	normalize=trim+lower     spellings that are found as one
//	bits=24                  terms so short that several values share one
//	slow                     Argon2id in front of the HMAC
//	context=table.column     the logical name of the index column
//
// # Errors
//
// What cannot be sealed or opened is an error that names table, column and
// key version, and never holds the value; see [Error] and the sentinels beside
// it. A statement with such a value is not sent, and a result with one is not
// handed out in part.
package gormcrypt
