package gormcrypt

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// Config configures a Plugin.
type Config struct {
	// Keys is where the keyring comes from: a *keyring.Keyring, or a source
	// that loads one. It is loaded once, when the plugin is registered; see
	// [Plugin.SetKeys] for later changes. A keyring.Watcher, such as keyring.Poll
	// makes of any source, is watched from then on until [Plugin.Close], and its
	// keyrings are used as they come.
	Keys keyring.Source
	// Models are pointers to all structs with encrypted fields: the models, and
	// others that results are read into. They are checked when the plugin is
	// registered. Models that they are related to are found from there.
	//
	// A struct with encrypted fields that is not listed is refused wherever it is
	// used. But what is written to its table without it, by maps and DB.Table or by
	// hand-written SQL, is stored as it is: nothing tells the plugin of that table.
	Models []any
	// Algorithm seals the columns that are not deterministic. Zero means
	// XChaCha20-Poly1305, or AES-256-GCM when Go runs in FIPS 140-3 mode.
	Algorithm ciphertext.Algorithm
	// MaxSeals lowers how many values of one column this process seals under one key
	// version with AES-256-GCM, from 2^32; see [ciphertext.Config].
	MaxSeals uint64
	// Normalizations are functions for normalize= in the tags of blind indexes, by
	// name, beside those of [ciphertext.Normalization] or in their place. They
	// must be safe for concurrent use and always give one result for one text:
	// a change makes values that are stored unfindable.
	Normalizations map[string]func(string) string
}

// Plugin is the GORM plugin. Each *gorm.DB needs one of its own. It is safe
// for concurrent use after it was registered.
type Plugin struct {
	config     Config
	registered atomic.Bool
	cipher     *ciphertext.Cipher
	// replacing is held while a keyring takes the place of another.
	replacing sync.Mutex
	// watch is the goroutine that watches the key source, if there is one, and
	// stopWatch ends it.
	watch     sync.WaitGroup
	stopWatch context.CancelFunc

	// models has the policies of every schema that was seen. The map is replaced,
	// never changed: every statement looks into it.
	models atomic.Pointer[map[*schema.Schema]*modelPolicy]
	// reading is held while the tags of a model are read for the first time.
	reading       sync.Mutex
	registrations *registrations
	// listed has the types of those with encrypted fields.
	listed sync.Map // reflect.Type -> nil
	// tables holds the policies by folded table name, for statements that do
	// not tell their model.
	tables tables
	// statements and harmless remember what was read in SQL texts.
	statements statements
	harmless   harmless
}

// New returns a plugin for one *gorm.DB, to be registered with db.Use. What is
// wrong with the configuration is reported there.
func New(config Config) *Plugin { return &Plugin{config: config} }

// Name returns "gormcrypt", under which db.Plugins holds the plugin.
func (p *Plugin) Name() string { return "gormcrypt" }

// Format writes the name, and nothing of what is inside: it remembers SQL texts.
func (p *Plugin) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.Name()) }

// Initialize is called by db.Use. It loads the keyring, checks the models and
// installs the gates. Call db.Use right after gorm.Open, before the *gorm.DB
// is shared between goroutines, and before another one uses the same models:
// while it runs, GORM parses them for every *gorm.DB.
//
// It warns, by the logger of db, of fields of few possible values by their Go
// type, such as a bool, that are deterministic or have a blind index of them
// alone: their frequencies give them away.
//
// It returns the error of the key source, a *ModelError, or an error that says
// what is missing in the configuration. It starts to watch the key source, if that
// can be watched, only when it returns no error.
func (p *Plugin) Initialize(db *gorm.DB) error {
	if p.config.Keys == nil && !p.registered.Load() {
		return errors.New("gormcrypt: Config.Keys is not set; use keyring.FromEnv, or keyring.Generate for a first try")
	}
	if !p.registered.CompareAndSwap(false, true) {
		return errors.New("gormcrypt: this plugin is registered already; make one with gormcrypt.New for each *gorm.DB")
	}
	keys, err := p.config.Keys.Load(db.Statement.Context)
	if err != nil {
		return fmt.Errorf("gormcrypt: loading the keyring: %w", err)
	}
	p.cipher, err = ciphertext.New(keys, ciphertext.Config{Algorithm: p.config.Algorithm, MaxSeals: p.config.MaxSeals})
	if err != nil {
		return err
	}
	p.registrations = newRegistrations(p)
	if err := p.registerModels(db); err != nil {
		return err
	}
	p.warnOfFewValues(db)
	p.installBuilders(db)
	if err := p.installCallbacks(db); err != nil {
		return err
	}
	if watcher, ok := p.config.Keys.(keyring.Watcher); ok {
		p.watchKeys(watcher, db.Logger)
	}
	p.config.Keys = nil // a keyring, perhaps, that is to go when it is replaced
	return nil
}

