//go:build linux

package memory_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// reads is a program that reads a table of secrets, and uses one.
func reads() {
	ring := must(keyring.FromEnv(keysVariable))
	db, plugin := open(os.Getenv(dsnVariable), gormcrypt.Config{Keys: ring})
	var rows []Customer
	var revealed string
	wait := func([]byte) {
		fmt.Println("using")
		must(os.Stdin.Read(make([]byte, 16)))
	}
	steps(map[string]func(){
		"read": func() {
			if err := db.Order("id").Find(&rows).Error; err != nil {
				panic(err)
			}
		},
		"use":     func() { rows[0].APIKey.Use(wait) },
		"reveal":  func() { revealed = rows[0].APIKey.Reveal() },
		"collect": runtime.GC,
	})
	runtime.KeepAlive([]any{db, plugin, rows, revealed})
}

// The secrets of rows that were read are in memory as ciphertext. One is plaintext
// while it is used, and no longer.
func TestSecretsOfRowsAreInMemoryWhileTheyAreUsed(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	marked := plaintext() // each of the secrets starts with it
	var rows []*Customer
	for i := range 1000 {
		rows = append(rows, &Customer{Email: fmt.Sprint(i, "@example.org"), APIKey: encryptedtype.NewEncryptedString(fmt.Sprint(string(marked.bytes), i))})
	}
	p := start(t, "reads", keysVariable+"="+document(t, ring), dsnVariable+"="+database(t, ring, rows...))
	expect := func(want int, when string) {
		t.Helper()
		if n := p.memory(t, []secret{marked})[marked.name]; n != want {
			t.Errorf("%s, %d secrets are in memory, want %d", when, n, want)
		}
	}
	p.do(t, "read")
	expect(0, "after reading")
	p.send(t, "use")
	p.expect(t, "using")
	expect(1, "in use")
	p.send(t, "go on")
	p.expect(t, "use")
	expect(0, "after the use")
	p.do(t, "reveal")
	p.do(t, "collect")
	expect(1, "revealed as a string, which stays")
}
