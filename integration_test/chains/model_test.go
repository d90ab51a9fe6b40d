package chains

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The two worlds have models of the same shape, for tables of the same names.
// What is encrypted in one is plain in the other.

type secretAccount struct {
	ID        uint
	Name      string `gorm:"unique"`
	City      string
	Visits    int
	Note      string
	Email     string            `gorm:"serializer:encrypted"`
	Phone     *string           `gorm:"serializer:encrypted"`
	Salary    int64             `gorm:"serializer:encrypted;type:text"`
	Active    bool              `gorm:"serializer:encrypted;type:text"`
	Photo     []byte            `gorm:"serializer:encrypted"`
	Born      time.Time         `gorm:"serializer:encrypted;type:text"`
	Labels    []string          `gorm:"serializer:encrypted"`
	Extra     map[string]string `gorm:"serializer:encrypted"`
	APIKey    encryptedtype.EncryptedString
	TaxID     *string    `gorm:"serializer:encrypted;uniqueIndex" encrypt:"deterministic"`
	Home      secretHome `gorm:"embedded;embeddedPrefix:home_"`
	ChangedAt int64      `gorm:"serializer:encrypted;type:text;autoUpdateTime:milli"`
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt gorm.DeletedAt

	EmailIndex  encryptedtype.BlindIndex `encrypt:"of=Email"`
	PhoneIndex  encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Phone"`
	SalaryIndex encryptedtype.BlindIndex `encrypt:"of=Salary"`
	APIKeyIndex encryptedtype.BlindIndex `encrypt:"of=APIKey"`

	Cards []secretCard `gorm:"foreignKey:AccountID"`
	Teams []secretTeam `gorm:"many2many:account_teams;joinForeignKey:AccountID;joinReferences:TeamID"`

	Seen string `gorm:"-"`
}

type secretHome struct {
	Street      string `gorm:"serializer:encrypted"`
	Zip         string
	StreetIndex encryptedtype.BlindIndex `encrypt:"of=Street,bits=4"`
}

type secretCard struct {
	ID        uint
	AccountID *uint
	Account   *secretAccount `gorm:"foreignKey:AccountID"`
	Label     string
	Number    string `gorm:"serializer:encrypted"`
	Ceiling   int64  `gorm:"serializer:encrypted;type:text"`

	CeilingIndex encryptedtype.BlindIndex `encrypt:"of=Ceiling"`
}

type secretTeam struct {
	ID    uint
	Title string
	Motto string `gorm:"serializer:encrypted"`
}

// secretWallet has a value that is bound to another.
type secretWallet struct {
	ID      uint
	Payout  string `gorm:"serializer:encrypted" encrypt:"bind=Holder"`
	Holder  string `gorm:"unique"`
	Memo    string `gorm:"serializer:encrypted"`
	Balance int
}

type plainAccount struct {
	ID        uint
	Name      string `gorm:"unique"`
	City      string
	Visits    int
	Note      string
	Email     string
	Phone     *string
	Salary    int64
	Active    bool
	Photo     []byte
	Born      time.Time
	Labels    plainList `gorm:"serializer:json"`
	Extra     plainDict `gorm:"serializer:json"`
	APIKey    *string
	TaxID     *string   `gorm:"uniqueIndex"`
	Home      plainHome `gorm:"embedded;embeddedPrefix:home_"`
	ChangedAt int64     `gorm:"autoUpdateTime:milli"`
	CreatedAt time.Time
	UpdatedAt time.Time
	DeletedAt gorm.DeletedAt

	// Columns without values, as hand-written statements name them.
	EmailIndex, PhoneIndex, SalaryIndex, APIKeyIndex *string

	Cards []plainCard `gorm:"foreignKey:AccountID"`
	Teams []plainTeam `gorm:"many2many:account_teams;joinForeignKey:AccountID;joinReferences:TeamID"`

	Seen string `gorm:"-"`
}

type plainHome struct {
	Street      string
	Zip         string
	StreetIndex *string
}

type plainCard struct {
	ID        uint
	AccountID *uint
	Account   *plainAccount `gorm:"foreignKey:AccountID"`
	Label     string
	Number    string
	Ceiling   int64

	CeilingIndex *string
}

type plainTeam struct {
	ID    uint
	Title string
	Motto string
}

type plainWallet struct {
	ID      uint
	Payout  string
	Holder  string `gorm:"unique"`
	Memo    string
	Balance int
}

