// Package encryptedtype holds the Go types of encrypted values: they are
// encrypted in the database, and redacted wherever the program prints them.
//
// [EncryptedString], [EncryptedBytes] and [Encrypted] keep their value inside
// a function, where no formatting verb, logger or encoder finds it. They print
// as [encrypted] in every verb of fmt, in slog, JSON and text; Reveal gives
// the value. Their zero value is NULL. Of a string or bytes, Use lends the value for
// the length of a call, and overwrites it after: what was read from the database is in
// memory as ciphertext otherwise.
//
// As fields of a GORM model they need no tag, only the plugin:
//
//	type Customer struct {
//		ID     uint
//		APIKey encryptedtype.EncryptedString
//	}
//
// Under plain database/sql, or sqlx, they are encrypted and decrypted by the
// cipher that [SetDefault] was given. What GORM wrote, they read. Since
// database/sql tells a value nothing of the column it goes to, what they
// write there is bound to no column; GORM reads it in fields of these types,
// and in no others.
//
// They are values: a copy holds the same secret, and all are safe for
// concurrent use as long as nobody scans or unmarshals into one. Compare them
// with Equal; the operator == does not compile, and reflect.DeepEqual calls
// two of them different.
//
// [BlindIndex] is of another sort: it marks the column by which the plugin
// searches, and holds nothing.
package encryptedtype
