package gormcrypt

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/internal/sqltext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// policy is what the tags of one encrypted field say, read once. The gates
// ask it and nothing else.
type policy struct {
	field *schema.Field
	// inner is the Go type of the values that are sealed: the field's, without
	// pointers, or the one inside a type of package encryptedtype.
	inner reflect.Type
	// held says that the field is of a type of package encryptedtype.
	held   bool
	column *ciphertext.Column
	// set is GORM's own setter of the field.
	set func(context.Context, reflect.Value, any) error
	// indexed says that a blind index finds equal values.
	indexed bool
	// building says that the only one is not searched yet.
	building bool
	// bind are the fields of the same row that ciphertexts are bound to.
	bind []*schema.Field
	// migrating says whether the column may hold plaintext too.
	migrating migrating
	// beside is the policy of the column that takes the ciphertext, if this one holds
	// none, and besideField is its field. Of that policy, besideOf is this one.
	beside, besideOf *policy
	besideField      *schema.Field
}

// modelPolicy holds the policies of one model.
type modelPolicy struct {
	schema *schema.Schema
	// columns are the encrypted ones, by every name that a statement may call
	// them by: folded column and field names.
	columns map[string]*policy
	// byField are the same by the field's own name in its struct.
	byField map[*schema.Field]*policy
	indexes []*index
	// besides are the policies of columns with another beside.
	besides []*policy
	// bound are the policies that are bound to a column, by its folded name.
	bound map[string][]*policy
	// plain is the count of tables.changes at which the model's table was found to
	// have no encrypted column.
	plain atomic.Int64
}

// fold returns a column's name as databases compare it: without qualifiers and
// quotes, in lower case. What PostgreSQL would tell apart by case is taken for
// the same; an error from the database is better than a plaintext in it.
func fold(name string) string {
	if isFolded(name) {
		return name
	}
	name = name[strings.LastIndexByte(name, '.')+1:]
	return strings.ToLower(strings.Trim(name, "\"`[] "))
}

