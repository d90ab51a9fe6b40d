package fsck_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/fsck"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// latest is a source that had an older keyring when it was first asked.
type latest struct {
	older, newer *keyring.Keyring
	asked        atomic.Int64
}

func (l *latest) Load(context.Context) (*keyring.Keyring, error) {
	if l.asked.Add(1) == 1 {
		return l.older, nil
	}
	return l.newer, nil
}

// Nothing is found in a sound table while an application writes rows, deletes them and
// gives them other keys, and a rotation seals them anew under keys that this process
// did not have when it began.
func TestNothingIsFoundBesideWriters(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		random := seeded(t)
		first, second := rings(t)
		m := must[manifest.Manifest](t)(gormcrypt.Manifest(fill(t, where, first, first, 1000)))
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		stop := func() { cancel(); running.Wait() }
		defer stop()
		seed := random.Uint64()
		running.Go(func() { application(ctx, t, use(t, where, second, models()...), rand.New(rand.NewPCG(seed, 1)), 1000) })

		rotated := make(chan error, 1)
		db := use(t, where, second, models()...)
		running.Go(func() {
			var err error
			for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
				var job *rotation.Rotation
				if job, err = rotation.New(db, rotation.Config{Set: set, Workers: 1, Limits: rotation.Limits{Duty: 0.5}}); err == nil {
					_, err = job.Run(ctx)
				}
				if err != nil {
					break
				}
			}
			rotated <- err
		})
		checks, over := 0, false
		for ; !over && checks < 10 || checks < 3; checks++ {
			select {
			case err := <-rotated:
				if err != nil {
					t.Fatal(err)
				}
				over = true
			default:
			}
			source := &latest{older: first, newer: second}
			report := check(t, where.Open(t, nil), fsck.Config{Manifest: &m, Keys: source, Workers: 1 + checks%2})
			requireFindings(t, nil, report)
			if source.asked.Load() < 2 && checks > 0 {
				t.Error("no value was under a key that was not there at first")
			}
		}
		t.Logf("%d checks, and the rotation is over: %v", checks, over)
	})
}

// application writes until ctx is done.
func application(ctx context.Context, t *testing.T, db *gorm.DB, random *rand.Rand, rows int) {
	for n := 0; ctx.Err() == nil; n++ {
		id := int64(1 + random.IntN(rows))
		var err error
		switch random.IntN(5) {
		case 0:
			text := fmt.Sprintf("SECRET %d anew", n)
			err = db.Model(&patient{ID: id}).Updates(&patient{Name: &text, Phone: &text}).Error
		case 1:
			text := fmt.Sprintf("SECRET %d new", n)
			err = db.Create(&patient{ID: int64(1e9 + n), AccountID: pointer(accountOf(1e6 + n)), Name: &text, Payout: &text, TaxID: &text}).Error
		case 2:
			err = db.Unscoped().Delete(&patient{ID: id}).Error
		case 3:
			if n%10 > 1 { // or else the rotation has one more pass to make, again and again
				continue
			}
			// The same ciphertexts under another key, once behind and once in front of
			// whoever walks.
			other := id + int64(rows)*int64(10+n)
			if n%2 == 0 {
				other = -other
			}
			err = db.Exec("UPDATE patients SET id = ? WHERE id = ?", other, id).Error
		case 4:
			err = db.Model(&patient{}).Where("id = ?", id).Updates(map[string]any{"name": nil, "weight": float64(n)}).Error
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, gorm.ErrRecordNotFound) {
			t.Errorf("the application: %v", err)
			return
		}
	}
}
