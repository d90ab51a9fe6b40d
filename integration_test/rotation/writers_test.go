package rotation_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

var (
	seeds     = flag.Int("rotation.seeds", 4, "rotations of TestNoWriteIsLost for each database")
	firstSeed = flag.Uint64("rotation.seed", 0, "seed of the first of them, 0 for any; those that follow count up")
)

// account has two columns under data keys, and two under index keys.
type account struct {
	ID         int64
	Email      string                   `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	Phone      *string                  `gorm:"serializer:encrypted"`
	TaxID      string                   `gorm:"serializer:encrypted" encrypt:"deterministic"`
}

// person is what an account holds.
type person struct{ Email, Phone, TaxID string }

func (a account) person() person {
	p := person{Email: a.Email, TaxID: a.TaxID}
	if a.Phone != nil {
		p.Phone = *a.Phone
	}
	return p
}

// Whatever an application writes while keys rotate, some of it with the keyring of
// before, is there at the end, and each value is under the new version.
func TestNoWriteIsLost(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		first := *firstSeed
		if first == 0 {
			first = uint64(rand.Uint32()) + 1
		}
		keys, err := keyring.Generate()
		if err != nil {
			t.Fatal(err)
		}
		var apps [writerCount + 1]*gorm.DB // one process each
		for i := range apps {
			apps[i] = use(t, where, keys, &account{})
		}
		if err := apps[0].AutoMigrate(&account{}); err != nil {
			t.Fatal(err)
		}
		plain := where.Plain(t)
		held := map[int64]person{}
		var writes, superseded, deleted int64
		for i := range *seeds {
			seed := first + uint64(i)
			set := []keyring.Set{keyring.DataKeys, keyring.IndexKeys}[i%2]
			added, version, err := keys.Add(set)
			if err != nil {
				t.Fatal(err)
			}
			promoted, err := added.Promote(version)
			if err != nil {
				t.Fatal(err)
			}
			w := &writers{t: t, plain: plain, apps: apps, seed: seed, old: added, fresh: promoted, held: held, set: set}
			w.run()
			writes, superseded, deleted = writes+w.writes.Load(), superseded+w.superseded, deleted+w.deleted
			if t.Failed() {
				t.Fatalf("to repeat it: -rotation.seeds=1 -rotation.seed=%d", seed)
			}
			keys = promoted
		}
		t.Logf("%d rotations from seed %d, %d writes meanwhile; of the rows that were read, %d were written by the application first, and %d were deleted", *seeds, first, writes, superseded, deleted)
	})
}

// writers write to accounts while one rotation runs.
type writers struct {
	t          *testing.T
	plain      *sql.DB
	apps       [writerCount + 1]*gorm.DB
	seed       uint64
	old, fresh *keyring.Keyring
	set        keyring.Set
	mu         sync.Mutex
	held       map[int64]person
	writes     atomic.Int64
	// superseded and deleted are what the reports say.
	superseded, deleted int64
}

const (
	writerCount = 3
	keysOfOne   = 60 // of each writer
)

func (w *writers) run() {
	w.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	random := rand.New(rand.NewPCG(w.seed, 0))
	for _, db := range w.apps {
		w.setKeys(db, w.old)
	}
	for i := range writerCount { // there are rows before
		w.write(i, w.apps[i], random, keysOfOne/2)
	}
	var group, switched sync.WaitGroup
	switched.Add(writerCount)
	for i := range writerCount {
		random := rand.New(rand.NewPCG(w.seed, uint64(i+1)))
		db := w.apps[i]
		group.Go(func() {
			w.write(i, db, random, random.IntN(20))
			w.setKeys(db, w.fresh)
			switched.Done()
			for ctx.Err() == nil {
				w.write(i, db, random, 1)
				time.Sleep(time.Duration(random.IntN(500)) * time.Microsecond)
			}
		})
	}
	db := w.apps[writerCount]
	w.setKeys(db, w.fresh)
	job, err := rotation.New(db, rotation.Config{Set: w.set, Workers: 2, ShardRows: 40, Limits: rotation.Limits{Duty: 1, MaxRows: 1 + random.IntN(60)}})
	if err != nil {
		w.t.Fatal(err)
	}
	var report rotation.Report
	for range 2 { // the first may be at its end while a writer has the old keyring
		if report, err = job.Run(context.Background()); err != nil || report.State != rotation.Finished {
			w.t.Errorf("%v: %+v", err, report)
		}
		w.superseded += report.Superseded
		w.deleted += report.Deleted
		switched.Wait()
	}
	stop()
	group.Wait()
	w.check(db)
}

func (w *writers) setKeys(db *gorm.DB, keys *keyring.Keyring) {
	if err := db.Plugins["gormcrypt"].(*gormcrypt.Plugin).SetKeys(context.Background(), keys); err != nil {
		w.t.Error(err)
	}
}

// write makes changes to rows that belong to one writer, and notes what the
// database has said yes to.
func (w *writers) write(writer int, db *gorm.DB, random *rand.Rand, n int) {
	for range n {
		id := int64(1 + writer*keysOfOne + random.IntN(keysOfOne))
		w.mu.Lock()
		was, exists := w.held[id]
		w.mu.Unlock()
		now := person{fmt.Sprintf("SECRET-%d@example.org", random.Int64()), fmt.Sprint("SECRET ", random.Int64()), fmt.Sprint("SECRET ", random.IntN(9))}
		row := account{ID: id, Email: now.Email, Phone: &now.Phone, TaxID: now.TaxID}
		var err error
		switch what := random.IntN(5); {
		case !exists && what < 3:
			err = w.try(func() error { return db.Create(&row).Error })
		case what == 0:
			err = w.try(func() error { return db.Delete(&account{}, id).Error })
			now = person{}
		case what == 1 && exists:
			now = person{now.Email, was.Phone, was.TaxID}
			err = w.try(func() error { return db.Model(&account{ID: id}).Update("email", now.Email).Error })
		case what == 2 && exists:
			now = person{was.Email, "", now.TaxID}
			err = w.try(func() error {
				return db.Model(&account{}).Where("id = ?", id).Updates(map[string]any{"phone": nil, "tax_id": now.TaxID}).Error
			})
		default:
			err = w.try(func() error {
				row := row
				return db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, DoUpdates: clause.AssignmentColumns([]string{"email", "phone", "tax_id"})}).Create(&row).Error
			})
			// An upsert on a deterministic column is not admitted while two index
			// keys are live; this one is on the key.
		}
		if err != nil {
			w.t.Errorf("seed %d: %v", w.seed, err)
			return
		}
		w.writes.Add(1)
		w.mu.Lock()
		if now == (person{}) {
			delete(w.held, id)
		} else {
			w.held[id] = now
		}
		w.mu.Unlock()
	}
}

// try does what an application does whose database is busy.
func (w *writers) try(do func() error) error {
	for {
		err := do()
		if err == nil || !strings.Contains(err.Error(), "locked") {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *writers) check(db *gorm.DB) {
	w.t.Helper()
	var rows []account
	if err := db.Find(&rows).Error; err != nil {
		w.t.Fatal(err)
	}
	found := map[int64]person{}
	for _, row := range rows {
		found[row.ID] = row.person()
	}
	if d := cmp.Diff(w.held, found); d != "" {
		w.t.Errorf("(-written +found)\n%s", d)
	}
	data, err := w.fresh.Primary(keyring.DataKeys)
	if err != nil {
		w.t.Fatal(err)
	}
	index, err := w.fresh.Primary(keyring.IndexKeys)
	if err != nil {
		w.t.Fatal(err)
	}
	query := fmt.Sprintf("SELECT count(*) FROM accounts WHERE email NOT LIKE 'gc1:%s:%%' OR phone NOT LIKE 'gc1:%s:%%'", data, data)
	if w.set == keyring.IndexKeys {
		query = fmt.Sprintf("SELECT count(*) FROM accounts WHERE tax_id NOT LIKE 'gc1:%s:%%' OR email_index NOT LIKE '%s:%%'", index, index)
	}
	var stale int
	if err := w.plain.QueryRow(query).Scan(&stale); err != nil || stale > 0 {
		w.t.Errorf("%d rows are under an older version: %v", stale, err)
	}
	// Every row is found by its index.
	for id, person := range maps.All(found) {
		var ids []int64
		if err := db.Model(&account{}).Where("email = ?", person.Email).Pluck("id", &ids).Error; err != nil || len(ids) != 1 || ids[0] != id {
			w.t.Errorf("the row %d was found as %v: %v", id, ids, err)
		}
	}
}
