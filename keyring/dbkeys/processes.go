package dbkeys

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt/internal/owntables"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Process is a process that has the keys.
type Process struct {
	// Name is the program, its host and its process id.
	Name string
	// Writes are the versions that it seals under, such as "2" for data keys and "i1"
	// for index keys.
	Writes []keyring.Version
	// Behind is set if it does not have the latest keyring yet.
	Behind bool
	// StartedAt and SeenAt are by the clock of the database. Unless it is seen until
	// ExpiresAt, the process counts as gone.
	StartedAt, SeenAt, ExpiresAt time.Time

	generation int64
}

// String returns the process for an operator.
func (p Process) String() string {
	writes := make([]string, len(p.Writes))
	for i, version := range p.Writes {
		writes[i] = version.String()
	}
	text := fmt.Sprintf("%s seals under %s, last seen %s", p.Name, strings.Join(writes, " and "), p.SeenAt.UTC().Format(time.RFC3339))
	if p.Behind {
		text += ", without the latest keys"
	}
	return text
}

// BehindError says for which processes a key version has to wait. It is an ErrBehind.
type BehindError struct {
	Version   keyring.Version
	Processes []Process
}

// Error names the processes, ten at most.
func (e *BehindError) Error() string {
	var names []string
	for i, process := range e.Processes {
		if i == 10 {
			names = append(names, fmt.Sprintf("and %d more", len(e.Processes)-i))
			break
		}
		names = append(names, process.String())
	}
	return fmt.Sprintf("gormcrypt: key %s: %v: %s; try again when they have looked for new keys, or stop them", e.Version, ErrBehind, strings.Join(names, "; "))
}

// Unwrap returns ErrBehind.
func (e *BehindError) Unwrap() error { return ErrBehind }

// Processes returns the processes that are alive, in order of their names.
func (s *Store) Processes(ctx context.Context) ([]Process, error) {
	pool, err := s.config.DB.DB()
	if err != nil {
		return nil, err
	}
	rows, err := s.rows(ctx, pool)
	if err != nil {
		return nil, err
	}
	return s.processes(ctx, pool, generationOf(rows))
}

