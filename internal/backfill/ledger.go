package backfill

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The ledger: what is known of jobs, in tables beside those that they are about,
// which internal/owntables makes. Times are milliseconds since 1970 by the clock of
// the database.

// The states of a job. It is over in the last three.
const (
	Running     = "running"
	Paused      = "paused"
	Cancelled   = "cancelled"
	Finished    = "finished"
	Quarantined = "quarantined" // all is done but for values in quarantine
)

// Plan is what a job is about. Its hash tells it from others.
type Plan struct {
	// Title is what the job does, and Target the key version that it leads to.
	Title, Target string
	// Writers are those who would write stale values again, such as "a program with
	// an older keyring".
	Writers string
	Tables  []Table
	// Rows are those of each table when the job began. Only the ledger has them.
	Rows []int64 `json:",omitempty"`
}

// Job is a job in the ledger.
type Job struct {
	ID, Title, Target, Hash string
	Tables                  []Table
	State                   string
	Pass                    Pass
	// Reason is why a job waits or ended, empty if there is nothing to say.
	Reason string
	Limits string
	// Total is the number of rows of all tables when the job began.
	Total int64
	// CreatedAt and UpdatedAt are by the clock of the database.
	CreatedAt, UpdatedAt time.Time
	// Shards and Done are the numbers of all shards and those done in this pass,
	// and PassRead the rows that it went through.
	Shards, Done int
	PassRead     int64
	Counts       Counts
	Quarantined  int64
	// Parts are the tables, in the order of the plan.
	Parts []TablePart
}

// TablePart is how far a job is with one of its tables. Total is zero in jobs of
// builds that did not note it.
type TablePart struct {
	Shards, Done    int
	Total, PassRead int64
}

// Over reports whether the job has ended.
func (j Job) Over() bool {
	return j.State == Finished || j.State == Cancelled || j.State == Quarantined
}

// Ledger is the ledger of a database.
type Ledger struct {
	pool *sql.DB
	dialect
}

// OpenLedger returns the ledger of a database that has its tables.
func OpenLedger(pool *sql.DB, dialectName string) (*Ledger, error) {
	d, err := dialectOf(dialectName)
	if err != nil {
		return nil, err
	}
	return &Ledger{pool, d}, nil
}

