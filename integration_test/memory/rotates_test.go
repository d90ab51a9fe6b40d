//go:build linux

package memory_test

import (
	"context"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// rotates is a program that uses all its keys, and then retires the first of each
// set.
func rotates() {
	ring := must(keyring.FromEnv(keysVariable))
	db, plugin := open(os.Getenv(dsnVariable), gormcrypt.Config{Keys: ring})
	inFIPSMode := must(ciphertext.New(ring, ciphertext.Config{Algorithm: ciphertext.AES256GCM}))
	first := make(map[keyring.Set]keyring.Version)
	for _, version := range ring.Versions() {
		if state := must(ring.State(version)); state == keyring.Enabled {
			first[version.Set()] = version
		}
	}
	// What was sealed under the first version of each set, by another program, and
	// many columns and indexes of one name: they have one key, and each its own copies
	// of it. Of one copy, Go might use the memory again before it is looked for, and
	// the pool of its HMAC may have dropped it: with the race detector, pools drop one
	// thing in four at once.
	sealed := strings.Fields(os.Getenv(sealedVariable))
	var columns []*ciphertext.Column
	var indexes []*ciphertext.Index
	for range copies {
		indexes = append(indexes, must(inFIPSMode.Index(ciphertext.IndexConfig{Table: "customers", Column: "email_index"})))
		for _, config := range []ciphertext.ColumnConfig{{Table: "customers", Column: "api_key"}, {Table: "customers", Column: "tax_id", Deterministic: true}} {
			columns = append(columns, must(inFIPSMode.Column(config)))
		}
	}
	steps(map[string]func(){
		"use": func() {
			var rows []Customer
			tx := db.Where("email = ? AND tax_id = ?", "ada@example.org", "4242").Find(&rows)
			if tx.Error != nil || len(rows) != 1 || rows[0].APIKey.IsNull() {
				panic("the row was not found")
			}
			for i, column := range columns {
				var opened string
				if err := column.OpenString(&opened, sealed[i%len(sealed)]); err != nil {
					panic(err)
				}
			}
			for _, index := range indexes {
				must(index.Terms("ada@example.org"))
			}
		},
		"retire": func() {
			next := must(must(ring.Retire(first[keyring.DataKeys])).Retire(first[keyring.IndexKeys]))
			ring = next
			if err := plugin.SetKeys(context.Background(), next); err != nil {
				panic(err)
			}
			if err := inFIPSMode.SetKeys(next); err != nil {
				panic(err)
			}
		},
		"collect": runtime.GC,
	})
	runtime.KeepAlive([]any{columns, indexes, db, plugin, ring})
}

const (
	sealedVariable = "GORMCRYPT_SEALED"
	copies         = 64
)

// A key is in memory as long as a keyring with it is in use, and so is what is derived
// from it, and both are gone after.
func TestRetiredKeysAreOverwritten(t *testing.T) {
	t.Parallel()
	ring := newRing(t)
	versions := ring.Versions() // 1, 2, i1, i2
	first := must(must(ring.Promote(versions[0])).Promote(versions[2]))
	rows := &Customer{Email: "ada@example.org", TaxID: "4242", APIKey: encryptedtype.NewEncryptedString("x")}
	cipher := must(ciphertext.New(first, ciphertext.Config{Algorithm: ciphertext.AES256GCM}))
	sealed := must(must(cipher.Column(ciphertext.ColumnConfig{Table: "customers", Column: "api_key"})).Seal(nil, "x"))
	sealed = must(must(cipher.Column(ciphertext.ColumnConfig{Table: "customers", Column: "tax_id", Deterministic: true})).Seal(append(sealed, ' '), "x"))
	p := start(t, "rotates", keysVariable+"="+document(t, ring), dsnVariable+"="+database(t, first, rows), sealedVariable+"="+string(sealed))

	var retired, passing []secret
	for _, version := range []keyring.Version{versions[0], versions[2]} {
		use, passes := derivedFrom(t, ring, version)
		retired, passing = append(retired, use...), append(passing, passes...)
	}
	kept := []secret{{"key 2", keyOf(t, ring, versions[1])}, {"key i2", keyOf(t, ring, versions[3])}}

	p.do(t, "use")
	found := p.memory(t, slices.Concat(retired, kept, passing))
	for _, s := range slices.Concat(retired, kept) {
		if found[s.name] == 0 {
			t.Errorf("%s is in use, and was not found: the search shows nothing", s.name)
		}
		t.Logf("in use: %s, %d times", s.name, found[s.name])
	}
	inUse := found
	for _, s := range passing {
		if n := found[s.name]; n > byChance {
			t.Errorf("%s was left in memory %d times", s.name, n)
		} else if n > 0 {
			t.Logf("%s was left in memory %d times", s.name, n)
		}
	}

	p.do(t, "retire")
	// A pool gives up what it holds at the second collection, cleanups run at some
	// time after one.
	const most = 20
	for collection := 1; ; collection++ {
		p.do(t, "collect")
		found = p.memory(t, slices.Concat(retired, kept, passing))
		left := slices.DeleteFunc(slices.Clone(retired), func(s secret) bool {
			if inUse[s.name] >= copies && found[s.name] <= byChance {
				return true
			}
			return found[s.name] == 0 || !erases && s.name == leftByTink
		})
		if len(left) == 0 {
			t.Logf("they are gone after %d garbage collections", collection)
			break
		}
		if collection == most {
			for _, s := range left {
				t.Errorf("%s is still in memory %d times", s.name, found[s.name])
			}
			break
		}
	}
	for _, s := range retired {
		if n := found[s.name]; n > 0 {
			t.Logf("%s is still in memory %d times", s.name, n)
		}
	}
	for _, s := range kept {
		if found[s.name] == 0 {
			t.Errorf("%s is gone, and was not retired", s.name)
		}
	}
}

// leftByTink is expanded for each value that is sealed or opened, and left in memory
// until Go uses that again, unless the program is built to erase it.
const leftByTink = "the second AES-SIV key of key i1"