// processes returns those that are alive. Behind is set if they do not have a
// generation.
func (s *Store) processes(ctx context.Context, from querier, generation int64) ([]Process, error) {
	fail := func(err error) error {
		return fmt.Errorf("gormcrypt: reading the processes in the database: %w", err)
	}
	rows, err := from.QueryContext(ctx, "SELECT name, generation, writes, started_at, seen_at, expires_at FROM gormcrypt_key_processes WHERE expires_at > "+s.clock+" ORDER BY name, id")
	if err != nil {
		return nil, fail(err)
	}
	defer rows.Close()
	var all []Process
	for rows.Next() {
		var p Process
		var writes string
		var started, seen, expires int64
		if err := rows.Scan(&p.Name, &p.generation, &writes, &started, &seen, &expires); err != nil {
			return nil, fail(err)
		}
		for text := range strings.FieldsSeq(writes) {
			version, err := keyring.ParseVersion(text)
			if err != nil {
				return nil, fail(err)
			}
			p.Writes = append(p.Writes, version)
		}
		p.Behind = p.generation < generation
		p.StartedAt, p.SeenAt, p.ExpiresAt = time.UnixMilli(started), time.UnixMilli(seen), time.UnixMilli(expires)
		all = append(all, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fail(err)
	}
	return all, nil
}

// checkKnown returns a BehindError for the processes that do not know yet what became
// of a row last.
func (s *Store) checkKnown(ctx context.Context, tx *sql.Tx, r row) error {
	all, err := s.processes(ctx, tx, r.changed)
	if err != nil {
		return err
	}
	var behind []Process
	for _, p := range all {
		if p.Behind {
			behind = append(behind, p)
		}
	}
	if len(behind) > 0 {
		return &BehindError{r.version, behind}
	}
	return nil
}

// checkNobody returns an error if any process lives. What it uses must have been in a
// table that is empty now.
func (s *Store) checkNobody(ctx context.Context, tx *sql.Tx) error {
	all, err := s.processes(ctx, tx, 0)
	if err != nil || len(all) == 0 {
		return err
	}
	return fmt.Errorf("gormcrypt: the table gormcrypt_keys is empty, and there are processes that have keys from it: %w: %s; restore the table from a copy, or stop them to begin with other keys", ErrBehind, all[0])
}

// writesOf returns what a keyring seals under, as Process has it.
func writesOf(ring *keyring.Keyring) string {
	var versions []string
	for _, set := range []keyring.Set{keyring.DataKeys, keyring.IndexKeys} {
		if version, err := ring.Primary(set); err == nil {
			versions = append(versions, version.String())
		}
	}
	return strings.Join(versions, " ")
}

// register makes this process known, unless the keys have changed since a snapshot:
// then it returns false. Whoever promotes a key after it sees the process.
func (s *Store) register(ctx context.Context, now *snapshot) (known bool, err error) {
	s.mu.Lock()
	s.listed = true // also if the transaction ends, and its answer is lost
	s.mu.Unlock()
	err = owntables.Locked(ctx, s.config.DB, func(tx *sql.Tx) error {
		known = false
		rows, err := s.rows(ctx, tx)
		if err != nil || generationOf(rows) != generationOf(now.rows) {
			return err
		}
		known = true
		if _, err := tx.ExecContext(ctx, "DELETE FROM gormcrypt_key_processes WHERE expires_at <= "+s.clock); err != nil {
			return err
		}
		return s.report(ctx, tx, now)
	})
	if err != nil {
		return false, fmt.Errorf("gormcrypt: making this process known: %w", err)
	}
	if known {
		s.use(now)
	}
	return known, nil
}

// use notes what this process uses.
func (s *Store) use(now *snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = now
	close(s.usesOther)
	s.usesOther = make(chan struct{})
}

// using returns what this process uses, nil if it uses nothing.
func (s *Store) using() *snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// awaitUse waits until this process uses a generation, if it uses keys at all: its
// next call may be one that goes by the keyring in use. It waits for ten seconds at
// most, and for one while nothing watches the keys, as a plugin is about to after it
// has loaded them.
func (s *Store) awaitUse(ctx context.Context, generation int64) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for began := time.Now(); s.watching.Load() > 0 || time.Since(began) < time.Second; {
		s.mu.Lock()
		used, other := s.used, s.usesOther
		s.mu.Unlock()
		if used == nil || generationOf(used.rows) >= generation {
			return
		}
		select {
		case s.changed <- struct{}{}:
		default: // it was told
		}
		select {
		case <-other:
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}

type execer interface {
	ExecContext(context.Context, string, ...any) (sql.Result, error)
}

// report writes that this process lives, and which keyring it has.
func (s *Store) report(ctx context.Context, to execer, now *snapshot) error {
	_, err := to.ExecContext(ctx, `INSERT INTO gormcrypt_key_processes (id, name, generation, writes, started_at, seen_at, expires_at)
VALUES ($1, $2, $3, $4, `+s.clock+`, `+s.clock+`, `+s.clock+` + $5)
ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, writes = excluded.writes, seen_at = excluded.seen_at, expires_at = excluded.expires_at`,
		s.id, processName(), generationOf(now.rows), writesOf(now.ring), s.config.Lease.Milliseconds())
	return err
}

// beat lets others know that this process lives, until ctx is done.
func (s *Store) beat(ctx context.Context) {
	ticker := time.NewTicker(s.config.Lease / 3)
	defer ticker.Stop()
	for {
		if err := s.reportUse(ctx); err != nil && ctx.Err() == nil {
			s.logger().WarnContext(ctx, "gormcrypt: other processes do not hear of this one, and will promote and retire keys without it; see to the database", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// reportUse reports what is in use. It is also what brings a process back that counted
// as gone. It takes no longer than the next one is due.
func (s *Store) reportUse(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Lease/3)
	defer cancel()
	unlock, err := s.reporting.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	used := s.using()
	if used == nil {
		return nil
	}
	return s.reportTo(ctx, used)
}

// reportTo is report outside of a transaction.
func (s *Store) reportTo(ctx context.Context, now *snapshot) error {
	pool, err := s.config.DB.DB()
	if err != nil {
		return err
	}
	return s.report(ctx, pool, now)
}

// deregister can be called again when it failed.
func (s *Store) deregister(ctx context.Context) error {
	unlock, err := s.reporting.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	s.mu.Lock()
	s.used = nil
	listed := s.listed
	s.mu.Unlock()
	if !listed {
		return nil
	}
	pool, err := s.config.DB.DB()
	if err != nil {
		return err
	}
	if _, err := pool.ExecContext(ctx, "DELETE FROM gormcrypt_key_processes WHERE id = $1", s.id); err != nil {
		return fmt.Errorf("gormcrypt: letting others know that this process ends: %w", err)
	}
	s.mu.Lock()
	s.listed = false
	s.mu.Unlock()
	return nil
}
