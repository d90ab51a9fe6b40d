package terminal_test

import (
	"encoding/json"
	"testing"
	"unicode"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

func TestEscape(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "",
		"zwölf Boxkämpfer 日本\n\tnext":        "zwölf Boxkämpfer 日本\n\tnext",
		"red\x1b[31m":                        `red\x1b[31m`,
		"title\x1b]0;x\a":                    `title\x1b]0;x\x07`,
		"over\rwritten\b\x7f":                `over\x0dwritten\x08\x7f`,
		"C1 \u009b31m":                       `C1 \x9b31m`,
		"not UTF-8 \xff\x9b":                 `not UTF-8 \xff\x9b`,
		"\u202efdp.exe \u2066 \u200b \ufeff": `\u202efdp.exe \u2066 \u200b \ufeff`,
		"\U000e0041":                         `\udb40\udc41`,
	} {
		got, changed := terminal.Escape(text)
		if got != want || changed != (got != text) {
			t.Errorf("Escape(%q) = %q, %t; want %q", text, got, changed, want)
		}
	}
}

// JSON that is escaped is the same JSON, and prints nothing else.
func TestEscapeJSON(t *testing.T) {
	t.Parallel()
	text := "\x1b\u009b\u202e\U000e0041\x7f日\n"
	before, err := json.Marshal([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	after := terminal.EscapeJSON(before)
	for _, r := range string(after) {
		if !unicode.IsPrint(r) {
			t.Errorf("%q has %q", after, r)
		}
	}
	var back []string
	if err := json.Unmarshal(after, &back); err != nil || back[0] != text {
		t.Errorf("%s is %q, %v", after, back, err)
	}
}