func (secretAccount) TableName() string { return "accounts" }
func (plainAccount) TableName() string  { return "accounts" }
func (secretCard) TableName() string    { return "cards" }
func (plainCard) TableName() string     { return "cards" }
func (secretTeam) TableName() string    { return "teams" }
func (plainTeam) TableName() string     { return "teams" }
func (secretWallet) TableName() string  { return "wallets" }
func (plainWallet) TableName() string   { return "wallets" }

// contact is a smaller struct for the accounts, without marks, of both worlds.
type contact struct {
	ID     uint
	Name   string
	City   string
	Email  string
	Phone  *string
	Salary int64
	Active bool
	Photo  []byte
	Born   time.Time
	APIKey *string
}

// The hooks of both worlds do the same.

const (
	// trimmed marks an email address that BeforeSave changes.
	trimmed = " (to be trimmed)"
	// summoned is the number of visits upon which BeforeUpdate sets a column.
	summoned = 7
)

func beforeSave(email *string) error {
	if rest, ok := strings.CutSuffix(*email, trimmed); ok {
		*email = rest + " by hook"
	}
	return nil
}

func beforeUpdate(tx *gorm.DB, visits int) error {
	stmt := tx.Statement
	_, isMap := stmt.Dest.(map[string]any)
	if _, ok := stmt.Dest.(*contact); ok {
		return nil // GORM panics when it is to set a field of another struct
	}
	if visits == summoned {
		stmt.SetColumn("Email", "hushhush~email set by hook")
	}
	if (changedOfMaps || !isMap) && stmt.Changed("Email", "Salary") {
		stmt.SetColumn("Note", "changed")
	}
	return nil
}

// changedOfMaps says whether hooks ask what an update by a map changes. GORM
// compares the values of the map with what serializers make of the fields, so
// for any field with a serializer it says that it changes.
const changedOfMaps = false

func (a *secretAccount) BeforeSave(*gorm.DB) error      { return beforeSave(&a.Email) }
func (a *plainAccount) BeforeSave(*gorm.DB) error       { return beforeSave(&a.Email) }
func (a *secretAccount) BeforeUpdate(tx *gorm.DB) error { return beforeUpdate(tx, a.Visits) }
func (a *plainAccount) BeforeUpdate(tx *gorm.DB) error  { return beforeUpdate(tx, a.Visits) }
func (a *secretAccount) AfterSave(*gorm.DB) error       { a.Seen = "saved " + a.Email; return nil }
func (a *plainAccount) AfterSave(*gorm.DB) error        { a.Seen = "saved " + a.Email; return nil }
func (a *secretAccount) AfterFind(*gorm.DB) error       { a.Seen = "found " + a.Email; return nil }
func (a *plainAccount) AfterFind(*gorm.DB) error        { a.Seen = "found " + a.Email; return nil }

// plainList and plainDict are stored as JSON by GORM's own serializer. What they
// are in maps, it leaves to them.

type plainList []string

type plainDict map[string]string

func (l plainList) Value() (driver.Value, error) { return toJSON(l, l == nil) }
func (l *plainList) Scan(src any) error          { *l = nil; return fromJSON(src, l) }
func (plainList) GormDataType() string           { return "text" }
func (d plainDict) Value() (driver.Value, error) { return toJSON(d, d == nil) }
func (d *plainDict) Scan(src any) error          { *d = nil; return fromJSON(src, d) }
func (plainDict) GormDataType() string           { return "text" }

