package gormcrypt

import (
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/utils/tests"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// BenchmarkRewrite measures what a statement with a condition on an encrypted
// field takes longer to be sent than the same without: to look up what was read
// in its text, to make the term, and to write the text anew.
func BenchmarkRewrite(b *testing.B) {
	type account struct {
		ID         uint
		Email      string                   `gorm:"serializer:encrypted"`
		EmailIndex encryptedtype.BlindIndex `encrypt:"of=Email"`
		TaxID      string                   `gorm:"serializer:encrypted" encrypt:"deterministic"`
	}
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	db, err := gorm.Open(tests.DummyDialector{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	p := New(Config{Keys: keys, Models: []any{&account{}}})
	if err := db.Use(p); err != nil {
		b.Fatal(err)
	}
	stmt := db.Model(&account{}).Statement
	if err := stmt.Parse(&account{}); err != nil {
		b.Fatal(err)
	}
	for name, column := range map[string]string{"blind index": "email", "deterministic": "tax_id"} {
		b.Run(name, func(b *testing.B) {
			query, args := "SELECT * FROM `accounts` WHERE "+column+" = ? LIMIT ?", []any{"ada@example.org", 1}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, _, err := p.rewriteFiltered(stmt, p.read(stmt, query), query, args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
