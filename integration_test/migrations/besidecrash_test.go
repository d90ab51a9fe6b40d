package migrations_test

import (
	"crypto/rand"
	"slices"
	"syscall"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// Processes that move a column of numbers to one beside it, and back, are killed at any
// moment: between them every number can be read, and what they leave at the end is what
// one leaves that is not killed.
func TestKilledBeside(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		random := choices(t)
		e := newEmployees(t, where)
		want := e.fill(150)
		do := instructions{Where: e.where, Keys: keysFile(t, e.keys), Name: "child-" + rand.Text(), There: true, Beside: true}
		programs := numberReaders{e, e.open(&writingEmployee{}), e.open(&settledEmployee{})}
		hits := map[migrations.State]int{}
		ended := func() {
			if do.There {
				e.requireSealed()
				programs.requireNumbers(want, migrations.Finished)
			} else {
				programs.requireNumbers(want, migrations.None)
			}
			do.There = !do.There
		}
		for killed := 0; killed < *kills; {
			do.Pause = time.Duration(random.IntN(60)) * time.Millisecond
			child := do.start(t)
			select {
			case err := <-child.done:
				if err != nil {
					t.Fatalf("after %v: %v\n%s", hits, err, &child.out)
				}
				ended()
				continue
			case <-time.After(time.Duration(50+random.IntN(1500)) * time.Millisecond):
			}
			_ = child.Process.Signal(syscall.SIGKILL)
			<-child.done
			killed++
			state := e.state()
			hits[state]++
			if !slices.Contains([]migrations.State{migrations.None, migrations.Expanding}, state) { // in which the column beside may not be there
				programs.requireNumbers(want, state)
			}
		}
		for range 2 {
			child := do.start(t)
			if err := <-child.done; err != nil {
				t.Fatalf("%v\n%s", err, &child.out)
			}
			ended()
		}
		t.Logf("killed in the states %v", hits)
	})
}

// state is what the database has, past the library.
func (e employees) state() migrations.State {
	var state migrations.State
	// There is no such table before the first step.
	_ = e.pool.QueryRow("SELECT state FROM gormcrypt_columns WHERE table_name = 'employees' AND column_name = 'salary'").Scan(&state)
	return state
}

// numberReaders are programs of employees.
type numberReaders struct {
	employees
	writing, settled *gorm.DB
}

// requireNumbers checks what the programs of a state read.
func (e numberReaders) requireNumbers(want map[int64]*string, state migrations.State) {
	e.Helper()
	got := map[int64]int64{}
	var err error
	read := func(db *gorm.DB, model any) {
		var rows []map[string]any
		err = db.Model(model).Select("id", "salary").Find(&rows).Error
		for _, row := range rows {
			got[row["id"].(int64)] = row["salary"].(int64)
		}
	}
	beside := func() bool {
		_, err := e.pool.Exec("SELECT salary_sealed FROM employees LIMIT 0")
		return err == nil
	}
	switch {
	case state == migrations.None:
		read(e.plain, &plainEmployee{})
	case state == migrations.Finished || !beside():
		read(e.settled, &settledEmployee{})
	default:
		read(e.writing, &writingEmployee{})
	}
	if err != nil || len(got) != len(want) {
		e.Errorf("%s: %d rows, want %d: %v", state, len(got), len(want), err)
	}
	for id, salary := range got {
		if salary != number(want[id]) {
			e.Errorf("%s: row %d has %d", state, id, salary)
		}
	}
}