// serializerName is the name in the tag serializer:encrypted.
const serializerName = "encrypted"

// parsing is held while the serializer is known to GORM.
var parsing sync.Mutex

// registerModels has GORM parse the listed models, and reads their tags.
//
// GORM's serializers belong to the whole process. Ours is known to it only
// meanwhile: at any other time, and so for every *gorm.DB without the plugin,
// GORM refuses to parse a model that names it, on every path. If it stayed, a
// *gorm.DB without the plugin would store the values of maps as they are.
func (p *Plugin) registerModels(db *gorm.DB) error {
	if len(p.config.Models) == 0 {
		return errors.New("gormcrypt: Config.Models is empty, so nothing would be encrypted; list a pointer to every struct with encrypted fields, such as Models: []any{&Customer{}}")
	}
	parsing.Lock()
	defer parsing.Unlock()
	schema.RegisterSerializer(serializerName, serializer{})
	defer schema.RegisterSerializer(serializerName, nil)
	for _, model := range p.config.Models {
		stmt := &gorm.Statement{DB: db}
		if err := stmt.Parse(model); err != nil {
			return fmt.Errorf("gormcrypt: parsing the model %T: %w", model, err)
		}
		if _, err := p.model(stmt.Schema); err != nil {
			return err
		}
		if !p.encrypts(stmt.Schema) {
			return &ModelError{Model: stmt.Schema.ModelType.String(), Problem: "it is listed in Config.Models and has no encrypted field, nor has a model that it is related to",
				Fix: `mark the fields with gorm:"serializer:encrypted", or remove it from the list`}
		}
	}
	return nil
}

// encrypts reports whether a model, or one that it is related to, has an
// encrypted field.
func (p *Plugin) encrypts(s *schema.Schema) bool {
	has := func(s *schema.Schema) bool {
		m := p.known(s)
		return m != nil && len(m.byField) > 0
	}
	if has(s) {
		return true
	}
	for _, relation := range s.Relationships.Relations {
		if has(relation.FieldSchema) || relation.JoinTable != nil && has(relation.JoinTable) {
			return true
		}
	}
	return false
}

// Cipher returns the cipher of the plugin, for encryptedtype.SetDefault. It is
// nil before the plugin is registered.
func (p *Plugin) Cipher() *ciphertext.Cipher { return p.cipher }

// Normalizations returns a copy of those of the plugin's Config.
func (p *Plugin) Normalizations() map[string]func(string) string {
	return maps.Clone(p.config.Normalizations)
}

// installBuilders puts the gates in front of the clause builders, which every
// statement that GORM builds passes after its hooks and conversions. What a
// dialect installed is called after ours.
func (p *Plugin) installBuilders(db *gorm.DB) {
	for name, gate := range map[string]func(*gorm.Statement, clause.Expression) clause.Expression{
		"VALUES":      p.sealValues,
		"SET":         p.sealSet,
		"ON CONFLICT": p.sealOnConflict,
		"WHERE":       p.checkWhere,
		"FROM":        p.checkFrom,
		"GROUP BY":    p.checkGroupBy,
		"ORDER BY":    p.checkOrderBy,
		"SELECT":      p.checkSelect,
		"RETURNING":   p.orderReturning,
	} {
		next := db.ClauseBuilders[name]
		db.ClauseBuilders[name] = func(c clause.Clause, builder clause.Builder) {
			if stmt, ok := builder.(*gorm.Statement); ok && !isAlone(stmt) {
				c.Expression = gate(stmt, c.Expression)
			}
			if next != nil {
				next(c, builder)
			} else {
				c.Build(builder)
			}
		}
	}
}