// isFolded reports whether a name has nothing but small letters, digits and
// underscores, as most have.
func isFolded(name string) bool {
	for i := range len(name) {
		if c := name[i]; c != '_' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// isMarked reports whether GORM gave the field our serializer.
func isMarked(field *schema.Field) bool {
	_, ok := field.Serializer.(serializer)
	return ok
}

// parseModel reads the tags of a model. It returns a *ModelError for the first
// field that cannot be encrypted as it is declared.
func (p *Plugin) parseModel(s *schema.Schema) (*modelPolicy, error) {
	m := &modelPolicy{
		schema:  s,
		columns: map[string]*policy{},
		byField: map[*schema.Field]*policy{},
		bound:   map[string][]*policy{},
	}
	for _, field := range s.Fields {
		if isBlindIndex(field) || isBeside(field) {
			continue
		}
		if !isMarked(field) {
			if err := checkUnmarked(field); err != nil {
				return nil, err
			}
			continue
		}
		if _, ok := field.Tag.Lookup("encrypted"); ok {
			return nil, modelError(field, `it has a tag encrypted:"", which nothing reads`, `write encrypt:""`)
		}
		if field.DBName == "" {
			continue
		}
		if err := checkName(field); err != nil {
			return nil, err
		}
		if s.Table == "" {
			return nil, modelError(field, "its model has no table name, which its values would be bound to",
				"name the type, or give it a method TableName")
		}
		policy, err := parsePolicy(field, p.cipher)
		if err != nil {
			return nil, err
		}
		m.byField[field] = policy
		m.columns[fold(field.DBName)] = policy
		for _, bound := range policy.bind {
			m.bound[fold(bound.DBName)] = append(m.bound[fold(bound.DBName)], policy)
		}
	}
	for _, field := range s.Fields {
		if isBeside(field) && field.DBName != "" {
			if err := m.parseBeside(field); err != nil {
				return nil, err
			}
		}
	}
	for _, field := range s.Fields {
		if !isBlindIndex(field) || field.DBName == "" {
			continue
		}
		if err := p.parseIndex(field, m); err != nil {
			return nil, err
		}
	}
	for field, p := range m.byField {
		if name := fold(field.Name); s.LookUpField(field.Name) == field && m.columns[name] == nil && s.FieldsByDBName[name] == nil {
			m.columns[name] = p
		}
	}
	for _, relation := range s.Relationships.Relations {
		for _, reference := range relation.References {
			for _, key := range []*schema.Field{reference.PrimaryKey, reference.ForeignKey} {
				if key != nil && m.byField[key] != nil {
					return nil, modelError(key, "it is a key of the relation "+relation.Name+", and encrypted keys match nothing",
						"relate the models by another column")
				}
			}
		}
	}
	for _, p := range m.byField {
		p.installSetter()
	}
	return m, nil
}

// checkName refuses a column that hand-written SQL could hide.
func checkName(field *schema.Field) error {
	if !(sqltext.Token{Kind: sqltext.Word, Text: field.DBName}).IsName() {
		return modelError(field, "its column is named "+field.DBName+", which is a word of SQL, and is not told from that in hand-written SQL",
			"name the column otherwise, by column: in its gorm tag")
	}
	return nil
}

// checkUnmarked refuses a field whose tags look as if it was to be encrypted.
func checkUnmarked(field *schema.Field) error {
	for _, name := range []string{tagName, "encrypted"} {
		if tag, ok := field.Tag.Lookup(name); ok {
			return modelError(field, fmt.Sprintf("it has the tag %s:%q and is not marked as encrypted", name, tag),
				`add gorm:"serializer:encrypted", or remove the tag`)
		}
	}
	for name, value := range field.TagSettings {
		if name != "COLUMN" && name != "COMMENT" && (strings.EqualFold(value, serializerName) || strings.HasSuffix(strings.ToLower(name), serializerName)) {
			return modelError(field, "its gorm tag says "+strings.ToLower(name)+", which GORM does not read", `write gorm:"serializer:encrypted"`)
		}
	}
	return nil
}

func modelError(field *schema.Field, problem, fix string) error {
	return &ModelError{
		Model:   field.Schema.ModelType.String(),
		Field:   field.BindName(),
		Problem: problem,
		Fix:     fix,
	}
}

// optionError returns the error of a tag whose options cannot be.
func optionError(field *schema.Field, err error) error {
	problem, fix, _ := strings.Cut(err.Error(), "; ")
	return modelError(field, problem, fix)
}

// checkIndexKey refuses a field that takes an index key, if the keyring has none.
func checkIndexKey(field *schema.Field, cipher *ciphertext.Cipher, it string) error {
	if _, err := cipher.Keys().Primary(keyring.IndexKeys); err != nil {
		return modelError(field, it+" takes an index key, and the keyring has none", "add one to it with Add(keyring.IndexKeys)")
	}
	return nil
}

func parsePolicy(field *schema.Field, cipher *ciphertext.Cipher) (*policy, error) {
	var o options
	if tag, ok := field.Tag.Lookup(tagName); ok {
		var err error
		if o, err = parseOptions(tag); err != nil {
			return nil, optionError(field, err)
		}
	}
	p := &policy{field: field, inner: field.IndirectFieldType, migrating: o.migrating}
	config := ciphertext.ColumnConfig{
		Table: field.Schema.Table, Column: field.DBName,
		Deterministic: o.deterministic, Pad: o.pad,
	}
	if o.table != "" {
		config.Table, config.Column = o.table, o.column
	}
	if inner, ok := reflect.New(field.IndirectFieldType).Interface().(encryptedtype.Field); ok {
		p.inner, p.held = inner.InnerType(), true
		config.Named = true
	}
	checks := []func() (problem, fix string){p.checkGoType, p.checkKeys, p.checkDefault, p.checkIndexes}
	if besideField(field) == nil {
		var problem, fix string
		if config.Binary, problem, fix = columnType(field); problem != "" {
			if o.migrating != "" {
				fix = "add a field of the type encryptedtype.Beside, as docs/migrations.md says"
			}
			return nil, modelError(field, problem, fix)
		}
		checks = append(checks, p.checkSize, p.checkPlainForm)
	}
	if config.Deterministic {
		if err := checkIndexKey(field, cipher, "it is deterministic, which"); err != nil {
			return nil, err
		}
	}
	var err error
	if p.column, err = cipher.Column(config); err != nil {
		return nil, modelError(field, err.Error(), "see the documentation of ciphertext.ColumnConfig")
	}
	for _, check := range checks {
		if problem, fix := check(); problem != "" {
			return nil, modelError(field, problem, fix)
		}
	}
	return p, p.parseBind(o.bind)
}

// namedBeside returns the field that a tag of another one names, or nil. In an
// embedded struct, one beside that goes before others.
func namedBeside(field *schema.Field, name string) *schema.Field {
	if beside := field.Schema.LookUpFieldByBindName(field.BindNames, name); beside != nil {
		return beside
	}
	return field.Schema.FieldsByName[name]
}

func (p *policy) parseBind(names []string) error {
	for _, name := range names {
		bound := namedBeside(p.field, name)
		switch {
		case bound == nil || bound.DBName == "":
			return modelError(p.field, "bind="+name+" names no field of the model with a column", "write the Go name of a field")
		case bound == p.field:
			return modelError(p.field, "it is bound to itself", "bind it to another field")
		case bound.Serializer != nil:
			return modelError(p.field, "it is bound to "+name+", which has a serializer", "bind it to a plain column")
		}
		problem := bindable(bound.IndirectFieldType)
		if problem == "" && bound.IndirectFieldType.Kind() == reflect.String && !isTextType(bound) {
			problem = "whose column of type " + string(bound.DataType) + " may give back another text than was written"
		}
		if problem != "" {
			return modelError(p.field, "it is bound to "+name+", "+problem,
				"bind it to a string, an integer or a []byte")
		}
		p.bind = append(p.bind, bound)
	}
	return nil
}

// bindable returns why values of a type cannot be bound to, if so: they must
// come back from every database as they were written.
func bindable(t reflect.Type) string {
	switch k := t.Kind(); {
	case reflect.PointerTo(t).Implements(valuerType):
		return "" // such as a UUID; Bind looks at what it gives
	case k == reflect.String, k >= reflect.Int && k <= reflect.Uint64, k == reflect.Slice && t.Elem().Kind() == reflect.Uint8:
		return ""
	}
	return "a " + t.String() + ", which need not come back from a database as it was written"
}

var (
	valuerType  = reflect.TypeFor[driver.Valuer]()
	scannerType = reflect.TypeFor[sql.Scanner]()
)

func (p *policy) checkGoType() (problem, fix string) {
	t := p.inner
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer, reflect.Uintptr:
		return "values of type " + t.String() + " cannot be encrypted", "choose a string, []byte, bool, number, time, or a type that encodes as JSON"
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return "values of the interface type " + t.String() + " cannot be decrypted into it", "choose a concrete type"
		}
	}
	if holder := holdsEncrypted(t, map[reflect.Type]bool{}); holder != nil {
		return "a " + holder.String() + " inside of it encodes as JSON without its value", "encrypt it as a field of its own, or use the plain type: all of the field is encrypted"
	}
	if t.Implements(valuerType) && !reflect.PointerTo(t).Implements(scannerType) {
		return "the type " + t.String() + " has a Value method and its pointer no Scan method, so what is written could not be read", "add the method"
	}
	return "", ""
}

