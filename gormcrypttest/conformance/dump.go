package conformance

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// dump writes a value in one canonical way, with the types of what is in it and
// with what the types of encryptedtype hold. Two values with the same dump are
// equal to a program. Of structs and maps it leaves out the keys, which databases
// give, and what is not exported.
func dump(v any) string {
	var b strings.Builder
	write(&b, reflect.ValueOf(v))
	return b.String()
}

func write(b *strings.Builder, v reflect.Value) {
	if !v.IsValid() {
		b.WriteString("nil")
		return
	}
	if v.Kind() == reflect.Interface {
		write(b, v.Elem())
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		b.WriteByte('&')
		write(b, v.Elem())
		return
	}
	switch held := v.Interface().(type) {
	case time.Time:
		fmt.Fprintf(b, "%s %s", v.Type(), held.Format(time.RFC3339Nano))
		return
	case []byte:
		if held == nil {
			fmt.Fprintf(b, "%s nil", v.Type())
			return
		}
		fmt.Fprintf(b, "%s %q", v.Type(), held)
		return
	default:
		if plaintext, ok := encryptedtype.Plaintext(held); ok {
			fmt.Fprintf(b, "%s ", v.Type())
			write(b, reflect.ValueOf(plaintext))
			return
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		fmt.Fprintf(b, "%s{", v.Type())
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.IsExported() && !isKey(field) {
				fmt.Fprintf(b, "%s: ", field.Name)
				write(b, v.Field(i))
				b.WriteString("; ")
			}
		}
		b.WriteByte('}')
	case reflect.Slice, reflect.Array:
		// GORM makes an empty slice of a relation without rows.
		if v.Kind() == reflect.Slice && v.IsNil() && !isStruct(v.Type().Elem()) {
			fmt.Fprintf(b, "%s nil", v.Type())
			return
		}
		var elements []string
		for i := range v.Len() {
			elements = append(elements, dump(v.Index(i).Interface()))
		}
		if isStruct(v.Type().Elem()) {
			slices.Sort(elements) // nobody asked the database for an order
		}
		fmt.Fprintf(b, "%s[%s]", v.Type(), strings.Join(elements, ", "))
	case reflect.Map:
		if v.IsNil() {
			fmt.Fprintf(b, "%s nil", v.Type())
			return
		}
		var entries []string
		for key, value := range v.Seq2() {
			if name := key.String(); name == "id" || name == "@id" {
				continue // as GORM adds them to the maps that it creates rows from
			}
			entries = append(entries, dump(key.Interface())+": "+dump(value.Interface()))
		}
		slices.Sort(entries)
		fmt.Fprintf(b, "%s{%s}", v.Type(), strings.Join(entries, ", "))
	case reflect.String:
		fmt.Fprintf(b, "%s %q", v.Type(), v.String())
	default:
		fmt.Fprintf(b, "%s %v", v.Type(), v.Interface())
	}
}

// isKey reports whether a field is one that GORM sets: a primary or foreign key,
// or the time of a deletion.
func isKey(field reflect.StructField) bool {
	return strings.HasSuffix(field.Name, "ID") || field.Name == "SubjectType" || field.Name == "DeletedAt"
}

func isStruct(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

// difference shows where two dumps begin to differ.
func difference(got, want string) string {
	at := 0
	for at < len(got) && at < len(want) && got[at] == want[at] {
		at++
	}
	from := max(0, at-60)
	show := func(s string) string {
		if to := min(len(s), at+120); from < to {
			return s[from:to]
		}
		return s[min(from, len(s)):]
	}
	return fmt.Sprintf("\n got ...%s...\nwant ...%s...", show(got), show(want))
}
