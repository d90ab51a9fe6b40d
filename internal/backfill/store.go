package backfill

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Database is the Store of a job in SQLite or PostgreSQL. It is safe for
// concurrent use.
type Database struct {
	*Ledger
	tables  *Tables
	job     string
	writers string // as Plan has it
	lease   time.Duration
	mark    Mark
	// turn is held to write a batch, if the database has one writer at a time.
	turn sync.Mutex
}

// maxPasses is how often a job goes through its tables while there is something
// stale, before it pauses. That many are passed only if something goes on writing
// stale values. With the pauses between them, they take a quarter of an hour.
const maxPasses = 20

// staleAgain is why rows are stale after so many passes.
func (d *Database) staleAgain() string {
	return "something writes them again or holds them, such as " + d.writers + ", a trigger that undoes updates, or a transaction that is left open"
}

// pause returns how long to wait before a pass. The first ones find what programs
// with older keyrings have written during a deployment; the others wait for its end.
func pause(next Pass) time.Duration {
	if next.Phase != Rewriting || next.Number <= 3 {
		return 0
	}
	return min(time.Second<<min(next.Number-4, 10), time.Minute)
}

// ErrStale is the error of a job that is paused, because stale values are still
// written after so many passes.
var ErrStale = errors.New("stale values are still written")

// Mark tells the stored value of a column and a row from others, by which a value in
// quarantine is known again: under a key, because it may be plaintext, and the ledger is
// in the database. The table is the index of that in the plan.
type Mark func(table int, key Key, column string, stored any) string

// Open returns the store of a job, with the Writers of its plan. A shard is taken over when its owner has not
// been heard of for the time of a lease.
func (l *Ledger) Open(job string, tables *Tables, writers string, lease time.Duration, mark Mark) *Database {
	return &Database{Ledger: l, tables: tables, job: job, writers: writers, lease: lease, mark: mark}
}

// Transient reports whether an error may be gone when the same is tried again,
// and whether that is likelier with a smaller batch.
func (l *Ledger) Transient(err error) (again, smaller bool) { return l.transient(err) }

// claimTimeout is how long it may take to take a shard.
const claimTimeout = 10 * time.Second

// Claim implements Store. It begins to look at a random shard, so that workers do
// not meet.
func (d *Database) Claim(ctx context.Context, worker string) (Shard, bool, error) {
	if err := ctx.Err(); err != nil {
		return Shard{}, false, err
	}
	// It is not cancelled: the database may have given the shard, and nobody would
	// know until the lease is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), claimTimeout)
	defer cancel()
	var shard Shard
	var after, upTo sql.NullString
	var phase string
	row := d.pool.QueryRowContext(ctx, d.rebind(`UPDATE gormcrypt_shards SET owner = ?, fence = fence + 1, lease_until = `+d.now()+` + ?
WHERE job = ? AND number = (SELECT number FROM gormcrypt_shards WHERE job = ? AND done = 0 AND lease_until < `+d.now()+`
	AND EXISTS (SELECT 1 FROM gormcrypt_jobs WHERE id = ? AND state = ?)
	ORDER BY CASE WHEN number >= ? THEN 0 ELSE 1 END, number LIMIT 1`+d.skipLocked()+`)
RETURNING number, table_number, fence, after_key, upto_key, (SELECT phase FROM gormcrypt_jobs WHERE id = job), (SELECT pass FROM gormcrypt_jobs WHERE id = job)`),
		worker, d.lease.Milliseconds(), d.job, d.job, d.job, Running, rand.IntN(64))
	err := row.Scan(&shard.Number, &shard.Table, &shard.Fence, &after, &upTo, &phase, &shard.Pass.Number)
	if errors.Is(err, sql.ErrNoRows) {
		return Shard{}, false, nil
	}
	if err != nil {
		return Shard{}, false, d.failed("taking a shard", err)
	}
	if shard.Table < 0 || shard.Table >= len(d.tables.plan) {
		return Shard{}, false, d.failed("taking a shard", fmt.Errorf("the ledger is damaged: the plan has no table %d; cancel the job", shard.Table))
	}
	shard.Pass.Phase, err = parsePhase(phase)
	if err == nil && shard.Pass.Phase == Ended {
		err = errors.New("the ledger is damaged: the job has ended, and its state is running; cancel the job")
	}
	if err != nil {
		return Shard{}, false, d.failed("taking a shard", err)
	}
	for text, key := range map[*sql.NullString]*Key{&after: &shard.After, &upTo: &shard.UpTo} {
		if text.Valid {
			if *key, err = decodeKey(text.String, len(d.tables.plan[shard.Table].Key)); err != nil {
				return Shard{}, false, d.failed("taking a shard", err)
			}
		}
	}
	return shard, true, nil
}

