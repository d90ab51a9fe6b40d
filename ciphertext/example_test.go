package ciphertext_test

import (
	"fmt"
	"slices"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

func ExampleColumn() {
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	email, err := cipher.Column(ciphertext.ColumnConfig{Table: "customers", Column: "email"})
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := email.Seal(nil, "ada@example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	header, _ := ciphertext.Parse(stored)
	fmt.Println("sealed with", header.Algorithm, "under key version", header.Version)

	var address string
	if err := email.Open(&address, stored); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(address)

	phone, _ := cipher.Column(ciphertext.ColumnConfig{Table: "customers", Column: "phone"})
	fmt.Println(phone.Open(&address, stored))
	// Output:
	// sealed with XChaCha20-Poly1305 under key version 1
	// ada@example.org
	// gormcrypt: cannot open customers.phone (key version 1): authentication failed: the value was changed, or moved from another column or row; if no value opens, this is another keyring than the one that sealed them
}

func ExampleIndex() {
	keys, err := keyring.Generate()
	if err != nil {
		fmt.Println(err)
		return
	}
	cipher, err := ciphertext.New(keys, ciphertext.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	email, _ := ciphertext.Normalization("email")
	index, err := cipher.Index(ciphertext.IndexConfig{
		Table: "customers", Column: "email_index", Normalize: []func(string) string{email},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	stored, err := index.Term("Ada@Example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	wanted, err := index.Terms(" ada@example.org")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("found:", slices.Contains(wanted, stored))

	term, _ := ciphertext.ParseTerm(stored)
	fmt.Println("made under key version", term.Version)
	// Output:
	// found: true
	// made under key version i1
}