// installCallbacks has every statement's models checked before anything else
// happens to it, and rows that could not be opened taken back.
func (p *Plugin) installCallbacks(db *gorm.DB) error {
	callbacks := db.Callback()
	return errors.Join(
		callbacks.Create().Before("*").Register("gormcrypt:models", p.checkModels),
		callbacks.Create().After("gormcrypt:models").Before("gorm:begin_transaction").Register("gormcrypt:rejected", checkRejected),
		callbacks.Query().Before("*").Register("gormcrypt:models", p.checkModels),
		callbacks.Update().Before("*").Register("gormcrypt:models", p.checkModels),
		callbacks.Delete().Before("*").Register("gormcrypt:models", p.checkModels),
		callbacks.Row().Before("*").Register("gormcrypt:models", p.checkModels),
		callbacks.Raw().Before("gorm:raw").Register("gormcrypt:handwritten", p.checkHandWritten),
		callbacks.Raw().After("gorm:raw").Register("gormcrypt:leave", p.leavePool),
		callbacks.Row().After("gorm:row").Register("gormcrypt:failed", failedRow),
		callbacks.Query().After("gormcrypt:models").Before("gorm:query").Register("gormcrypt:enter", p.enterQuery),
		callbacks.Query().After("gorm:query").Before("gorm:preload").Register("gormcrypt:leave", p.leaveQuery),
		callbacks.Row().After("gormcrypt:models").Before("gorm:row").Register("gormcrypt:enter", p.enterRow),
		callbacks.Row().After("gorm:row").Register("gormcrypt:leave", p.leavePool),
		callbacks.Create().After("gormcrypt:models").Before("gorm:create").Register("gormcrypt:handwritten", p.checkHandWritten),
		callbacks.Create().Before("gorm:create").After("gorm:save_before_associations").Register("gormcrypt:enter", p.enterWrite),
		callbacks.Create().After("gorm:create").Before("gorm:save_after_associations").Register("gormcrypt:leave", p.leavePool),
		callbacks.Update().After("gormcrypt:models").Before("gorm:update").Register("gormcrypt:handwritten", p.checkHandWritten),
		callbacks.Update().Before("gorm:update").After("gorm:save_before_associations").Register("gormcrypt:enter", p.enterWrite),
		callbacks.Update().After("gorm:update").Before("gorm:save_after_associations").Register("gormcrypt:leave", p.leavePool),
		callbacks.Delete().After("gormcrypt:models").Before("gorm:delete").Register("gormcrypt:handwritten", p.checkHandWritten),
		callbacks.Delete().Before("gorm:delete").After("gorm:delete_before_associations").Register("gormcrypt:enter", p.enterWrite),
		callbacks.Delete().After("gorm:delete").Before("gorm:after_delete").Register("gormcrypt:leave", p.leavePool),
		callbacks.Query().After("gorm:query").Register("gormcrypt:discard", discardOnError),
		callbacks.Update().After("gorm:update").Before("gorm:save_after_associations").Register("gormcrypt:restricted", checkRestricted),
	)
}

// checkModels reads the tags of a statement's model, and of the struct that it
// reads from or writes to, if that is another. It refuses those that have
// encrypted fields and were not listed.
func (p *Plugin) checkModels(db *gorm.DB) {
	stmt := db.Statement
	if db.Error != nil {
		if errors.Is(db.Error, schema.ErrUnsupportedDataType) && structType(stmt.Model) == nil { // GORM quotes what is in it
			db.Error = fmt.Errorf("gormcrypt: %w: a %T does not say its table; give it by db.Model or db.Table", schema.ErrUnsupportedDataType, stmt.Model)
			return
		}
		if p.known(stmt.Schema) != nil || !isUnlisted(stmt.Model, db.Error) {
			return
		}
		if !p.parseAgain(db) {
			_ = db.AddError(unlisted(stmt.Model))
			return
		}
	}
	if stmt.Schema != nil {
		if _, err := p.model(stmt.Schema); err != nil {
			_ = db.AddError(err)
			return
		}
	}
	if t := structType(stmt.Dest); t == nil || stmt.Schema != nil && t == stmt.Schema.ModelType {
		return
	}
	dest := &gorm.Statement{DB: db}
	if err := dest.Parse(stmt.Dest); err != nil {
		if isUnlisted(stmt.Dest, err) { // GORM would go on and read ciphertext as text
			_ = db.AddError(unlisted(stmt.Dest))
		}
	} else if dest.Schema != stmt.Schema {
		if _, err := p.model(dest.Schema); err != nil {
			_ = db.AddError(err)
		}
	}
}

