package ciphertext

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Normalization returns the built-in normalization of a name, for
// [IndexConfig]: a function of a text that is safe for concurrent use and takes
// any text, UTF-8 or not.
//
//   - lower: Unicode normalization form C (UAX #15), then the lower case of each
//     character by itself, then form C again. It is the same in every language,
//     and no case folding: "ß" and "ss" stay different, and so do the two small
//     sigmas. Bytes that are not UTF-8 become U+FFFD.
//   - trim: without Unicode white space at both ends.
//   - digits: only the decimal digits of any script, as those of ASCII. The
//     "+" of a telephone number is dropped like everything else.
//   - email: trim, then lower, of the whole address. Mail servers may tell
//     cases apart in front of the @, and none is known to. Dots and tags there
//     stay what they are, and so does the domain: its Unicode and its ASCII
//     form are not equal.
//   - last4: the last four characters (code points), or the whole text if it
//     is shorter.
//   - domain: what is behind the last @, trimmed and in lower case; the empty
//     string for a text without an @.
//
// All but domain change nothing of what they have made. What they make of a
// character follows Unicode as the program was built with it. Later versions of
// Unicode may add characters, and change nothing of those there are.
func Normalization(name string) (normalize func(string) string, ok bool) {
	normalize, ok = normalizations[name]
	return normalize, ok
}

var normalizations = map[string]func(string) string{
	"lower":  lower,
	"trim":   strings.TrimSpace,
	"digits": digits,
	"email":  func(s string) string { return lower(strings.TrimSpace(s)) },
	"last4":  last4,
	"domain": domain,
}

// lower composes again at the end because a capital letter may have no
// composed form where its small one has: that of "J̌" is "ǰ".
func lower(s string) string {
	return norm.NFC.String(strings.ToLower(norm.NFC.String(s)))
}

// digits knows the value of a digit by its place: Unicode has digits in runs of
// ten, from zero to nine, and whole runs side by side.
func digits(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsDigit(r) {
			return -1
		}
		first := r
		for unicode.IsDigit(first - 1) {
			first--
		}
		return '0' + (r-first)%10
	}, s)
}

func last4(s string) string {
	start := len(s)
	for range 4 {
		_, size := utf8.DecodeLastRuneInString(s[:start])
		start -= size
	}
	return s[start:]
}

func domain(s string) string {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return ""
	}
	return lower(strings.TrimSpace(s[at+1:]))
}