// holdsEncrypted returns the type of package encryptedtype that values of a type
// hold, or nil.
func holdsEncrypted(t reflect.Type, seen map[reflect.Type]bool) reflect.Type {
	if seen[t] {
		return nil
	}
	seen[t] = true
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encryptedtype.Field]()) {
		return t
	}
	switch t.Kind() {
	case reflect.Map:
		if held := holdsEncrypted(t.Key(), seen); held != nil {
			return held
		}
		return holdsEncrypted(t.Elem(), seen)
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holdsEncrypted(t.Elem(), seen)
	case reflect.Struct:
		for field := range t.Fields() {
			if held := holdsEncrypted(field.Type, seen); held != nil && field.IsExported() {
				return held
			}
		}
	}
	return nil
}

func (p *policy) checkKeys() (problem, fix string) {
	if p.field.PrimaryKey {
		return "it is a primary key, and encrypted keys match nothing", "use another column as the key"
	}
	return "", ""
}

func (p *policy) checkDefault() (problem, fix string) {
	if p.field.HasDefaultValue {
		return "it has a default:, which the database would store in the clear", "remove the default: and set the value in Go, for example in a BeforeCreate hook"
	}
	return "", ""
}

func (p *policy) checkIndexes() (problem, fix string) {
	if _, ok := p.field.TagSettings["CHECK"]; ok {
		return "it has a check:, which the database would make on ciphertext", "check the value in Go, or move the constraint to another field if it is not about this one"
	}
	if p.column.Deterministic {
		return "", ""
	}
	if isUnique(p.field) {
		return "it is unique, and equal values have different ciphertexts, so that would never be violated", `add encrypt:"deterministic", or remove the constraint`
	}
	if _, ok := p.field.TagSettings["INDEX"]; ok {
		return "it has an index, and equal values have different ciphertexts, so that would never be used", "remove the index"
	}
	return "", ""
}

