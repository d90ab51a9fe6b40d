package backfill_test

import (
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

// PostgreSQL cuts names at 63 bytes, and two that are cut to the same would be one.
func TestGuardNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("n", 63)
	seen := map[string]backfill.Guard{}
	for _, table := range []string{"a", "a.b", `"`, long + "." + long, ""} {
		for _, column := range []string{"c", "b.c", `"."`, long, ""} {
			for _, version := range []string{"1", "i1", "11", "i4294967295"} {
				guard := backfill.Guard{Table: table, Column: column, Version: version}
				name := guard.Name()
				if other, ok := seen[name]; ok || len(name+"_update") > 63 || !strings.HasPrefix(name, "gormcrypt_retired_"+version+"_") {
					t.Errorf("%+v is %s, as is %+v", guard, name, other)
				}
				seen[name] = guard
			}
		}
	}
}
