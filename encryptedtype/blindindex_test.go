package encryptedtype_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"testing"

	"gorm.io/gorm/schema"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

type indexed struct {
	ID         uint
	Email      string
	EmailIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Email"`
	TaxIndex   encryptedtype.BlindIndex `gorm:"uniqueIndex:tax;size:64"`
	Renamed    encryptedtype.BlindIndex `gorm:"column:other;unique"`
	Bare       encryptedtype.BlindIndex
	Pointer    *encryptedtype.BlindIndex
}

// GORM takes a BlindIndex for a text column that may be indexed like any, and
// for neither an embedded struct nor a relation.
func TestBlindIndexIsATextColumn(t *testing.T) {
	t.Parallel()
	parsed, err := schema.Parse(&indexed{}, new(sync.Map), schema.NamingStrategy{})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"id", "email", "email_index", "tax_index", "other", "bare", "pointer"}; !reflect.DeepEqual(parsed.DBNames, want) {
		t.Errorf("the columns are %v, want %v", parsed.DBNames, want)
	}
	for _, name := range []string{"email_index", "tax_index", "other", "bare", "pointer"} {
		field := parsed.FieldsByDBName[name]
		if field.DataType != "text" || field.PrimaryKey || field.NotNull || field.HasDefaultValue || !field.Creatable || !field.Readable || !field.Updatable {
			t.Errorf("%s is the field %+v", name, field)
		}
	}
	if relations := parsed.Relationships.Relations; len(relations) != 0 {
		t.Errorf("the relations are %v", relations)
	}
	classes := map[string]string{}
	for _, index := range parsed.ParseIndexes() {
		classes[index.Fields[0].DBName] = index.Name + " " + index.Class
	}
	if want := map[string]string{"email_index": "idx_indexeds_email_index ", "tax_index": "tax UNIQUE"}; !reflect.DeepEqual(classes, want) {
		t.Errorf("the indexes are %v, want %v", classes, want)
	}
	if unique := parsed.ParseUniqueConstraints(); len(unique) != 1 {
		t.Errorf("the unique constraints are %v", unique)
	}
	if tag := parsed.FieldsByDBName["email_index"].Tag.Get("encrypt"); tag != "of=Email" {
		t.Errorf("its encrypt tag is %q", tag)
	}
}

// Whatever is read into it or set, it is zero, and so never a condition.
func TestBlindIndexHoldsNothing(t *testing.T) {
	t.Parallel()
	parsed, err := schema.Parse(&indexed{}, new(sync.Map), schema.NamingStrategy{})
	if err != nil {
		t.Fatal(err)
	}
	field := parsed.FieldsByDBName["email_index"]
	for _, stored := range []any{nil, "i7:AAECAwQFBgcICQoLDA0ODw", []byte("i7:AQ"), int64(42), encryptedtype.BlindIndex{}, new("x")} {
		var row indexed
		if err := row.EmailIndex.Scan(stored); err != nil {
			t.Errorf("%v: %v", stored, err)
		}
		if err := field.Set(context.Background(), reflect.ValueOf(&row).Elem(), stored); err != nil {
			t.Errorf("%v: %v", stored, err)
		}
		if _, zero := field.ValueOf(context.Background(), reflect.ValueOf(row)); !zero || row.EmailIndex != (encryptedtype.BlindIndex{}) {
			t.Errorf("%v stayed", stored)
		}
	}
	if value, err := (encryptedtype.BlindIndex{}).Value(); value != nil || err != nil {
		t.Errorf("it gives %v, %v", value, err)
	}
}

func TestBlindIndexPrints(t *testing.T) {
	t.Parallel()
	var index encryptedtype.BlindIndex
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, value := range []any{index, &index} {
			if got := fmt.Sprintf(verb, value); got != "[index]" {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
	if index.String() != "[index]" || index.LogValue().String() != "[index]" {
		t.Error("as a string or in a log it is something else")
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", index)
	if !bytes.Contains(log.Bytes(), []byte("v=[index]")) {
		t.Errorf("the log has %q", log.String())
	}
	row := indexed{ID: 1, Email: "a"}
	text, err := json.Marshal(row)
	if want := `{"ID":1,"Email":"a","EmailIndex":"[index]","TaxIndex":"[index]","Renamed":"[index]","Bare":"[index]","Pointer":null}`; err != nil || string(text) != want {
		t.Errorf("in JSON: %s, %v", text, err)
	}
	var back indexed
	if err := json.Unmarshal(text, &back); err != nil || back != row {
		t.Errorf("from JSON: %+v, %v", back, err)
	}
	if text, err = xml.Marshal(index); err != nil || string(text) != "<BlindIndex>[index]</BlindIndex>" {
		t.Errorf("in XML: %s, %v", text, err)
	}
}
