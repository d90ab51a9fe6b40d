package conformance

import (
	"context"
	"database/sql"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The models of the suite. Every one has a plain, unique name, by which rows are
// found and put in order.

// customer has an encrypted field of every kind.
type customer struct {
	ID   uint
	Name string `gorm:"size:100;unique"`
	City string // not encrypted

	Email      string            `gorm:"serializer:encrypted"`
	Phone      *string           `gorm:"serializer:encrypted"`
	Portrait   []byte            `gorm:"serializer:encrypted"`
	Thumbprint []byte            `gorm:"serializer:encrypted;type:bytes"` // in a binary column
	Salary     int64             `gorm:"serializer:encrypted;type:text"`
	Badge      uint32            `gorm:"serializer:encrypted;type:text"`
	Score      float64           `gorm:"serializer:encrypted;type:text"`
	Active     bool              `gorm:"serializer:encrypted;type:text"`
	Born       time.Time         `gorm:"serializer:encrypted;type:text"`
	Labels     []string          `gorm:"serializer:encrypted"`
	Notes      map[string]string `gorm:"serializer:encrypted"`
	Home       address           `gorm:"embedded;embeddedPrefix:home_"`
	TaxNumber  string            `gorm:"serializer:encrypted" encrypt:"deterministic"`

	APIKey   encryptedString
	Seed     encryptedBytes
	Quota    encryptedInt
	Seen     encryptedTime
	Settings encryptedNotes
	Token    *encryptedString
}

// address is embedded.
type address struct {
	Street string `gorm:"serializer:encrypted"`
	Door   int64  `gorm:"serializer:encrypted;type:text"`
}

// field is an encrypted field of customer.
type field struct {
	// name and column are what a map calls it.
	name, column string
	// index leads to it, for reflection.
	index []int
	// fresh makes a secret of the field's own type.
	fresh func(s *secrets) any
}

var customerFields = []field{
	customerField("Email", "email", func(s *secrets) any { return s.text() }),
	customerField("Phone", "phone", func(s *secrets) any { return new(s.text()) }),
	customerField("Portrait", "portrait", func(s *secrets) any { return s.bytes() }),
	customerField("Thumbprint", "thumbprint", func(s *secrets) any { return s.bytes() }),
	customerField("Salary", "salary", func(s *secrets) any { return s.number() }),
	customerField("Badge", "badge", func(s *secrets) any { return uint32(s.number()) }),
	customerField("Score", "score", func(s *secrets) any { return s.float() }),
	customerField("Active", "active", func(s *secrets) any { return true }),
	customerField("Born", "born", func(s *secrets) any { return s.moment() }),
	customerField("Labels", "labels", func(s *secrets) any { return s.labels() }),
	customerField("Notes", "notes", func(s *secrets) any { return s.notes() }),
	customerField("Street", "home_street", func(s *secrets) any { return s.text() }),
	customerField("Door", "home_door", func(s *secrets) any { return s.number() }),
	customerField("TaxNumber", "tax_number", func(s *secrets) any { return s.text() }),
	customerField("APIKey", "api_key", func(s *secrets) any { return encryptedtype.NewEncryptedString(s.text()) }),
	customerField("Seed", "seed", func(s *secrets) any { return encryptedtype.NewEncryptedBytes(s.bytes()) }),
	customerField("Quota", "quota", func(s *secrets) any { return encryptedtype.NewEncrypted(s.number()) }),
	customerField("Seen", "seen", func(s *secrets) any { return encryptedtype.NewEncrypted(s.moment()) }),
	customerField("Settings", "settings", func(s *secrets) any { return encryptedtype.NewEncrypted(s.notes()) }),
	customerField("Token", "token", func(s *secrets) any { return new(encryptedtype.NewEncryptedString(s.text())) }),
}

func customerField(name, column string, fresh func(s *secrets) any) field {
	at, ok := reflect.TypeFor[customer]().FieldByName(name)
	if !ok { // in the embedded struct
		home, _ := reflect.TypeFor[customer]().FieldByName("Home")
		at, _ = home.Type.FieldByName(name)
		at.Index = append(home.Index, at.Index...)
	}
	return field{name, column, at.Index, fresh}
}

func (f field) of(c *customer) any {
	return reflect.ValueOf(c).Elem().FieldByIndex(f.index).Interface()
}

func (f field) set(c *customer, value any) {
	reflect.ValueOf(c).Elem().FieldByIndex(f.index).Set(reflect.ValueOf(value))
}

// plain returns a value without pointers and without a type of encryptedtype.
func plain(value any) any {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Pointer {
		value = v.Elem().Interface()
	}
	if held, ok := encryptedtype.Plaintext(value); ok {
		return held
	}
	return value
}

// pointer returns a pointer to a value, unless it is one.
func pointer(value any) any {
	if reflect.TypeOf(value).Kind() == reflect.Pointer {
		return value
	}
	p := reflect.New(reflect.TypeOf(value))
	p.Elem().Set(reflect.ValueOf(value))
	return p.Interface()
}

// typed returns a plain value in a type of encryptedtype.
func typed(value any) any {
	switch value := value.(type) {
	case string:
		return encryptedtype.NewEncryptedString(value)
	case []byte:
		return encryptedtype.NewEncryptedBytes(value)
	case int64:
		return encryptedtype.NewEncrypted(value)
	case uint32:
		return encryptedtype.NewEncrypted(value)
	case float64:
		return encryptedtype.NewEncrypted(value)
	case bool:
		return encryptedtype.NewEncrypted(value)
	case time.Time:
		return encryptedtype.NewEncrypted(value)
	case []string:
		return encryptedtype.NewEncrypted(value)
	}
	return encryptedtype.NewEncrypted(value.(map[string]string))
}

// customer returns a customer with a fresh secret in every field.
func (s *secrets) customer(name string) *customer {
	c := &customer{Name: name, City: "London"}
	for _, f := range customerFields {
		f.set(c, f.fresh(s))
	}
	return c
}

// values returns what a map holds of a customer: all fields, each by one of its
// names.
func (c *customer) values(name func(f field) string) map[string]any {
	values := map[string]any{}
	for _, f := range customerFields {
		values[name(f)] = f.of(c)
	}
	return values
}

func byColumn(f field) string { return f.column }
func byField(f field) string  { return f.name }

// columns returns a map by column, for Create.
func (c *customer) columns() map[string]any {
	values := c.values(byColumn)
	values["name"], values["city"] = c.Name, c.City
	return values
}

// Short names of the types that fields have.
type (
	encryptedString = encryptedtype.EncryptedString
	encryptedBytes  = encryptedtype.EncryptedBytes
	encryptedInt    = encryptedtype.Encrypted[int64]
	encryptedTime   = encryptedtype.Encrypted[time.Time]
	encryptedNotes  = encryptedtype.Encrypted[map[string]string]
)

// encryptedNull is what a NULL column is read as.
var encryptedNull encryptedString

// unmarked is another struct for customers, of plain types, with no mark.
type unmarked struct {
	ID         uint
	Name       string
	Email      string
	Phone      *string
	Portrait   []byte
	Thumbprint []byte
	Salary     int64
	Badge      uint32
	Score      float64
	Active     bool
	Born       time.Time
	HomeStreet string
	APIKey     string
	Seed       []byte
	Quota      *int64
	Seen       time.Time
	Token      *string
}

// TableName is that of customer.
func (unmarked) TableName() string { return "customers" }

func (c *customer) unmarked() *unmarked {
	return &unmarked{
		Name: c.Name, Email: c.Email, Phone: c.Phone, Portrait: c.Portrait, Thumbprint: c.Thumbprint, Salary: c.Salary,
		Badge: c.Badge, Score: c.Score, Active: c.Active, Born: c.Born, HomeStreet: c.Home.Street, APIKey: c.APIKey.Reveal(),
		Seed: c.Seed.Reveal(), Quota: new(c.Quota.Reveal()), Seen: c.Seen.Reveal(), Token: new(c.Token.Reveal()),
	}
}

// partly returns what a customer has of the fields of unmarked.
func (c *customer) partly() *customer {
	return &customer{
		Name: c.Name, Email: c.Email, Phone: c.Phone, Portrait: c.Portrait, Thumbprint: c.Thumbprint, Salary: c.Salary,
		Badge: c.Badge, Score: c.Score, Active: c.Active, Born: c.Born, Home: address{Street: c.Home.Street}, APIKey: c.APIKey,
		Seed: c.Seed, Quota: c.Quota, Seen: c.Seen, Token: c.Token,
	}
}

// marked is another struct for customers, with marks of its own.
type marked struct {
	ID     uint
	Name   string
	Email  string `gorm:"serializer:encrypted"`
	Salary *int64 `gorm:"serializer:encrypted;type:text"`
	APIKey encryptedString
}

// TableName is that of customer.
func (marked) TableName() string { return "customers" }

// cityMarked calls encrypted what is plain in customers.
type cityMarked struct {
	ID   uint
	City string `gorm:"serializer:encrypted"`
}

// option has what may be NULL, or of any type.
type option struct {
	ID     uint
	Name   string          `gorm:"size:100;unique"`
	Text   sql.NullString  `gorm:"serializer:encrypted"`
	Number sql.NullInt64   `gorm:"serializer:encrypted;type:text"`
	Ratio  sql.NullFloat64 `gorm:"serializer:encrypted;type:text"`
	Moment sql.NullTime    `gorm:"serializer:encrypted;type:text"`
	Value  any             `gorm:"serializer:encrypted"`
}

// pledge has a column that is bound to another.
type pledge struct {
	ID     uint
	Name   string `gorm:"size:100;unique"`
	Lender string `gorm:"size:100"`
	Number string `gorm:"serializer:encrypted" encrypt:"bind=Lender"`
}

// subscriber has two fields whose values can be found, one by its index and one
// because equal values of it are stored alike, and one whose cannot.
type subscriber struct {
	ID         uint
	Name       string                   `gorm:"size:100;unique"`
	City       string                   // not encrypted
	Email      *string                  `gorm:"serializer:encrypted"`
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	TaxNumber  *string                  `gorm:"serializer:encrypted;index" encrypt:"deterministic"`
	Note       string                   `gorm:"serializer:encrypted"`
	SponsorID  *uint
	Sponsor    *subscriber
}

// tables are the models that have a table, and one only.
func tables() []any {
	return []any{&customer{}, &owner{}, &company{}, &country{}, &passport{}, &card{}, &group{}, &membership{}, &remark{}, &visitor{}, &option{}, &pledge{}, &subscriber{}}
}

// models are all structs with encrypted fields.
func models() []any { return slices.Concat(tables(), []any{&marked{}, &cityMarked{}}, resultModels()) }

// owner has every kind of relation, each to a model with encrypted fields.
type owner struct {
	ID        uint
	Name      string `gorm:"size:100;unique"`
	Email     string `gorm:"serializer:encrypted"`
	CompanyID *uint
	Company   *company // belongs to
	Passport  *passport
	Cards     []card
	Groups    []group  `gorm:"many2many:memberships"`
	Remarks   []remark `gorm:"polymorphic:Subject"`
}

// owner returns an owner with fresh secrets in every relation.
func (s *secrets) owner(name string) *owner {
	return &owner{
		Name: name, Email: s.text(),
		Company: &company{
			Name: name + "'s company", Account: encryptedtype.NewEncryptedString(s.text()),
			Country: &country{Name: name + "'s country", Treaty: s.text()},
		},
		Passport: &passport{Name: name + "'s passport", Number: s.number()},
		Cards:    []card{*s.card(name + "'s first card"), *s.card(name + "'s second card")},
		Groups:   []group{*s.group(name + "'s group")},
		Remarks:  []remark{*s.remark(name + "'s remark")},
	}
}

func (s *secrets) card(name string) *card {
	return &card{Name: name, Number: s.text(), Pin: encryptedtype.NewEncryptedString(s.text())}
}

func (s *secrets) group(name string) *group { return &group{Name: name, Topic: s.text()} }

func (s *secrets) remark(name string) *remark { return &remark{Name: name, Text: s.text()} }

// company is what an owner belongs to.
type company struct {
	ID        uint
	Name      string `gorm:"size:100;unique"`
	Account   encryptedString
	CountryID *uint
	Country   *country
}

// country is a relation of a relation.
type country struct {
	ID     uint
	Name   string `gorm:"size:100;unique"`
	Treaty string `gorm:"serializer:encrypted"`
}

// passport is what an owner has one of.
type passport struct {
	ID      uint
	OwnerID *uint
	Name    string `gorm:"size:100;unique"`
	Number  int64  `gorm:"serializer:encrypted;type:text"`
}

// card is what an owner has many of. It is deleted softly.
type card struct {
	ID        uint
	OwnerID   *uint
	Name      string `gorm:"size:100;unique"`
	Number    string `gorm:"serializer:encrypted"`
	Pin       encryptedString
	DeletedAt gorm.DeletedAt
}

// group is what an owner has many of, and belongs to many of.
type group struct {
	ID    uint
	Name  string `gorm:"size:100;unique"`
	Topic string `gorm:"serializer:encrypted"`
}

// TableName is not groups, which is a keyword in some databases.
func (group) TableName() string { return "circles" }

// membership joins owner and group.
type membership struct {
	OwnerID uint   `gorm:"primaryKey"`
	GroupID uint   `gorm:"primaryKey"`
	Role    string `gorm:"serializer:encrypted"`
}

type roleKey struct{}

// BeforeCreate takes the role from the context, for rows that GORM makes.
func (m *membership) BeforeCreate(tx *gorm.DB) error {
	if role, ok := tx.Statement.Context.Value(roleKey{}).(string); ok && m.Role == "" {
		m.Role = role
	}
	return nil
}

// remark belongs to models of any kind.
type remark struct {
	ID          uint
	Name        string `gorm:"size:100;unique"`
	SubjectID   uint
	SubjectType string `gorm:"size:100"`
	Text        string `gorm:"serializer:encrypted"`
}

// visitor has hooks. Each calls what the context has for it.
type visitor struct {
	ID    uint
	Name  string  `gorm:"size:100;unique"`
	Email string  `gorm:"serializer:encrypted"`
	Phone *string `gorm:"serializer:encrypted"`
	Pass  encryptedString
}

type hookKey string

func withHook(ctx context.Context, name string, hook func(v *visitor, tx *gorm.DB)) context.Context {
	return context.WithValue(ctx, hookKey(name), hook)
}

func (v *visitor) hook(name string, tx *gorm.DB) error {
	if hook, ok := tx.Statement.Context.Value(hookKey(name)).(func(*visitor, *gorm.DB)); ok {
		hook(v, tx)
	}
	return nil
}

// BeforeSave is a hook.
func (v *visitor) BeforeSave(tx *gorm.DB) error { return v.hook("BeforeSave", tx) }

// BeforeCreate is a hook.
func (v *visitor) BeforeCreate(tx *gorm.DB) error { return v.hook("BeforeCreate", tx) }

// AfterCreate is a hook.
func (v *visitor) AfterCreate(tx *gorm.DB) error { return v.hook("AfterCreate", tx) }

// BeforeUpdate is a hook.
func (v *visitor) BeforeUpdate(tx *gorm.DB) error { return v.hook("BeforeUpdate", tx) }

// AfterUpdate is a hook.
func (v *visitor) AfterUpdate(tx *gorm.DB) error { return v.hook("AfterUpdate", tx) }

// AfterSave is a hook.
func (v *visitor) AfterSave(tx *gorm.DB) error { return v.hook("AfterSave", tx) }

// AfterFind is a hook.
func (v *visitor) AfterFind(tx *gorm.DB) error { return v.hook("AfterFind", tx) }

// BeforeDelete is a hook.
func (v *visitor) BeforeDelete(tx *gorm.DB) error { return v.hook("BeforeDelete", tx) }

// AfterDelete is a hook.
func (v *visitor) AfterDelete(tx *gorm.DB) error { return v.hook("AfterDelete", tx) }

func tableNamed(name string) clause.Table   { return clause.Table{Name: name} }
func columnNamed(name string) clause.Column { return clause.Column{Name: name} }
