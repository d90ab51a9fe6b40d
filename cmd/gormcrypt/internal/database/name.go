package database

import (
	"net"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Name returns what a database is called, for people and logs: where it is and who asks,
// without a password. It is empty for what is not the URL of a database.
func Name(where string) string {
	if path, ok := SQLitePath(where); ok {
		return "sqlite:" + path
	}
	config, err := pgx.ParseConfig(where)
	if err != nil {
		return ""
	}
	return "postgres://" + config.User + "@" + net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "/" + config.Database
}

// SQLitePath returns the whole path of the file of an SQLite database, and whether it is
// one.
func SQLitePath(where string) (string, bool) {
	path, ok := strings.CutPrefix(where, "sqlite:")
	if !ok {
		return "", false
	}
	if absolute, err := filepath.Abs(strings.TrimPrefix(path, "//")); err == nil {
		return absolute, true
	}
	return path, true
}