// parseAgain parses a listed model that GORM has forgotten: it drops a model when
// it cannot parse it for another table, as a Migrator does under db.Table. It
// takes the error back that GORM gave for it just now.
func (p *Plugin) parseAgain(db *gorm.DB) bool {
	if _, listed := p.listed.Load(structType(db.Statement.Model)); !listed || errors.Unwrap(db.Error) != nil {
		return false
	}
	parsing.Lock()
	defer parsing.Unlock()
	schema.RegisterSerializer(serializerName, serializer{})
	defer schema.RegisterSerializer(serializerName, nil)
	if db.Statement.Parse(db.Statement.Model) != nil {
		return false
	}
	db.Error = nil
	return true
}

// isUnlisted reports whether GORM could not parse a model because it does not
// know our serializer. It says so, or that it cannot store a map, or whatever
// the type of the field is.
func isUnlisted(model any, err error) bool {
	return strings.Contains(err.Error(), "invalid serializer type "+serializerName) || hasMark(structType(model))
}

// hasMark reports whether a struct has a field that is marked as encrypted.
func hasMark(t reflect.Type) bool {
	if t == nil {
		return false
	}
	for field := range t.Fields() {
		if strings.EqualFold(schema.ParseTagSetting(field.Tag.Get("gorm"), ";")["SERIALIZER"], serializerName) ||
			field.Anonymous && hasMark(structType(reflect.Zero(field.Type).Interface())) {
			return true
		}
	}
	return false
}

func unlisted(model any) error {
	return &ModelError{
		Model:   strings.TrimLeft(fmt.Sprintf("%T", model), "*[]"),
		Problem: "it has encrypted fields, or is related to a model that has, and the plugin was not told",
		Fix:     "add a pointer to it to gormcrypt.Config.Models",
	}
}

// structType returns the struct that v is, or points to, or is a slice of; or
// nil.
func structType(v any) reflect.Type {
	t := reflect.TypeOf(v)
	for t != nil {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			t = t.Elem()
		case reflect.Struct:
			return t
		default:
			return nil
		}
	}
	return nil
}

// known returns the policies of a schema that was seen before, or nil.
func (p *Plugin) known(s *schema.Schema) *modelPolicy {
	if models := p.models.Load(); models != nil {
		return (*models)[s]
	}
	return nil
}

// model returns the policies of a schema, which it reads when it sees the
// schema for the first time, together with those that it is related to.
func (p *Plugin) model(s *schema.Schema) (*modelPolicy, error) {
	if m := p.known(s); m != nil {
		return m, nil
	}
	p.reading.Lock()
	defer p.reading.Unlock()
	return p.readModel(s)
}

// readModel is model for one goroutine at a time.
func (p *Plugin) readModel(s *schema.Schema) (*modelPolicy, error) {
	if m := p.known(s); m != nil {
		return m, nil
	}
	m, err := p.parseModel(s)
	if err != nil {
		return nil, err
	}
	if err := p.tables.add(m); err != nil {
		return nil, err
	}
	models := map[*schema.Schema]*modelPolicy{s: m}
	if before := p.models.Load(); before != nil {
		maps.Copy(models, *before)
	}
	p.models.Store(&models)
	if len(m.byField) > 0 {
		p.registrations.add(m)
		p.listed.Store(s.ModelType, nil)
	}
	for _, relation := range s.Relationships.Relations {
		related := []*schema.Schema{relation.FieldSchema}
		if relation.JoinTable != nil {
			related = append(related, relation.JoinTable)
		}
		for _, other := range related {
			if _, err := p.readModel(other); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}
