package main

import (
	"context"
	"strings"
)

// checkPermissions looks at what the role may do with the tables. SQLite has no roles.
func (e *examination) checkPermissions(ctx context.Context) []finding {
	if !e.postgres() {
		return ok("SQLite has none but those of the file")
	}
	var all []finding
	var fine []string
	for _, table := range e.encrypted.Tables {
		if !e.fits[table.Name] {
			continue
		}
		var reads, writes, hides bool
		err := e.pool.QueryRowContext(ctx, `SELECT has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'UPDATE'), row_security_active(c.oid)
FROM pg_class AS c WHERE c.oid = to_regclass($1)`, quotedTable(table.Name)).Scan(&reads, &writes, &hides)
		if err != nil {
			all = append(all, of(table.Name, failed(err))...)
			continue
		}
		if found := permissionFindings(table.Name, reads, writes, hides); len(found) > 0 {
			all = append(all, found...)
			e.fits[table.Name] = reads && !hides
		} else {
			fine = append(fine, table.Name)
		}
	}
	if len(fine) > 0 {
		all = append(ok("SELECT and UPDATE, and all rows: %s", strings.Join(fine, ", ")), all...)
	}
	return all
}

// permissionFindings says what rights on a table are not there.
func permissionFindings(table string, reads, writes, hides bool) []finding {
	var all []finding
	if hides {
		all = append(all, problem("ALTER ROLE … BYPASSRLS, or use a role that has it", "policies hide rows of %s from this role, so that nothing can be counted for certain", table)...)
	}
	switch {
	case !reads:
		all = append(all, problem("GRANT SELECT, UPDATE ON "+table+" TO the role", "this role may not read %s", table)...)
	case !writes:
		all = append(all, warning("GRANT UPDATE ON "+table+" TO the role", "this role may not write to %s: rotate and migrate fail", table)...)
	}
	return all
}
