package fsck_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// expired returns what a keyring becomes when its source has not confirmed it for long.
func expired(t testing.TB, ring *keyring.Keyring) *keyring.Keyring {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	used := make(chan *keyring.Keyring, 2)
	source := keyring.Poll(&failing{ring: ring, err: keyring.ErrUnavailable}, keyring.PollConfig{Every: time.Millisecond, MaxAge: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if _, err := source.Load(ctx); err != nil {
		t.Fatal(err)
	}
	go source.Watch(ctx, func(ring *keyring.Keyring) error {
		used <- ring
		return nil
	})
	return <-used
}

// A keyring that expires while values are opened is the error of the check, wherever that
// is: nothing is taken for damaged, and nothing for sound that was not looked at.
func TestKeysThatExpire(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first, second := rings(t)
		db := fill(t, where, first, second, 600)
		keyless := expired(t, second)
		plugin := db.Plugins["gormcrypt"].(*gormcrypt.Plugin)
		use := func(ring *keyring.Keyring) {
			t.Helper()
			if err := plugin.SetKeys(context.Background(), ring); err != nil {
				t.Fatal(err)
			}
		}
		// Something is found at each row below, and the keys expire then.
		for name, plant := range map[string][]string{
			"at the first row":            {"UPDATE patients SET phone = 'SECRET' WHERE id = 1"},
			"before copies are looked at": {"UPDATE patients SET phone = 'SECRET' WHERE id = 600", "UPDATE patients SET weight = (SELECT weight FROM spare WHERE id = 5) WHERE id = 3"},
			"before strays are hunted":    {"UPDATE patients SET phone = 'SECRET' WHERE id = 600", "UPDATE patients SET payout = (SELECT payout FROM spare WHERE id = 5) WHERE id = 3"},
		} {
			exec(t, where, "CREATE TABLE spare AS SELECT * FROM patients")
			exec(t, where, plant...)
			report, err := fsck.Check(context.Background(), db, fsck.Config{Workers: 1, Tables: []string{"patients"}, Found: func(f fsck.Finding) {
				if f.Kind == fsck.Plaintext {
					use(keyless)
				}
			}})
			if !errors.Is(err, keyring.ErrExpired) {
				t.Errorf("%s: %v, %v", name, err, report.Totals)
			}
			use(second)
			exec(t, where, "UPDATE patients SET phone = (SELECT phone FROM spare WHERE spare.id = patients.id), weight = (SELECT weight FROM spare WHERE spare.id = patients.id), payout = (SELECT payout FROM spare WHERE spare.id = patients.id)", "DROP TABLE spare")
			requireFindings(t, nil, check(t, db, fsck.Config{}))
		}
	})
}
