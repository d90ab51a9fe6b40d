package gormcrypt

import (
	"slices"
	"strings"

	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/manifest"
)

// databaseIndexes returns the indexes of the database that the tags of a model ask for,
// those with a blind index among their columns.
func (m *modelPolicy) databaseIndexes() []manifest.DatabaseIndex {
	var all []manifest.DatabaseIndex
	for _, asked := range parseIndexes(m.schema) {
		x := manifest.DatabaseIndex{Name: asked.Name, Unique: asked.Class == "UNIQUE", Using: strings.ToLower(asked.Type), Where: asked.Where}
		for _, part := range asked.Fields {
			x.Parts = append(x.Parts, manifest.IndexPart{Column: part.DBName, Expression: part.Expression, Collate: part.Collate, Sort: part.Sort})
		}
		if slices.ContainsFunc(m.indexes, func(blind *index) bool { return x.IsOf(blind.field.DBName) }) {
			all = append(all, x)
		}
	}
	return all
}

// parseIndexes is that of GORM, which writes to the fields of a schema that others read.
func parseIndexes(s *schema.Schema) []*schema.Index {
	own := schema.Schema{}
	for _, field := range s.Fields {
		copied := *field
		own.Fields = append(own.Fields, &copied)
	}
	return own.ParseIndexes()
}
