package integration_test

import (
	"database/sql"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

type (
	status string
	limits struct {
		Daily  int
		Labels []string
	}
	Profile struct {
		Nickname string  `gorm:"serializer:encrypted"`
		Motto    *string `gorm:"serializer:encrypted"`
	}
)

// everything has a field of every supported type.
type everything struct {
	ID     uint
	String string `gorm:"serializer:encrypted"`
	Status status `gorm:"serializer:encrypted"`
	Bytes  []byte `gorm:"serializer:encrypted"`
	Binary []byte `gorm:"serializer:encrypted;type:bytes"`

	Int     int     `gorm:"serializer:encrypted;type:text"`
	Int8    int8    `gorm:"serializer:encrypted;type:text"`
	Int16   int16   `gorm:"serializer:encrypted;type:text"`
	Int32   int32   `gorm:"serializer:encrypted;type:text"`
	Int64   int64   `gorm:"serializer:encrypted;type:text"`
	Uint    uint    `gorm:"serializer:encrypted;type:text"`
	Uint8   uint8   `gorm:"serializer:encrypted;type:text"`
	Uint16  uint16  `gorm:"serializer:encrypted;type:text"`
	Uint32  uint32  `gorm:"serializer:encrypted;type:text"`
	Uint64  uint64  `gorm:"serializer:encrypted;type:text"`
	Float32 float32 `gorm:"serializer:encrypted;type:text"`
	Float64 float64 `gorm:"serializer:encrypted;type:text"`
	Bool    bool    `gorm:"serializer:encrypted;type:text"`

	Time  time.Time         `gorm:"serializer:encrypted;type:text"`
	Map   map[string]string `gorm:"serializer:encrypted"`
	Slice []int             `gorm:"serializer:encrypted"`
	JSON  limits            `gorm:"serializer:encrypted"`
	Addr  netip.Addr        `gorm:"serializer:encrypted"`
	Any   any               `gorm:"serializer:encrypted"`

	StringPointer *string        `gorm:"serializer:encrypted"`
	IntPointer    *int64         `gorm:"serializer:encrypted;type:text"`
	BoolPointer   *bool          `gorm:"serializer:encrypted;type:text"`
	TimePointer   *time.Time     `gorm:"serializer:encrypted;type:text"`
	JSONPointer   *limits        `gorm:"serializer:encrypted"`
	NullString    sql.NullString `gorm:"serializer:encrypted"`
	NullTime      sql.NullTime   `gorm:"serializer:encrypted;type:text"`

	Padded        string `gorm:"serializer:encrypted" encrypt:"pad=64"`
	Deterministic string `gorm:"serializer:encrypted;unique" encrypt:"deterministic"`
	Elsewhere     string `gorm:"serializer:encrypted;column:renamed" encrypt:"context=older.name"`

	Profile
	Embedded Profile  `gorm:"embedded;embeddedPrefix:in_"`
	Pointed  *Profile `gorm:"embedded;embeddedPrefix:to_"`

	EncryptedString  encryptedtype.EncryptedString
	EncryptedBytes   encryptedtype.EncryptedBytes
	EncryptedInt     encryptedtype.Encrypted[int64]
	EncryptedTime    encryptedtype.Encrypted[time.Time]
	EncryptedJSON    encryptedtype.Encrypted[limits]
	EncryptedPointer *encryptedtype.EncryptedString

	Plain string
}

// rows returns a row with ordinary values, one with the extremes, one with
// zeros and one with every NULL that there can be.
func rows() []*everything {
	motto, number, truth := "per aspera", int64(-1), true
	moment := time.Date(2026, 11, 21, 12, 30, 0, 123456789, time.FixedZone("", 5*3600+1800))
	secret := encryptedtype.NewEncryptedString("by pointer")
	full := &everything{
		String: "ada@example.org", Status: "open", Bytes: []byte{0, 1, 2}, Binary: []byte{3, 0, 255},
		Int: 1, Int8: -2, Int16: 3, Int32: -4, Int64: 5, Uint: 6, Uint8: 7, Uint16: 8, Uint32: 9, Uint64: 10,
		Float32: 1.5, Float64: -2.25, Bool: true, Time: moment, Map: map[string]string{"k": "v"}, Slice: []int{1, 2},
		JSON: limits{5, []string{"a"}}, Addr: netip.MustParseAddr("2001:db8::1"), Any: "any",
		StringPointer: &motto, IntPointer: &number, BoolPointer: &truth, TimePointer: &moment, JSONPointer: &limits{Daily: 1},
		NullString: sql.NullString{String: "x", Valid: true}, NullTime: sql.NullTime{Time: moment.UTC(), Valid: true},
		Padded: "short", Deterministic: "DE123456789", Elsewhere: "moved",
		Profile: Profile{"ada", &motto}, Embedded: Profile{"in", nil}, Pointed: &Profile{"to", &motto},
		EncryptedString: encryptedtype.NewEncryptedString("sk_live_1"), EncryptedBytes: encryptedtype.NewEncryptedBytes([]byte{9, 0}),
		EncryptedInt: encryptedtype.NewEncrypted(int64(42)), EncryptedTime: encryptedtype.NewEncrypted(moment),
		EncryptedJSON: encryptedtype.NewEncrypted(limits{7, nil}), EncryptedPointer: &secret,
		Plain: "not a secret",
	}
	empty := ""
	extreme := &everything{
		String: strings.Repeat("0123456789abcdef", 1<<16), Status: "gc1:1:AQ", Bytes: []byte("a\x00\xff"), Binary: []byte{},
		Int: math.MinInt, Int8: math.MinInt8, Int16: math.MaxInt16, Int32: math.MinInt32, Int64: math.MaxInt64,
		Uint: math.MaxUint, Uint8: math.MaxUint8, Uint16: math.MaxUint16, Uint32: math.MaxUint32, Uint64: math.MaxUint64,
		Float32: math.MaxFloat32, Float64: math.SmallestNonzeroFloat64, Time: time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC),
		Map: map[string]string{}, Slice: []int{}, Any: int64(7), StringPointer: &empty, Deterministic: "a\xffb\x00",
		Padded: strings.Repeat("x", 63), Elsewhere: "ünïcödé \U0001F600",
		EncryptedString: encryptedtype.NewEncryptedString(""), EncryptedBytes: encryptedtype.NewEncryptedBytes([]byte{}),
		EncryptedInt: encryptedtype.NewEncrypted(int64(0)), Pointed: &Profile{},
	}
	zeros := &everything{Deterministic: "zeros", Pointed: &Profile{}}
	return []*everything{full, extreme, zeros}
}

