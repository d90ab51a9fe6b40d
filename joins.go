package gormcrypt

import (
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
)

// dropUnmatched takes back the relations that GORM made up for rows of a LEFT JOIN
// without a match: a serializer's value is never nil to it, even if the column
// is NULL.
func (p *Plugin) dropUnmatched(db *gorm.DB) {
	stmt := db.Statement
	if db.Error != nil || stmt.Schema == nil || len(stmt.Joins) == 0 {
		return
	}
	rows := stmt.ReflectValue
	var paths [][]string
	for _, join := range stmt.Joins {
		paths = append(paths, strings.Split(join.Name, "."))
	}
	slices.SortStableFunc(paths, func(a, b []string) int { return len(b) - len(a) })
	for _, path := range paths {
		switch rows.Kind() {
		case reflect.Slice, reflect.Array:
			for i := range rows.Len() {
				dropRelation(db, stmt.Schema, rows.Index(i), path)
			}
		case reflect.Struct:
			dropRelation(db, stmt.Schema, rows, path)
		}
	}
}

func dropRelation(db *gorm.DB, s *schema.Schema, row reflect.Value, path []string) {
	if row = reflect.Indirect(row); row.Kind() != reflect.Struct || row.Type() != s.ModelType {
		return
	}
	relation := s.Relationships.Relations[path[0]]
	if relation == nil {
		return
	}
	target := relation.Field.ReflectValueOf(db.Statement.Context, row)
	if target.Kind() == reflect.Pointer && target.IsNil() {
		return
	}
	if len(path) > 1 { // from the inside, which may be all that there is
		dropRelation(db, relation.FieldSchema, target, path[1:])
	}
	if target.Kind() == reflect.Pointer && target.Elem().IsZero() && slices.ContainsFunc(relation.FieldSchema.Fields, isMarked) {
		target.SetZero()
	}
}
