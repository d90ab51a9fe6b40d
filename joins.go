package gormcrypt

import (
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"
	"gorm.io/gorm/utils"
)

// joinedRelation is a relation that a query joins, and what the rows of its
// result have of it.
//
// GORM leaves a relation nil if all columns of it are NULL, which is so if a LEFT
// JOIN has no match. But a serializer's value is never nil to it, so it makes up
// relations that are not there. They are taken back.
type joinedRelation struct {
	path    []string // of the names of relations, from the model on
	columns []int    // of the result
	matched []bool   // for each row whether a column is not NULL
}

// joinedRelations returns the relations of a result, the inner ones first.
func joinedRelations(stmt *gorm.Statement, columns []string) []*joinedRelation {
	if stmt.Schema == nil {
		return nil
	}
	var found []*joinedRelation
	for _, join := range stmt.Joins {
		path := strings.Split(join.Name, ".")
		for end := len(path); end > 0; end-- {
			prefix := utils.JoinNestedRelationNames(path[:end])
			if end == len(path) && join.Alias != "" {
				prefix = join.Alias
			}
			relation := &joinedRelation{path: path[:end]}
			for i, column := range columns {
				if strings.HasPrefix(column, utils.NestedRelationName(prefix, "")) {
					relation.columns = append(relation.columns, i)
				}
			}
			if len(relation.columns) > 0 && relation.isEncrypted(stmt.Schema) {
				found = append(found, relation)
			}
		}
	}
	return found
}

// isEncrypted reports whether the relation's model has encrypted fields. GORM
// makes up others too, of models with another serializer, and those are left.
func (j *joinedRelation) isEncrypted(s *schema.Schema) bool {
	for _, name := range j.path {
		relation := s.Relationships.Relations[name]
		if relation == nil {
			return false
		}
		s = relation.FieldSchema
	}
	return slices.ContainsFunc(s.Fields, isMarked)
}

// next notes a row of the result.
func (j *joinedRelation) next(values []any) {
	matched := false
	for _, column := range j.columns {
		matched = matched || values[column] != nil
	}
	j.matched = append(j.matched, matched)
}

// dropUnmatched takes the relation back from the rows that have none.
func (j *joinedRelation) dropUnmatched(stmt *gorm.Statement) {
	rows := stmt.ReflectValue
	for i, matched := range j.matched {
		switch {
		case matched:
		case rows.Kind() == reflect.Struct:
			j.drop(stmt, stmt.Schema, rows)
		case rows.Kind() == reflect.Slice && i < rows.Len(), rows.Kind() == reflect.Array && i < rows.Len():
			j.drop(stmt, stmt.Schema, rows.Index(i))
		}
	}
}

func (j *joinedRelation) drop(stmt *gorm.Statement, s *schema.Schema, row reflect.Value) {
	for i, name := range j.path {
		row = reflect.Indirect(row)
		relation := s.Relationships.Relations[name]
		if relation == nil || row.Kind() != reflect.Struct || row.Type() != s.ModelType {
			return
		}
		row = relation.Field.ReflectValueOf(stmt.Context, row)
		if i == len(j.path)-1 && row.Kind() == reflect.Pointer {
			row.SetZero()
		}
		s = relation.FieldSchema
	}
}
