package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Escape returns a text without what could drive a terminal: characters that are not
// printed, and bytes that are not UTF-8, stand there as \x1b or \u202e. Tabs and line
// breaks stay. Changed says whether any did not.
func Escape(text string) (safe string, changed bool) {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
			changed = true
		case r == '\n' || r == '\t' || unicode.IsPrint(r):
			b.WriteString(text[:size])
		default:
			b.WriteString(escaped(r, `\x%02x`))
			changed = true
		}
		text = text[size:]
	}
	return b.String(), changed
}

// EscapeJSON returns the same JSON with characters that are not printed as escapes of
// JSON. The encoder escapes those below a space only.
func EscapeJSON(text []byte) []byte {
	var b strings.Builder
	for _, r := range string(text) {
		if r == '\n' || unicode.IsPrint(r) {
			b.WriteRune(r)
		} else {
			b.WriteString(escaped(r, `\u%04x`))
		}
	}
	return []byte(b.String())
}

func escaped(r rune, short string) string {
	switch {
	case r < 0x100:
		return fmt.Sprintf(short, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	// As UTF-16 writes it, which is how JSON does.
	r -= 0x10000
	return fmt.Sprintf(`\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
}