// exec runs a statement with question marks, and returns how many rows it changed.
func (l *Ledger) exec(ctx context.Context, on execer, query string, args ...any) (int64, error) {
	result, err := on.ExecContext(ctx, l.rebind(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

type execer interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

// Begin returns the job that goes on with a plan: the unfinished one in the
// ledger, or a new one, whose tables shards cuts and counts. It returns an error
// if an unfinished job with another plan is about one of the tables.
func (l *Ledger) Begin(ctx context.Context, plan Plan, hash string, shards func(ctx context.Context, table int) (bounds []Key, rows int64, err error)) (id string, resumed bool, err error) {
	if id, err = l.unfinished(ctx, l.pool, plan, hash); err != nil || id != "" {
		return id, true, err
	}
	type shard struct {
		table      int
		from, upTo any
	}
	var all []shard
	var total int64
	for i, table := range plan.Tables {
		bounds, rows, err := shards(ctx, i)
		if err != nil {
			return "", false, fmt.Errorf("gormcrypt: cutting the table %s into shards: %w", table.Name, err)
		}
		total += rows
		plan.Rows = append(plan.Rows, rows)
		var from any
		for _, bound := range bounds {
			all = append(all, shard{i, from, encodeKey(bound)})
			from = encodeKey(bound)
		}
		all = append(all, shard{i, from, nil})
	}
	text, err := json.Marshal(plan)
	if err != nil {
		return "", false, err
	}
	err = inTx(ctx, l.pool, func(tx *sql.Tx) error {
		// Whoever else begins now waits here, and then finds this job.
		if _, err := l.exec(ctx, tx, l.lockJobs()); err != nil {
			return err
		}
		if id, err = l.unfinished(ctx, tx, plan, hash); err != nil || id != "" {
			resumed = true
			return err
		}
		id = strings.ToLower(rand.Text())
		if _, err := l.exec(ctx, tx, "INSERT INTO gormcrypt_jobs (id, plan_hash, plan, state, phase, pass, limits, total, reason, settling_until, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 1, '', ?, '', 0, "+l.now()+", "+l.now()+")",
			id, hash, string(text), Running, string(Rewriting), total); err != nil {
			return err
		}
		for i, shard := range all {
			if _, err := l.exec(ctx, tx, "INSERT INTO gormcrypt_shards (job, number, table_number, from_key, upto_key, after_key, done, owner, lease_until, fence, pass_read) VALUES (?, ?, ?, ?, ?, ?, 0, '', 0, 0, 0)",
				id, i, shard.table, shard.from, shard.upTo, shard.from); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", false, fmt.Errorf("gormcrypt: writing the job to the ledger: %w", err)
	}
	return id, resumed, nil
}

// ErrOtherJob is the error of a plan whose tables are in the hands of another job.
var ErrOtherJob = errors.New("another job is not finished")

// Unfinished returns the unfinished job of a plan, empty if there is none, and errors
// as Begin does.
func (l *Ledger) Unfinished(ctx context.Context, plan Plan, hash string) (string, error) {
	return l.unfinished(ctx, l.pool, plan, hash)
}

// unfinished returns the unfinished job of a plan, empty if there is none.
func (l *Ledger) unfinished(ctx context.Context, from querier, plan Plan, hash string) (string, error) {
	rows, err := from.QueryContext(ctx, l.rebind("SELECT id, plan_hash, plan FROM gormcrypt_jobs WHERE state IN (?, ?) ORDER BY created_at, id"), Running, Paused)
	if err != nil {
		return "", fmt.Errorf("gormcrypt: reading the ledger: %w", err)
	}
	defer rows.Close()
	found := ""
	var other error
	for rows.Next() {
		var id, itsHash, text string
		if err := rows.Scan(&id, &itsHash, &text); err != nil {
			return "", fmt.Errorf("gormcrypt: reading the ledger: %w", err)
		}
		if itsHash == hash {
			if found == "" {
				found = id
			}
			continue
		}
		var its Plan
		if err := json.Unmarshal([]byte(text), &its); err != nil {
			return "", fmt.Errorf("gormcrypt: the plan of job %s in the ledger cannot be read: %w", id, err)
		}
		for _, table := range its.Tables {
			if slices.ContainsFunc(plan.Tables, func(t Table) bool { return t.Name == table.Name }) {
				other = fmt.Errorf("gormcrypt: %w: %s (%s) is about the table %s too, by another plan; let it finish, with the configuration and the primary key version that it began with, or cancel it and run this one", ErrOtherJob, id, its.Title, table.Name)
			}
		}
	}
	if err := rows.Err(); err != nil {
		return "", fmt.Errorf("gormcrypt: reading the ledger: %w", err)
	}
	if found != "" {
		return found, nil
	}
	return "", other
}

// ErrNoJob is the error of a job that is not in the ledger.
var ErrNoJob = errors.New("there is no such job")

// Job returns a job.
func (l *Ledger) Job(ctx context.Context, id string) (Job, error) {
	jobs, err := l.jobs(ctx, " WHERE id = ?", id)
	if err == nil && len(jobs) == 0 {
		err = fmt.Errorf("gormcrypt: job %s: %w", id, ErrNoJob)
	}
	if err != nil {
		return Job{}, err
	}
	return jobs[0], nil
}

// Jobs returns all jobs, the newest first.
func (l *Ledger) Jobs(ctx context.Context) ([]Job, error) { return l.jobs(ctx, "") }

func (l *Ledger) jobs(ctx context.Context, where string, args ...any) ([]Job, error) {
	rows, err := l.pool.QueryContext(ctx, l.rebind("SELECT id, plan_hash, plan, state, phase, pass, reason, limits, total, created_at, updated_at, (SELECT count(*) FROM gormcrypt_quarantine AS q WHERE q.job = gormcrypt_jobs.id) FROM gormcrypt_jobs"+where+" ORDER BY created_at DESC, id DESC"), args...)
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
	}
	defer rows.Close()
	var jobs []Job
	for rows.Next() {
		var job Job
		var text string
		var created, updated int64
		if err := rows.Scan(&job.ID, &job.Hash, &text, &job.State, &job.Pass.Phase, &job.Pass.Number, &job.Reason, &job.Limits, &job.Total, &created, &updated, &job.Quarantined); err != nil {
			return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
		}
		var plan Plan
		if err := json.Unmarshal([]byte(text), &plan); err != nil {
			return nil, fmt.Errorf("gormcrypt: the plan of job %s in the ledger cannot be read: %w", job.ID, err)
		}
		job.Title, job.Target, job.Tables, job.Parts = plan.Title, plan.Target, plan.Tables, make([]TablePart, len(plan.Tables))
		for i := range min(len(plan.Rows), len(job.Parts)) {
			job.Parts[i].Total = plan.Rows[i]
		}
		job.CreatedAt, job.UpdatedAt = time.UnixMilli(created).UTC(), time.UnixMilli(updated).UTC()
		jobs = append(jobs, job)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
	}
	for i := range jobs {
		if err := l.addShards(ctx, &jobs[i]); err != nil {
			return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
		}
	}
	return jobs, nil
}

func (l *Ledger) addShards(ctx context.Context, job *Job) error {
	rows, err := l.pool.QueryContext(ctx, l.rebind(`SELECT table_number, count(*), sum(done), sum(pass_read), sum(rows_read), sum(bytes_read), sum(swapped), sum(superseded), sum(deleted), sum(deferred), sum(poisoned)
FROM gormcrypt_shards WHERE job = ? GROUP BY table_number`), job.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var number int
		var part TablePart
		var c Counts
		if err := rows.Scan(&number, &part.Shards, &part.Done, &part.PassRead, &c.Read, &c.Bytes, &c.Swapped, &c.Superseded, &c.Deleted, &c.Deferred, &c.Poisoned); err != nil {
			return err
		}
		// A shard of another table is damage, which is an error when it is taken: here
		// it would keep all jobs from being listed, and this one from being cancelled.
		if 0 <= number && number < len(job.Parts) {
			part.Total = job.Parts[number].Total
			job.Parts[number] = part
		}
		job.Shards, job.Done, job.PassRead = job.Shards+part.Shards, job.Done+part.Done, job.PassRead+part.PassRead
		job.Counts.Add(c)
	}
	return rows.Err()
}

// Holders are those who hold shards of a job now.
type Holders struct {
	Ours   int
	Others []string
	// Until is how long the last lease of the others still is.
	Until time.Duration
}

// Holders returns who holds shards of a job. Ours is asked whose names are those of
// this process.
func (l *Ledger) Holders(ctx context.Context, id string, ours func(worker string) bool) (Holders, error) {
	var all Holders
	query := "SELECT owner, max(lease_until) - " + l.now() + " FROM gormcrypt_shards WHERE job = ? AND done = 0 AND owner <> '' AND lease_until > " + l.now() + " GROUP BY owner ORDER BY owner"
	err := scan(ctx, l.pool, l.rebind(query), []any{id}, 2, func(values []any) error {
		owner, left := text(values[0]), values[1].(int64)
		if ours(owner) {
			all.Ours++
			return nil
		}
		all.Others = append(all.Others, owner)
		all.Until = max(all.Until, time.Duration(left)*time.Millisecond)
		return nil
	})
	if err != nil {
		return Holders{}, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
	}
	return all, nil
}

// SetState pauses, resumes or cancels a job that is not over. Its workers see it
// with their next batch.
func (l *Ledger) SetState(ctx context.Context, id, state, reason string) error {
	n, err := l.exec(ctx, l.pool, "UPDATE gormcrypt_jobs SET state = ?, reason = ?, phase = CASE WHEN ? = '"+Cancelled+"' THEN '"+string(Ended)+"' ELSE phase END, updated_at = "+l.now()+" WHERE id = ? AND state IN (?, ?)", state, reason, state, id, Running, Paused)
	if err != nil {
		return fmt.Errorf("gormcrypt: writing to the ledger: %w", err)
	}
	if n == 0 {
		job, err := l.Job(ctx, id)
		if err != nil {
			return err
		}
		return fmt.Errorf("gormcrypt: job %s is %s already", id, job.State)
	}
	return nil
}

// SetLimits replaces the limits of a job that is not over.
func (l *Ledger) SetLimits(ctx context.Context, id, limits string) error {
	n, err := l.exec(ctx, l.pool, "UPDATE gormcrypt_jobs SET limits = ?, updated_at = "+l.now()+" WHERE id = ? AND state IN (?, ?)", limits, id, Running, Paused)
	if err == nil && n == 0 {
		job, err := l.Job(ctx, id)
		if err == nil {
			return fmt.Errorf("gormcrypt: job %s is %s already", id, job.State)
		}
		return err
	}
	if err != nil {
		return fmt.Errorf("gormcrypt: writing to the ledger: %w", err)
	}
	return nil
}

// QuarantinedValue is a value that could not be opened or sealed anew.
type QuarantinedValue struct {
	Job, Table string
	Poison
	// mark is the Mark of the stored value.
	mark    string
	NotedAt time.Time
}

// Quarantine returns the values that a job could not seal anew, by their keys.
func (l *Ledger) Quarantine(ctx context.Context, id string) ([]QuarantinedValue, error) {
	rows, err := l.pool.QueryContext(ctx, l.rebind("SELECT job, table_name, row_key, column_name, key_version, reason, fingerprint, noted_at FROM gormcrypt_quarantine WHERE job = ? ORDER BY table_name, row_key, column_name"), id)
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
	}
	defer rows.Close()
	var all []QuarantinedValue
	for rows.Next() {
		var row QuarantinedValue
		var key string
		var at int64
		if err := rows.Scan(&row.Job, &row.Table, &key, &row.Column, &row.Version, &row.Reason, &row.mark, &at); err != nil {
			return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
		}
		if row.Key, err = decodeKey(key, 0); err != nil {
			return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
		}
		row.NotedAt = time.UnixMilli(at).UTC()
		all = append(all, row)
	}
	return all, rows.Err()
}

// QuarantinedRows are rows in quarantine that a job could not seal anew for the
// same column and key version.
type QuarantinedRows struct {
	Job, Table, Column, Version string
	Rows                        int64
	// NotedAt is when the last of them was noted.
	NotedAt time.Time
}

// Has reports whether the database has a column of a table, such as one of which
// there is something in quarantine.
func (l *Ledger) Has(ctx context.Context, table, column string) (bool, error) {
	_, err := l.describe(ctx, l.pool, Table{Name: table, Cells: []Cell{{Column: column}}})
	var gone missing
	if errors.As(err, &gone) {
		return false, nil
	}
	return err == nil, err
}

// QuarantineOfAll returns what is in quarantine, of all jobs.
func (l *Ledger) QuarantineOfAll(ctx context.Context) ([]QuarantinedRows, error) {
	var all []QuarantinedRows
	err := scan(ctx, l.pool, "SELECT job, table_name, column_name, key_version, count(*), max(noted_at) FROM gormcrypt_quarantine GROUP BY job, table_name, column_name, key_version ORDER BY table_name, column_name, job, key_version",
		nil, 6, func(values []any) error {
			rows := QuarantinedRows{Job: text(values[0]), Table: text(values[1]), Column: text(values[2]), Version: text(values[3])}
			rows.Rows, _ = values[4].(int64)
			at, _ := values[5].(int64)
			rows.NotedAt = time.UnixMilli(at).UTC()
			all = append(all, rows)
			return nil
		})
	if err != nil {
		return nil, fmt.Errorf("gormcrypt: reading the ledger: %w", err)
	}
	return all, nil
}