func (everything) TableName() string { return "everything" }

// encryptedColumns are all columns of everything but the key and plain.
func encryptedColumns(t *testing.T, db *database) []string {
	t.Helper()
	types, err := db.Migrator().ColumnTypes(&everything{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, column := range types {
		if name := column.Name(); name != "id" && name != "plain" {
			names = append(names, name)
		}
	}
	if len(names) != 45 {
		t.Errorf("the table has %d encrypted columns, want 45: %v", len(names), names)
	}
	return names
}

func TestRoundTripOfEveryType(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		keys := generate(t)
		db := open(t, where, keys, &everything{})
		written := rows()
		if err := db.Create(&written).Error; err != nil {
			t.Fatal(err)
		}
		if !sameRows(written, rows()) {
			t.Error("creating the rows changed them")
		}
		for _, save := range []bool{false, true} {
			fresh := reopen(t, where, keys, &everything{})
			var read []*everything
			if err := fresh.Order("id").Find(&read).Error; err != nil {
				t.Fatal(err)
			}
			if !sameRows(read, rows()) {
				t.Errorf("after saving=%t, what was read is not what was written", save)
			}
			fresh.requireSealed(t, "everything", encryptedColumns(t, fresh)...)
			// Saving what was read encrypts it once, not twice.
			if err := fresh.Save(&read).Error; err != nil {
				t.Fatal(err)
			}
			fresh.requireUnsaid(t, "ada@example.org", "DE123456789", "sk_live_1", "per aspera")
		}
		db.requireUnsaid(t, "ada@example.org", "DE123456789", "sk_live_1", "per aspera")
	})
}

// sameRows compares rows without their keys. The types of encryptedtype are
// compared by what they reveal.
func sameRows(got, want []*everything) bool {
	if len(got) != len(want) {
		return false
	}
	for i := range got {
		if !sameRow(reflect.ValueOf(*got[i]), reflect.ValueOf(*want[i])) {
			return false
		}
	}
	return true
}

func sameRow(got, want reflect.Value) bool {
	for i := range got.NumField() {
		field := got.Type().Field(i)
		a, b := got.Field(i), want.Field(i)
		switch {
		case field.Name == "ID":
			continue
		case field.Name == "Profile":
			if !sameRow(a, b) {
				return false
			}
			continue
		}
		x, y := reveal(a.Interface()), reveal(b.Interface())
		if !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}

// reveal makes a value comparable with reflect.DeepEqual: times with the same
// offset have different locations, and empty JSON decodes to nil.
func reveal(v any) any {
	if plaintext, ok := encryptedtype.Plaintext(v); ok {
		return reveal(plaintext)
	}
	switch v := v.(type) {
	case time.Time:
		return v.Format(time.RFC3339Nano)
	case *time.Time:
		if v != nil {
			return v.Format(time.RFC3339Nano)
		}
	}
	return v
}

// NULL stays NULL, is read as nil or the zero value, and is told from values
// that are merely empty.
func TestNullsAndEmptyValues(t *testing.T) {
	t.Parallel()
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		type note struct {
			ID       uint
			Text     *string        `gorm:"serializer:encrypted"`
			Bytes    []byte         `gorm:"serializer:encrypted"`
			Labels   map[string]int `gorm:"serializer:encrypted"`
			Secret   encryptedtype.EncryptedString
			Number   encryptedtype.Encrypted[*int]
			Optional sql.NullInt64 `gorm:"serializer:encrypted;type:text"`
		}
		db := open(t, where, generate(t), &note{})
		empty := ""
		if err := db.Create([]*note{{}, {Text: &empty, Bytes: []byte{}, Labels: map[string]int{}, Secret: encryptedtype.NewEncryptedString("")}}).Error; err != nil {
			t.Fatal(err)
		}
		for column, wantSecond := range map[string]bool{"text": true, "bytes": true, "labels": true, "secret": true, "number": false, "optional": false} {
			values := db.column(t, "notes", column)
			if values[0].Valid || values[1].Valid != wantSecond {
				t.Errorf("%s: NULL is %t and %t, want true and %t", column, !values[0].Valid, !values[1].Valid, !wantSecond)
			}
		}
		var read []note
		if err := db.Order("id").Find(&read).Error; err != nil {
			t.Fatal(err)
		}
		if first := read[0]; first.Text != nil || first.Bytes != nil || first.Labels != nil || !first.Secret.IsNull() || !first.Number.IsNull() || first.Optional.Valid {
			t.Errorf("NULLs were read as %+v", first)
		}
		if second := read[1]; second.Text == nil || *second.Text != "" || second.Bytes == nil || second.Labels == nil || second.Secret.IsNull() {
			t.Errorf("empty values were read as %+v", second)
		}
	})
}
