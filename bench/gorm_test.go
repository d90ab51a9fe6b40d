// Package bench measures what encryption costs through GORM, against the same
// work on plain columns.
package bench

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

func TestMain(m *testing.M) { testdb.Main(m) }

const (
	rows      = 1000
	batchSize = 100
	secretLen = 64 // bytes of each encrypted value
)

// encrypted has 8 columns, of which 3 are encrypted.
type encrypted struct {
	ID        uint
	Name      string
	City      string
	Age       int
	CreatedAt time.Time
	Email     string `gorm:"serializer:encrypted"`
	Phone     string `gorm:"serializer:encrypted"`
	Note      string `gorm:"serializer:encrypted"`
}

// plain is the same with plain columns.
type plain struct {
	ID        uint
	Name      string
	City      string
	Age       int
	CreatedAt time.Time
	Email     string
	Phone     string
	Note      string
}

func BenchmarkSQLite(b *testing.B) {
	b.Run("XChaCha20-Poly1305", func(b *testing.B) { benchmark(b, testdb.SQLite(b), ciphertext.XChaCha20Poly1305) })
	b.Run("AES-256-GCM", func(b *testing.B) { benchmark(b, testdb.SQLite(b), ciphertext.AES256GCM) })
}

func BenchmarkPostgres(b *testing.B) {
	b.Run("XChaCha20-Poly1305", func(b *testing.B) { benchmark(b, testdb.Postgres(b), ciphertext.XChaCha20Poly1305) })
	b.Run("AES-256-GCM", func(b *testing.B) { benchmark(b, testdb.Postgres(b), ciphertext.AES256GCM) })
}

// The three sides of the comparison.
const (
	ours  = iota // encrypted columns
	bare         // plain columns, and the bare AEAD calls for as many values
	floor        // plain columns
	sides
)

// benchmark creates and reads rows on all sides in turns, and reports the
// ratios of the medians. "x-plain" is the whole cost; "x-bare" is what is left
// of it beside the bare work: the same AEAD calls with random nonces, and
// base64 of the same length, which no library can do without.
func benchmark(b *testing.B, database testdb.Database, algorithm ciphertext.Algorithm) {
	keys, err := keyring.Generate()
	if err != nil {
		b.Fatal(err)
	}
	crypted, uncrypted := database.Open(b, nil), database.Open(b, nil)
	if err := crypted.Use(gormcrypt.New(gormcrypt.Config{Keys: keys, Models: []any{&encrypted{}}, Algorithm: algorithm})); err != nil {
		b.Fatal(err)
	}
	if err := crypted.AutoMigrate(&encrypted{}, &plain{}); err != nil {
		b.Fatal(err)
	}
	work := newBareWork(b, algorithm)
	// What the plain columns hold is as wide as the ciphertext.
	secret, wide := strings.Repeat("s", secretLen), strings.Repeat("p", storedWidth(b, crypted, database))
	secrets, plains := make([]encrypted, rows), make([]plain, rows)
	var readSecrets []encrypted
	var readPlains []plain

	createPlain := func() error { return uncrypted.CreateInBatches(plains, batchSize).Error }
	readPlain := func() error { return uncrypted.Limit(rows).Find(&readPlains).Error }
	works := [sides][2]func() error{
		ours: {
			func() error { return crypted.CreateInBatches(secrets, batchSize).Error },
			func() error { return crypted.Limit(rows).Find(&readSecrets).Error },
		},
		bare: {
			func() error { work.seal(b, 3*rows); return createPlain() },
			func() error { work.open(b, 3*rows); return readPlain() },
		},
		floor: {createPlain, readPlain},
	}
	var times [sides][3][]time.Duration // create, read, both
	for round := 0; b.Loop(); round++ {
		for turn := range sides {
			// Who comes first takes turns too: it pays for the garbage and the
			// checkpoints of the round before.
			side := (turn + round) % sides
			var total time.Duration
			for what, do := range works[side] {
				for i := range rows {
					name, now := fmt.Sprint("name ", i), time.Now()
					secrets[i] = encrypted{Name: name, City: "London", Age: i, CreatedAt: now, Email: secret, Phone: secret, Note: secret}
					plains[i] = plain{Name: name, City: "London", Age: i, CreatedAt: now, Email: wide, Phone: wide, Note: wide}
				}
				readSecrets, readPlains = nil, nil
				start := time.Now()
				if err := do(); err != nil {
					b.Fatal(err)
				}
				elapsed := time.Since(start)
				times[side][what] = append(times[side][what], elapsed)
				total += elapsed
			}
			times[side][2] = append(times[side][2], total)
			if len(readSecrets)+len(readPlains) != rows || side == ours && readSecrets[rows-1].Note != secret {
				b.Fatalf("read %d and %d rows", len(readSecrets), len(readPlains))
			}
			for _, table := range []any{&encrypted{}, &plain{}} {
				if err := crypted.Session(&gorm.Session{AllowGlobalUpdate: true}).Delete(table).Error; err != nil {
					b.Fatal(err)
				}
			}
		}
	}
	for what, name := range []string{"-create", "-read", ""} {
		b.ReportMetric(ratio(times[ours][what], times[floor][what]), "x-plain"+name)
	}
	// What would be left if opening took no time at all, on however many cores.
	b.ReportMetric(float64(median(times[ours][0])+median(times[floor][1]))/float64(median(times[floor][0])+median(times[floor][1])), "x-plain-free-read")
	b.ReportMetric(ratio(times[ours][2], times[bare][2]), "x-bare")
	b.ReportMetric(ratio(times[bare][2], times[floor][2]), "bare-x-plain")
	b.ReportMetric(float64(median(times[floor][2]).Microseconds())/1000, "ms-plain")
	b.ReportMetric(0, "ns/op") // a round of all sides, which says nothing
}