func toJSON(v any, null bool) (driver.Value, error) {
	if null {
		return nil, nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func fromJSON(src, dst any) error {
	switch src := src.(type) {
	case nil:
		return nil
	case string:
		return json.Unmarshal([]byte(src), dst)
	case []byte:
		return json.Unmarshal(src, dst)
	}
	return fmt.Errorf("a %T is no JSON", src)
}

// kind is what a field holds.
type kind int

const (
	textKind kind = iota
	numberKind
	flagKind
	bytesKind
	momentKind
	listKind
	dictKind
	heldKind  // a type of package encryptedtype in one world, a *string in the other
	taxKind   // a unique text
	indexKind // a blind index, which programs give no value for
)

// field is a column of a table, and the field of its struct.
type field struct {
	name, column string
	kind         kind
	// nullable says that the field is a pointer.
	nullable bool
	// encrypted says that it is, in the encrypted world.
	encrypted bool
	// index is the column of its blind index there, which tells values apart by so
	// many bits, if not by all.
	index string
	bits  int
}

// searchable reports whether conditions on the field's value work in every
// statement.
func (f *field) searchable() bool { return f.kind == taxKind || f.index != "" && f.bits == 0 }

// table is a table, by its fields. The first one is its key to people, and is
// always set.
type table struct {
	name, model string
	fields      []*field
}

var (
	accounts = &table{"accounts", "account", []*field{
		{name: "Name", column: "name"},
		{name: "City", column: "city"},
		{name: "Visits", column: "visits", kind: numberKind},
		{name: "Note", column: "note"},
		{name: "Email", column: "email", encrypted: true, index: "email_index"},
		{name: "Phone", column: "phone", nullable: true, encrypted: true, index: "phone_index"},
		{name: "Salary", column: "salary", kind: numberKind, encrypted: true, index: "salary_index"},
		{name: "Active", column: "active", kind: flagKind, encrypted: true},
		{name: "Photo", column: "photo", kind: bytesKind, encrypted: true},
		{name: "Born", column: "born", kind: momentKind, encrypted: true},
		{name: "Labels", column: "labels", kind: listKind, encrypted: true},
		{name: "Extra", column: "extra", kind: dictKind, encrypted: true},
		{name: "APIKey", column: "api_key", kind: heldKind, nullable: true, encrypted: true, index: "api_key_index"},
		{name: "TaxID", column: "tax_id", kind: taxKind, nullable: true, encrypted: true},
		{name: "Home.Street", column: "home_street", encrypted: true, index: "home_street_index", bits: 4},
		{name: "Home.Zip", column: "home_zip"},
		{name: "ChangedAt", column: "changed_at", kind: numberKind, encrypted: true},
		{name: "CreatedAt", column: "created_at", kind: momentKind},
		{name: "UpdatedAt", column: "updated_at", kind: momentKind},
		{name: "DeletedAt", column: "deleted_at", kind: momentKind, nullable: true},
		{name: "ID", column: "id", kind: numberKind},
	}}
	cards = &table{"cards", "card", []*field{
		{name: "Label", column: "label"},
		{name: "Number", column: "number", encrypted: true},
		{name: "Ceiling", column: "ceiling", kind: numberKind, encrypted: true, index: "ceiling_index"},
		{name: "AccountID", column: "account_id", kind: numberKind, nullable: true},
		{name: "ID", column: "id", kind: numberKind},
	}}
	teams = &table{"teams", "team", []*field{
		{name: "Title", column: "title"},
		{name: "Motto", column: "motto", encrypted: true},
		{name: "ID", column: "id", kind: numberKind},
	}}
	wallets = &table{"wallets", "wallet", []*field{
		{name: "Holder", column: "holder"},
		{name: "Memo", column: "memo", encrypted: true},
		{name: "Payout", column: "payout", encrypted: true},
		{name: "Balance", column: "balance", kind: numberKind},
		{name: "ID", column: "id", kind: numberKind},
	}}
	tables = []*table{accounts, cards, teams, wallets}
)

// untracked are the fields that GORM sets by itself.
var untracked = map[string]bool{"ChangedAt": true, "CreatedAt": true, "UpdatedAt": true, "DeletedAt": true, "ID": true, "AccountID": true}

// choosable returns the fields that chains set, without the key.
func (t *table) choosable() []*field {
	return t.where(func(f *field) bool { return !untracked[f.name] && f != t.fields[0] })
}

// searchable returns the fields with whose values conditions work.
func (t *table) searchable() []*field { return t.where((*field).searchable) }

// indexed returns the fields with a blind index.
func (t *table) indexed() []*field { return t.where(func(f *field) bool { return f.index != "" }) }

// encrypted returns the fields that are encrypted.
func (t *table) encrypted() []*field { return t.where(func(f *field) bool { return f.encrypted }) }

func (t *table) encryptedColumns() []string {
	var columns []string
	for _, f := range t.encrypted() {
		columns = append(columns, f.column)
	}
	return columns
}

func (t *table) indexColumns() []string {
	var columns []string
	for _, f := range t.indexed() {
		columns = append(columns, f.index)
	}
	return columns
}

func (t *table) where(keep func(*field) bool) []*field {
	var kept []*field
	for _, f := range t.fields {
		if keep(f) {
			kept = append(kept, f)
		}
	}
	return kept
}

// field returns the field of a column, or nil.
func (t *table) field(column string) *field {
	for _, f := range t.fields {
		if f.column == column {
			return f
		}
	}
	return nil
}
