package manifest

import (
	"errors"
	"fmt"
	"slices"
)

// DatabaseIndex is an index of the database, with a blind index among its columns: what
// tags of GORM ask for, so that Expand of package migrations makes it with the column.
//
// Where, and Expression and Sort of its parts, become SQL as they are, which a role runs
// that may alter the table. So a manifest is to be kept and reviewed as a migration is.
// Names are quoted.
type DatabaseIndex struct {
	Name   string `json:"name"`
	Unique bool   `json:"unique,omitempty"`
	// Using is the method of the index, such as "hash", in lower case. SQLite has none.
	Using string `json:"using,omitempty"`
	// Where is the condition of a partial index.
	Where string `json:"where,omitempty"`
	// Parts are what it is of, in order.
	Parts []IndexPart `json:"parts"`
}

// IndexPart is a column of a [DatabaseIndex].
type IndexPart struct {
	Column string `json:"column"`
	// Expression is what is indexed in place of the column as it is.
	Expression string `json:"expression,omitempty"`
	// Collate is the name of a collation.
	Collate string `json:"collate,omitempty"`
	// Sort is the order, such as "desc nulls last".
	Sort string `json:"sort,omitempty"`
}

// IsOf reports whether a column is one of its parts.
func (x DatabaseIndex) IsOf(column string) bool {
	return slices.ContainsFunc(x.Parts, func(part IndexPart) bool { return part.Column == column })
}

func (t Table) checkDatabaseIndexes() error {
	seen := map[string]bool{}
	for _, x := range t.DatabaseIndexes {
		switch {
		case x.Name == "":
			return errors.New("a database index has no name")
		case seen[x.Name]:
			return fmt.Errorf("database index %q is listed twice", x.Name)
		case x.IsOf(""):
			return fmt.Errorf("database index %q: a part does not name its column", x.Name)
		case !slices.ContainsFunc(t.Indexes, func(blind Index) bool { return x.IsOf(blind.Name) }):
			return fmt.Errorf("database index %q: no part of it is a blind index of the table", x.Name)
		}
		seen[x.Name] = true
	}
	return nil
}