func (d *Database) failed(what string, err error) error {
	return fmt.Errorf("gormcrypt: job %s: %s: %w", d.job, what, err)
}

// Read implements Store.
func (d *Database) Read(ctx context.Context, shard Shard, room Room) (Part, error) {
	part, err := d.tables.Read(ctx, shard, room)
	if err != nil {
		return Part{}, fmt.Errorf("gormcrypt: job %s: %w", d.job, err)
	}
	return part, nil
}

// Look implements Store.
func (d *Database) Look(ctx context.Context, shard Shard, keys []Key) ([]*Current, error) {
	rows, err := d.tables.Look(ctx, shard.Table, keys)
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: job %s: %w", d.job, err)
	}
	return rows, nil
}

// Write implements Store.
func (d *Database) Write(ctx context.Context, shard Shard, checkpoint Checkpoint) (Written, error) {
	if d.oneWriter() {
		d.turn.Lock()
		defer d.turn.Unlock()
	}
	written, err := d.write(ctx, shard, checkpoint, func(tx *sql.Tx) (int, int, []Poison, error) {
		n, err := d.tables.described[shard.Table].swap(ctx, tx, checkpoint.Swaps)
		return int(n), 0, nil, err
	})
	if err != nil && d.refusal(err) != "" {
		written, err = d.write(ctx, shard, checkpoint, func(tx *sql.Tx) (int, int, []Poison, error) {
			if now := d.constraintsNow(); now != "" {
				if _, err := tx.ExecContext(ctx, now); err != nil {
					return 0, 0, nil, err
				}
			}
			return d.swapApart(ctx, tx, shard.Table, checkpoint.Swaps)
		})
	}
	if err != nil {
		if errors.Is(err, ErrLost) {
			return Written{}, ErrLost
		}
		return Written{}, d.failed("writing a batch", err)
	}
	return written, nil
}

// write writes a checkpoint, of which swap swaps the values.
func (d *Database) write(ctx context.Context, shard Shard, checkpoint Checkpoint, swap func(*sql.Tx) (swapped, refused int, poison []Poison, err error)) (Written, error) {
	table := d.tables.plan[shard.Table]
	var written Written
	err := inTx(ctx, d.pool, func(tx *sql.Tx) error {
		swapped, refused, poison, err := swap(tx)
		if err != nil {
			return fmt.Errorf("writing to %s: %w", table.Name, err)
		}
		written = Written{Swapped: swapped, Refused: refused, Poisoned: int64(len(poison))}
		for _, poison := range slices.Concat(checkpoint.Poison, poison) {
			refused := 0
			if poison.Refused {
				refused = 1
			}
			// Of a value that the database has refused it is known why it is still there.
			if _, err := d.exec(ctx, tx, `INSERT INTO gormcrypt_quarantine (job, table_name, row_key, column_name, key_version, reason, refused, fingerprint, noted_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, `+d.now()+`)
ON CONFLICT (job, table_name, row_key, column_name) DO UPDATE SET key_version = excluded.key_version, reason = excluded.reason, refused = excluded.refused, fingerprint = excluded.fingerprint
WHERE gormcrypt_quarantine.refused = 0 OR excluded.refused = 1 OR gormcrypt_quarantine.fingerprint <> excluded.fingerprint`,
				d.job, table.Name, encodeKey(poison.Key), poison.Column, poison.Version, poison.Reason, refused, d.mark(shard.Table, poison.Key, poison.Column, poison.Stored)); err != nil {
				return fmt.Errorf("writing to the quarantine: %w", err)
			}
		}
		return d.checkpoint(ctx, tx, shard, checkpoint, written)
	})
	return written, err
}

// checkpoint moves the cursor of a shard, if it still belongs to its owner. The
// transaction is taken back otherwise.
func (d *Database) checkpoint(ctx context.Context, tx *sql.Tx, shard Shard, c Checkpoint, written Written) error {
	done, until := 0, d.now()+" + ?"
	if c.Done {
		done, until = 1, "0 * ?"
	}
	n, err := d.exec(ctx, tx, `UPDATE gormcrypt_shards SET after_key = ?, done = ?, lease_until = `+until+`, pass_read = pass_read + ?,
	rows_read = rows_read + ?, bytes_read = bytes_read + ?, swapped = swapped + ?, superseded = superseded + ?, deleted = deleted + ?, deferred = deferred + ?, poisoned = poisoned + ?
WHERE job = ? AND number = ? AND fence = ? AND EXISTS (SELECT 1 FROM gormcrypt_jobs WHERE id = ? AND state = ?)`,
		encodeKey(c.Cursor), done, d.lease.Milliseconds(), c.Counts.Read,
		c.Counts.Read, c.Counts.Bytes, written.Swapped, c.Counts.Superseded, c.Counts.Deleted, c.Counts.Deferred, c.Counts.Poisoned+written.Poisoned,
		d.job, shard.Number, shard.Fence, d.job, Running)
	if err == nil && n == 0 {
		return ErrLost
	}
	return err
}

