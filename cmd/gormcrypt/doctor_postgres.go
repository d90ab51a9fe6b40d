package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// checkPostgres looks at the server, at whether it is a replica, and at the way to it.
func (e *examination) checkPostgres(ctx context.Context) []finding {
	var version, role string
	var replica bool
	var encrypted sql.NullBool
	var remote bool
	err := e.pool.QueryRowContext(ctx, `SELECT current_setting('server_version'), current_user, pg_is_in_recovery(),
	(SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()),
	coalesce(NOT (inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() = '::1'), false)`).Scan(&version, &role, &replica, &encrypted, &remote)
	if err != nil {
		return failed(err)
	}
	found := ok("PostgreSQL %s, as the role %s", version, role)
	if replica {
		found = append(found, of("replica", warning("give the URL of the primary to commands that write", "this is a read-only replica: only reading commands work here"))...)
	}
	verified := false
	if config, err := pgx.ParseConfig(e.settings.Database); err == nil {
		verified = config.TLSConfig != nil && (!config.TLSConfig.InsecureSkipVerify || config.TLSConfig.VerifyPeerCertificate != nil)
	}
	return append(found, of("way to it", wayFinding(remote, encrypted.Bool, verified))...)
}

// wayFinding judges a connection. What is stored is ciphertext, but not what a migration
// still has to encrypt, and passwords are read on the way too.
func wayFinding(remote, encrypted, verified bool) []finding {
	const fix = "add sslmode=verify-full to the URL, and sslrootcert= if the server's certificate is of your own authority"
	switch {
	case !remote:
		return ok("the server is on this machine")
	case !encrypted:
		return problem(fix, "the server is on another machine, and the connection is not encrypted")
	case !verified:
		return warning(fix, "encrypted, to whoever answers: the certificate is not verified")
	}
	return ok("encrypted, and the certificate is verified")
}

// checkOwnTablesPostgres looks at the rights that the own tables need.
func (e *examination) checkOwnTablesPostgres(ctx context.Context, current, latest int) []finding {
	var mayCreate sql.NullBool
	if err := e.pool.QueryRowContext(ctx, "SELECT has_schema_privilege(current_schema(), 'CREATE')").Scan(&mayCreate); err != nil {
		return failed(err)
	}
	rows, err := e.pool.QueryContext(ctx, `SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relname LIKE 'gormcrypt\_%' AND pg_table_is_visible(oid)
	AND NOT (has_table_privilege(oid, 'SELECT') AND (relname = 'gormcrypt_schema' OR
		has_table_privilege(oid, 'INSERT') AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')))
ORDER BY relname`)
	lacking, err := texts(rows, err)
	if err != nil {
		return failed(err)
	}
	found := ownTablesFinding(current, latest, mayCreate.Bool)
	if len(lacking) > 0 {
		e.current = e.current && !slices.Contains(lacking, "gormcrypt_jobs") && !slices.Contains(lacking, "gormcrypt_columns")
		fix := "GRANT SELECT, INSERT, UPDATE, DELETE ON " + strings.Join(lacking, ", ") + " TO the role"
		found = append(found, of("own tables", warning(fix, "this role may not use %s: no job, migration or key of the database", strings.Join(lacking, ", ")))...)
	}
	return found
}

// texts returns the only column of rows.
func texts(rows *sql.Rows, err error) ([]string, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		all = append(all, text)
	}
	return all, rows.Err()
}

// layoutPostgres returns what a table is like.
func (e *examination) layoutPostgres(ctx context.Context, table string) (*layout, error) {
	l := &layout{types: map[string]string{}}
	name := quotedTable(table)
	var kind string
	err := e.pool.QueryRowContext(ctx, "SELECT relkind::text FROM pg_class WHERE oid = to_regclass($1)", name).Scan(&kind)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.view = kind != "r" && kind != "p"
	rows, err := e.pool.QueryContext(ctx, "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var column, kind string
		if err := rows.Scan(&column, &kind); err != nil {
			return nil, err
		}
		l.types[column] = kind
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows, err = e.pool.QueryContext(ctx, `SELECT attname::text FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
WHERE indrelid = to_regclass($1) AND indisprimary ORDER BY array_position(indkey::int[], attnum::int)`, name)
	l.key, err = texts(rows, err)
	return l, err
}

// holdsPostgres says why a type cannot hold ciphertext, and is empty if it can.
func holdsPostgres(kind string, binary bool) string {
	var length int
	switch n, _ := fmt.Sscanf(kind, "character varying(%d)", &length); {
	case binary && kind == "bytea", !binary && (kind == "text" || kind == "character varying"):
		return ""
	case n == 1 && length >= roomy:
		return ""
	case n == 1:
		return fmt.Sprintf("%s is too short for ciphertext", kind)
	}
	return kind + " holds no ciphertext"
}
