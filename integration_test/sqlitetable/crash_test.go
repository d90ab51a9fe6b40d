package sqlitetable_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/internal/sqlitetable"
)

var kills = flag.Int("sqlitetable.kills", 20, "processes that TestKilled kills, with each kind of journal")

// childVariable names a database when this program is a process that only adds and
// removes a constraint, again and again.
const childVariable = "GORMCRYPT_TEST_CHECKS"

func changeAsChild(text string) error {
	var where testdb.Database
	if err := json.Unmarshal([]byte(text), &where); err != nil {
		return err
	}
	db, err := sql.Open(where.Driver(), where.DSN)
	if err != nil {
		return err
	}
	for ctx := context.Background(); ; {
		if err := sqlitetable.AddCheck(ctx, db, "searched", constraint, condition); err != nil {
			return err
		}
		if err := sqlitetable.DropCheck(ctx, db, "searched", constraint); err != nil {
			return err
		}
	}
}

// A process that is killed at any moment leaves a table with the constraint or
// without it, and nothing else.
func TestKilled(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, where testdb.Database) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random := rand.New(rand.NewPCG(seed, 0))
		db := where.Plain(t)
		execute(t, db, tables["searched"]...)
		execute(t, db, "INSERT INTO searched (b, c) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000) SELECT i, hex(randomblob(50)) FROM n")
		without := snapshot(t, db)
		add(t, db, "searched")
		with := snapshot(t, db)
		instructions, err := json.Marshal(where)
		if err != nil {
			t.Fatal(err)
		}
		changes, found := map[string]bool{}, [2]int{}
		for range *kills {
			before := texts(t, db, "PRAGMA schema_version")[0]
			var out bytes.Buffer
			child := exec.Command(os.Args[0])
			child.Env = append(os.Environ(), childVariable+"="+string(instructions))
			child.Stdout, child.Stderr = &out, &out
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			// It is killed a while after it began to change something.
			for deadline := time.Now().Add(20 * time.Second); texts(t, db, "PRAGMA schema_version")[0] == before && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			time.Sleep(time.Duration(random.IntN(20000)) * time.Microsecond)
			_ = child.Process.Kill()
			_ = child.Wait()
			if out.Len() > 0 {
				t.Fatalf("the process ended by itself: %s", &out)
			}
			changes[texts(t, db, "PRAGMA schema_version")[0]] = true
			got := snapshot(t, db)
			switch {
			case cmp.Equal(got, with):
				found[0]++
			case cmp.Equal(got, without):
				found[1]++
			default:
				t.Fatalf("(-with the constraint +found)\n%s", cmp.Diff(with, got))
			}
		}
		if len(changes) != *kills {
			t.Errorf("%d of %d processes changed something", len(changes), *kills)
		}
		t.Logf("after %d kills, the constraint was there %d times, and %d times not", *kills, found[0], found[1])
	})
}