// bareWork is the least that encrypting takes.
type bareWork struct {
	aead      cipher.AEAD
	nonceSize int
	plaintext []byte
	ad        []byte
	text      []byte
	buffer    []byte
}

func newBareWork(b *testing.B, algorithm ciphertext.Algorithm) *bareWork {
	w := &bareWork{plaintext: make([]byte, 1+secretLen), ad: make([]byte, 56), buffer: make([]byte, 256)}
	var err error
	if algorithm == ciphertext.AES256GCM {
		var block cipher.Block
		if block, err = aes.NewCipher(make([]byte, 32)); err == nil {
			w.aead, err = cipher.NewGCMWithRandomNonce(block)
		}
	} else {
		w.aead, err = chacha20poly1305.NewX(make([]byte, 32))
		w.nonceSize = chacha20poly1305.NonceSizeX
	}
	if err != nil {
		b.Fatal(err)
	}
	w.seal(b, 1)
	return w
}

func (w *bareWork) seal(_ *testing.B, n int) {
	for range n {
		nonce := w.buffer[:w.nonceSize]
		if w.nonceSize > 0 {
			rand.Read(nonce)
		}
		sealed := w.aead.Seal(nonce, nonce, w.plaintext, w.ad)
		w.text = base64.RawURLEncoding.AppendEncode(w.text[:0], sealed)
	}
}

func (w *bareWork) open(b *testing.B, n int) {
	for range n {
		sealed, err := base64.RawURLEncoding.AppendDecode(w.buffer[:0], w.text)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := w.aead.Open(nil, sealed[:w.nonceSize], sealed[w.nonceSize:], w.ad); err != nil {
			b.Fatal(err)
		}
	}
}

// storedWidth returns how long the ciphertext of a secret is.
func storedWidth(b *testing.B, db *gorm.DB, database testdb.Database) int {
	b.Helper()
	row := &encrypted{Email: strings.Repeat("s", secretLen)}
	if err := db.Create(row).Error; err != nil {
		b.Fatal(err)
	}
	var width int
	if err := database.Plain(b).QueryRow("SELECT length(email) FROM encrypteds").Scan(&width); err != nil {
		b.Fatal(err)
	}
	if err := db.Delete(row).Error; err != nil {
		b.Fatal(err)
	}
	return width
}

func ratio(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}