// Renew implements Store.
func (d *Database) Renew(ctx context.Context, shard Shard) error {
	n, err := d.exec(ctx, d.pool, "UPDATE gormcrypt_shards SET lease_until = "+d.now()+" + ? WHERE job = ? AND number = ? AND fence = ? AND lease_until > 0 AND EXISTS (SELECT 1 FROM gormcrypt_jobs WHERE id = ? AND state = ?)",
		d.lease.Milliseconds(), d.job, shard.Number, shard.Fence, d.job, Running)
	switch {
	case err != nil:
		return d.failed("renewing a lease", err)
	case n == 0:
		return ErrLost
	}
	return nil
}

// Release implements Store.
func (d *Database) Release(ctx context.Context, shard Shard) error {
	_, err := d.exec(ctx, d.pool, "UPDATE gormcrypt_shards SET lease_until = 0 WHERE job = ? AND number = ? AND fence = ?", d.job, shard.Number, shard.Fence)
	if err != nil {
		return d.failed("releasing a shard", err)
	}
	return nil
}

// Pass implements Store. It is Ended for a job that is over.
func (d *Database) Pass(ctx context.Context) (Pass, error) {
	var pass Pass
	var phase string
	err := d.pool.QueryRowContext(ctx, d.rebind("SELECT phase, pass FROM gormcrypt_jobs WHERE id = ?"), d.job).Scan(&phase, &pass.Number)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = ErrNoJob
	case err == nil:
		pass.Phase, err = parsePhase(phase)
	}
	if err != nil {
		return Pass{}, d.failed("reading the ledger", err)
	}
	return pass, nil
}

// Settle implements Store. What is stale is counted by one worker, outside of any
// transaction: when all shards are done, nobody changes the job meanwhile.
func (d *Database) Settle(ctx context.Context, from Pass) (Pass, error) {
	pass, err := d.Pass(ctx)
	if err != nil || pass != from || pass.Phase == Ended {
		return pass, err
	}
	var left int64
	if err := d.pool.QueryRowContext(ctx, d.rebind("SELECT count(*) FROM gormcrypt_shards WHERE job = ? AND done = 0"), d.job).Scan(&left); err != nil {
		return pass, d.failed("reading the ledger", err)
	}
	if left > 0 {
		return pass, nil
	}
	n, err := d.exec(ctx, d.pool, "UPDATE gormcrypt_jobs SET settling_until = "+d.now()+" + ? WHERE id = ? AND state = ? AND phase = ? AND pass = ? AND settling_until < "+d.now(),
		d.lease.Milliseconds(), d.job, Running, string(from.Phase), from.Number)
	if err != nil {
		return pass, d.failed("writing to the ledger", err)
	}
	if n == 0 { // somebody else counts
		return pass, nil
	}
	renewed := d.keepSettling(ctx, from)
	stale, poisoned, quarantined, err := d.left(ctx)
	renewed()
	if err != nil {
		_, again := d.exec(ctx, d.pool, "UPDATE gormcrypt_jobs SET settling_until = 0 WHERE id = ? AND phase = ? AND pass = ?", d.job, string(from.Phase), from.Number)
		return pass, errors.Join(err, again)
	}
	next, state, reason := settle(from, stale-poisoned, quarantined, d.staleAgain())
	delay := pause(next)
	if state == Running && delay > 0 {
		reason = fmt.Sprintf("%d rows are stale after pass %d, because %s; the next pass begins after %v", stale-poisoned, from.Number, d.staleAgain(), delay)
	}
	err = inTx(ctx, d.pool, func(tx *sql.Tx) error {
		n, err := d.exec(ctx, tx, "UPDATE gormcrypt_jobs SET phase = ?, pass = ?, state = ?, reason = ?, settling_until = 0, updated_at = "+d.now()+" WHERE id = ? AND phase = ? AND pass = ? AND state = ?",
			string(next.Phase), next.Number, state, reason, d.job, string(from.Phase), from.Number, Running)
		if err != nil || n == 0 || next.Phase == Ended {
			return err
		}
		// What could not be opened is tried once in each pass. What the database
		// refuses is only tried when it is written.
		if _, err := d.exec(ctx, tx, "DELETE FROM gormcrypt_quarantine WHERE job = ? AND (? = '"+string(Rewriting)+"' OR refused = 0)", d.job, string(next.Phase)); err != nil {
			return err
		}
		_, err = d.exec(ctx, tx, "UPDATE gormcrypt_shards SET after_key = from_key, done = 0, owner = '', lease_until = CASE WHEN ? = 0 THEN 0 ELSE "+d.now()+" + ? END, pass_read = 0 WHERE job = ?",
			delay.Milliseconds(), delay.Milliseconds(), d.job)
		return err
	})
	if err != nil {
		return pass, d.failed("writing to the ledger", err)
	}
	if state == Paused {
		return pass, fmt.Errorf("gormcrypt: job %s is paused: %w: %s", d.job, ErrStale, reason)
	}
	return d.Pass(ctx)
}

