// Package gormcrypttest checks that an application's secrets do not leave it in
// plaintext: not in SQL, arguments or results, not in the files of a database.
// It is for tests: those of gormcrypt itself, and yours.
//
//	func TestNothingLeaks(t *testing.T) {
//		wire := gormcrypttest.NewWire(t)
//		wire.Secret("ada@example.org")
//		db, err := gorm.Open(postgres.New(postgres.Config{Conn: wire.Open("pgx", dsn)}))
//		...
//		gormcrypttest.AssertSealed(t, db, &Customer{}, "Email")
//		gormcrypttest.ScanFiles(t, "app.db", "ada@example.org")
//	}
//
// # What counts as a secret
//
// A secret is a text of six bytes or more, and it is found anywhere within what
// is searched. It is looked for
//
//   - as it is,
//   - in hex,
//   - in base64, with either alphabet, at any offset,
//   - as a list of the numbers of its bytes, as fmt and JSON write a []byte,
//   - as JSON and SQL write it between quotes, where that differs.
//
// Upper and lower case differ. Numbers, times and other values are searched in
// the forms in which they are written: "424242" finds the number 424242, and
// "1815-12-10" any time of that day. Nothing is found that was compressed,
// hashed or cut.
//
// Take values that do not turn up by chance. One of six letters does so once in
// 69 billion bytes of base64, such as ciphertext is; a date or a short number
// may well be an ordinary value elsewhere.
package gormcrypttest
