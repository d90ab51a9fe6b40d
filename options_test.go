package gormcrypt

import (
	"reflect"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

func TestParseOptions(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]options{
		"deterministic":               {deterministic: true},
		"bind=A":                      {bind: []string{"A"}},
		"bind=A,B, C,pad=16":          {bind: []string{"A", "B", "C"}, pad: 16},
		" pad=2 , deterministic ":     {pad: 2, deterministic: true},
		"context=users.email":         {table: "users", column: "email"},
		"context=public.users.e_mail": {table: "public.users", column: "e_mail"},
	} {
		if got, err := parseOptions(tag); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %+v, %v; want %+v", tag, got, err, want)
		}
	}
}

// FuzzParseOptions: every tag is read, or refused with a problem and a fix.
func FuzzParseOptions(f *testing.F) {
	for _, tag := range []string{"", "deterministic", "bind=A,B,pad=64", "context=a.b", "context=.", "pad=-1", "bind=A,b", ",", "=", "pad=2,pad=2"} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		o, err := parseOptions(tag)
		if err != nil {
			problem, fix, ok := strings.Cut(err.Error(), "; ")
			if !ok || problem == "" || fix == "" {
				t.Fatalf("%q gives the error %q, without a fix", tag, err)
			}
			return
		}
		if o.pad != 0 && (o.pad < 2 || o.pad > ciphertext.MaxPad) || (o.table == "") != (o.column == "") {
			t.Fatalf("%q is read as %+v", tag, o)
		}
		for _, name := range o.bind {
			if name == "" {
				t.Fatalf("%q binds to nothing", tag)
			}
		}
	})
}
