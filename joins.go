package gormcrypt

import (
	"reflect"
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
	for _, join := range stmt.Joins {
		path := strings.Split(join.Name, ".")
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
	if target.Kind() == reflect.Pointer && !target.IsNil() && len(relation.FieldSchema.PrimaryFields) > 0 {
		unmatched := true
		for _, key := range relation.FieldSchema.PrimaryFields {
			_, zero := key.ValueOf(db.Statement.Context, target)
			unmatched = unmatched && zero
		}
		if unmatched {
			target.SetZero()
			return
		}
	}
	if len(path) > 1 && (target.Kind() != reflect.Pointer || !target.IsNil()) {
		dropRelation(db, relation.FieldSchema, target, path[1:])
	}
}