// keepSettling has others go on waiting while this one counts, which may take long,
// until what it returns is called. If this process dies, another one counts when the
// time of a lease is over.
func (d *Database) keepSettling(ctx context.Context, pass Pass) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() {
		for sleep(ctx, d.lease/3) == nil {
			// If this fails, somebody else may count too, which changes nothing.
			_, _ = d.exec(ctx, d.pool, "UPDATE gormcrypt_jobs SET settling_until = "+d.now()+" + ? WHERE id = ? AND phase = ? AND pass = ?",
				d.lease.Milliseconds(), d.job, string(pass.Phase), pass.Number)
		}
	})
	return func() {
		cancel()
		group.Wait()
	}
}

// settle decides what follows a pass, of how many rows are stale that can be
// opened, and of how many cannot.
func settle(from Pass, stale, quarantined int64, again string) (next Pass, state, reason string) {
	switch {
	case stale > 0 && from.Number >= maxPasses:
		return Pass{Phase: Rewriting, Number: from.Number + 1}, Paused, fmt.Sprintf("after %d passes there are %d stale rows, because %s; end that, and resume the job", from.Number, stale, again)
	case stale > 0:
		return Pass{Phase: Rewriting, Number: from.Number + 1}, Running, ""
	case from.Phase == Rewriting:
		return Pass{Phase: Verifying, Number: from.Number + 1}, Running, ""
	case quarantined > 0:
		return Pass{Phase: Ended, Number: from.Number}, Quarantined, fmt.Sprintf("in quarantine: %d", quarantined)
	}
	return Pass{Phase: Ended, Number: from.Number}, Finished, ""
}

// left returns the number of rows that are stale, of those of them of which all
// that is stale is in quarantine, and of the values there.
func (d *Database) left(ctx context.Context) (stale, poisoned, quarantined int64, err error) {
	for i := range d.tables.plan {
		rows, err := d.tables.StaleRows(ctx, i)
		if err != nil {
			return 0, 0, 0, d.failed("counting what is stale", err)
		}
		stale += rows
	}
	rows, err := d.Quarantine(ctx, d.job)
	if err != nil {
		return 0, 0, 0, err
	}
	const chunk = 500
	for i, table := range d.tables.plan {
		of := map[string][]QuarantinedValue{}
		var keys []Key
		for _, row := range rows {
			if row.Table != table.Name || len(row.Key) != len(table.Key) {
				continue
			}
			if of[keyText(row.Key)] == nil {
				keys = append(keys, row.Key)
			}
			of[keyText(row.Key)] = append(of[keyText(row.Key)], row)
		}
		for some := range slices.Chunk(keys, chunk) {
			found, err := d.Look(ctx, Shard{Table: i}, some)
			if err != nil {
				return 0, 0, 0, err
			}
			for j, current := range found {
				if current != nil && current.IsStale() && d.onlyPoison(i, some[j], current, of[keyText(some[j])]) {
					poisoned++
				}
			}
		}
	}
	return stale, poisoned, int64(len(rows)), nil
}

// onlyPoison reports whether all that is stale in a row is in quarantine.
func (d *Database) onlyPoison(table int, key Key, current *Current, known []QuarantinedValue) bool {
	for i, cell := range d.tables.plan[table].Cells {
		if current.Old[i] != nil && !slices.ContainsFunc(known, func(value QuarantinedValue) bool {
			return value.Column == cell.Column && value.mark == d.mark(table, key, cell.Column, current.Cells[i])
		}) {
			return false
		}
	}
	return true
}
