package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// Printable returns a text of the database without what would control a terminal:
// such characters are shown as escapes.
func Printable(text string) string {
	var b strings.Builder
	for _, r := range text {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}

// Say prints a remark, whose lines are broken at blanks to fit a terminal. The blanks
// that it begins with are in front of every line.
func (o *Output) Say(format string, values ...any) error {
	text := Printable(fmt.Sprintf(format, values...))
	if o.IsTerminal {
		rest := strings.TrimLeft(text, " ")
		margin := text[:len(text)-len(rest)]
		text = margin + strings.Join(Wrap(rest, o.Width()-len(margin)), "\n"+margin)
	}
	_, err := fmt.Fprintln(o, text)
	return err
}

// Wrap breaks a text at blanks into lines of some columns. A word that is longer is
// cut.
func Wrap(text string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Split(text, " ") {
		if line != "" && runewidth.StringWidth(line)+1+runewidth.StringWidth(word) > columns {
			lines, line = append(lines, line), ""
		}
		for runewidth.StringWidth(word) > columns {
			head := runewidth.Truncate(word, columns, "")
			if head == "" { // a character that is wider than the column
				break
			}
			lines, word = append(lines, head), strings.TrimPrefix(word, head)
		}
		if line != "" {
			word = " " + word
		}
		line += word
	}
	return append(lines, line)
}
