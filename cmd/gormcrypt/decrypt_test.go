package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/gormcrypt/gormcrypt/internal/backfill"
)

func TestReadKey(t *testing.T) {
	t.Parallel()
	type keys = []backfill.Key
	for _, test := range []struct {
		dialect, text string
		columns       int
		want          keys
	}{
		{"postgres", "7", 1, keys{{"7"}}},
		{"sqlite", "7", 1, keys{{int64(7)}, {"7"}}},
		{"sqlite", "0.5", 1, keys{{0.5}, {"0.5"}}},
		{"postgres", "a, b", 1, keys{{"a, b"}}},
		{"postgres", "eu, 7", 2, keys{{"eu", "7"}}},
		{"postgres", "eu,7", 2, keys{{"eu", "7"}}},
		{"sqlite", "eu,7", 2, keys{{"eu", int64(7)}, {"eu", "7"}}},
		{"postgres", "a, b, c", 2, keys{{"a", "b, c"}, {"a, b", "c"}}},
		{"sqlite", "x'00ff'", 1, keys{{[]byte{0, 0xff}}, {"x'00ff'"}}},
		{"postgres", "x'00ff'", 1, keys{{"x'00ff'"}, {`\x00ff`}}},
		{"sqlite", "x'0f", 1, keys{{"x'0f"}}},
		{"postgres", "", 1, keys{{""}}},
	} {
		got, err := readKey(test.dialect, test.text, test.columns)
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %q of %d columns is %v, %v; want %v", test.dialect, test.text, test.columns, got, err, test.want)
		}
	}
	for _, text := range []string{"", "eu"} {
		if got, err := readKey("postgres", text, 2); err == nil {
			t.Errorf("%q of 2 columns is %v", text, got)
		}
	}
	if got, err := readKey("sqlite", strings.Repeat(",", 10000), 3); err == nil {
		t.Errorf("a key of commas can be read in %d ways", len(got))
	}
}

// printed returns what is printed of a value, in a terminal or not.
func printed(t *testing.T, plaintext string, isTerminal bool) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	a := newApp(nil, out, out, func(string) (string, bool) { return "", false })
	a.out.IsTerminal = isTerminal
	if err := a.revealValue(decryption{}, &opened{kind: "string", bytes: func() []byte { return []byte(plaintext) }}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A value that somebody else has stored does not drive the terminal of who looks at it.
func TestValuesInATerminal(t *testing.T) {
	t.Parallel()
	const hostile = "name\x1b]0;title\a\u009b31m\u202e\xff"
	if got := printed(t, hostile, false); got != hostile {
		t.Errorf("in a pipe: %q", got)
	}
	got := printed(t, hostile, true)
	if !strings.HasSuffix(got, `name\x1b]0;title\x07\x9b31m\u202e\xff`+"\n") || !strings.Contains(got, "as it is\n") {
		t.Errorf("in a terminal: %q", got)
	}
	if got := printed(t, "two\nlines", true); got != "two\nlines\n" {
		t.Errorf("in a terminal: %q", got)
	}
}
