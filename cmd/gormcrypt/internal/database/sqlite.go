package database

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"gorm.io/driver/sqlite"
	"gorm.io/gorm"
)

// openSQLite opens a file that is there: a database that is made by a mistyped name
// would be an empty one, in which nothing is wrong.
func openSQLite(path string, access Access) (gorm.Dialector, error) {
	info, err := os.Stat(path)
	switch {
	case path == "":
		return nil, fmt.Errorf("%w: write sqlite: and then the path of the file", ErrURL)
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %w; the command line makes no database, so correct the path, or have the application make it", ErrURL, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	case info.IsDir():
		return nil, fmt.Errorf("%w: %s is a directory; name the file of the database", ErrURL, path)
	}
	query := url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(10000)", "foreign_keys(on)"}}
	if access == ReadOnly {
		query.Add("_pragma", "query_only(on)")
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	file := url.URL{Scheme: "file", Path: absolute, RawQuery: query.Encode()}
	return sqlite.New(sqlite.Config{DriverName: "sqlite", DSN: file.String()}), nil
}
