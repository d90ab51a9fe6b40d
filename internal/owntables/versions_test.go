package owntables

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
)

// Every dialect has every version, there and back, numbered without a gap.
func TestVersions(t *testing.T) {
	var first []string
	for name := range dialects {
		var ids []string
		for i, migration := range versionsOf(name) {
			ids = append(ids, migration.ID)
			if !strings.HasPrefix(migration.ID, fmt.Sprintf("%04d_", i+1)) {
				t.Errorf("%s: version %d is %s", name, i+1, migration.ID)
			}
			for _, way := range []string{".up.sql", ".down.sql"} {
				text, err := files.ReadFile(path.Join(name, migration.ID+way))
				if err != nil || strings.ContainsAny(string(text), "?@") {
					t.Errorf("%s%s: %v: it is not there, or has ? or @", migration.ID, way, err)
				}
			}
		}
		if first == nil {
			first = ids
		}
		if len(ids) == 0 || !slices.Equal(first, ids) {
			t.Errorf("%s has %v, and another %v", name, ids, first)
		}
	}
	for id := range unfinished {
		if !slices.Contains(first, id) {
			t.Errorf("there is no version %s that could have unfinished work", id)
		}
	}
}