func isUnique(field *schema.Field) bool {
	if _, constraint := field.TagSettings["UNIQUE"]; constraint {
		return true
	}
	return slices.ContainsFunc(parseIndexes(field.Schema), func(x *schema.Index) bool {
		return x.Class == "UNIQUE" && slices.ContainsFunc(x.Fields, func(part schema.IndexOption) bool { return part.DBName == field.DBName })
	})
}

// textTypes and binaryTypes are the column types that keep ciphertext as it
// is. char and binary are not among them, because they pad; citext is not,
// because it compares without case.
var (
	textTypes   = []string{"string", "text", "varchar", "character varying", "mediumtext", "longtext", "clob", "nvarchar", "ntext"}
	binaryTypes = []string{"bytes", "bytea", "blob", "mediumblob", "longblob", "varbinary"}
)

// columnType reports whether the column is binary, and what is wrong with its
// type if it can hold no ciphertext.
func columnType(field *schema.Field) (binary bool, problem, fix string) {
	if slices.Contains(binaryTypes, baseType(field)) {
		return true, "", ""
	}
	if isTextType(field) {
		return false, "", ""
	}
	return false, "its column has the type " + string(field.DataType) + ", which cannot hold ciphertext", `add type:text to its gorm tag`
}

func isTextType(field *schema.Field) bool { return slices.Contains(textTypes, baseType(field)) }

// baseType returns the type of a field's column without its size.
func baseType(field *schema.Field) string {
	name, _, _ := strings.Cut(strings.ToLower(string(field.DataType)), "(")
	return strings.TrimSpace(name)
}

// shortest is the plaintext that a column must have room for at least, in
// bytes, if its length is limited: a number, a time, or any text of the
// length that varchar columns commonly have.
const shortest = 255

// checkSize refuses a column that could not hold the ciphertext of ordinary
// values. SQLite ignores sizes, PostgreSQL does not; a model serves both.
func (p *policy) checkSize() (problem, fix string) {
	size, tag := p.field.Size, "size:"+strconv.Itoa(p.field.Size)
	if _, inType, ok := strings.Cut(string(p.field.DataType), "("); ok {
		n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(inType), ")")))
		if err != nil {
			return "the size in type:" + string(p.field.DataType) + " is not a number", "write type:text"
		}
		size, tag = n, "type:"+string(p.field.DataType)
	} else if _, ok := p.field.TagSettings["SIZE"]; !ok {
		return "", "" // what GORM sets for a number is its own width
	}
	plaintext := 1 + shortest
	switch {
	case p.inner.Kind() == reflect.Bool:
		plaintext = 1 + 1
	case p.inner.Kind() >= reflect.Int && p.inner.Kind() <= reflect.Float64:
		plaintext = 1 + 8
	case p.inner.ConvertibleTo(schema.TimeReflectType):
		plaintext = 1 + 16
	}
	const versionGrowth = len("4294967295") - 1
	if need := p.column.SealedLen(plaintext) + versionGrowth; size < need {
		return fmt.Sprintf("%s is too small: the ciphertext of a value of %d bytes takes up to %d", tag, plaintext-1, need),
			"remove it and use type:text, or make it larger"
	}
	return "", ""
}
