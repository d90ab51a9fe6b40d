package database

import (
	"database/sql"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// poolOf returns the connections of a configuration, without the round of registering
// it as a DSN, which would hold the password in a map of the driver.
func poolOf(config *pgx.ConnConfig) *sql.DB { return stdlib.OpenDB(*config) }
