package settings_test

import (
	"testing"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

func TestHasPassword(t *testing.T) {
	t.Parallel()
	for database, want := range map[string]bool{
		"postgres://me:x@host/db":                        true,
		"postgresql://me:x@host:5432/db?sslmode=disable": true,
		"postgres://me:@host/db":                         true, // in doubt
		"postgres://host/db?user=me&password=x":          true,
		"postgres://host/db?PASSWORD=x":                  true,
		"postgres://host/db?p%61ssword=x":                true,
		"postgres://host/db?sslpassword=x":               true,
		"postgres://me:%zz@host/db":                      true, // no URL, so in doubt
		"postgres://host/db?a=%zz":                       true,
		"host=h user=me password=x":                      true,
		"password=x host=h":                              true,
		"host=h password = 'x y'":                        true,
		"host=h\tPASSWORD=x":                             true,
		"host=h sslpassword=x":                           true,
		"postgres://me@host/db":                          false,
		"postgres://host/password":                       false,
		"postgres://host/db?passfile=/etc/pass":          false,
		"host=::1 dbname=db":                             false,
		"host=h dbname=passwords":                        false,
		"sqlite:my%zz.db":                                false,
		"sqlite:a:b@c.db":                                false,
		"":                                               false,
	} {
		if got := settings.HasPassword(database); got != want {
			t.Errorf("HasPassword(%q) is %t", database, got)
		}
	}
}
