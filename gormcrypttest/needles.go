package gormcrypttest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// minSecret is the length of the shortest secret, in bytes. Shorter ones turn
// up in ciphertext by chance: one of four letters once in 16 million bytes of
// base64.
const minSecret = 6

// secret is a text that must not be found.
type secret struct {
	text   string
	number int // in the order in which they were registered, from 1
}

// needle is one way to write a secret.
type needle struct {
	secret secret
	form   string // such as "in hex"
	text   string
}

// needles finds many secrets in one pass, however many there are.
type needles struct {
	secrets map[string]bool
	// byStart has the needles by their first minSecret bytes.
	byStart map[uint64][]needle
	// starts says which byStart may have, to look there only seldom.
	starts  [1 << 16]bool
	longest int
}

// add refuses secrets that are too short, and ignores those that it has.
func (n *needles) add(texts ...string) error {
	if n.secrets == nil {
		n.secrets, n.byStart = map[string]bool{}, map[uint64][]needle{}
	}
	for _, text := range texts {
		if len(text) < minSecret {
			return fmt.Errorf("a secret of %d bytes would be found by chance; choose one of %d or more", len(text), minSecret)
		}
		if n.secrets[text] {
			continue
		}
		n.secrets[text] = true
		for _, needle := range forms(secret{text, len(n.secrets)}) {
			var start uint64
			for i := range minSecret {
				start = start<<8 | uint64(needle.text[i])
			}
			n.starts[fold(start)] = true
			n.byStart[start] = append(n.byStart[start], needle)
			n.longest = max(n.longest, len(needle.text))
		}
	}
	return nil
}

// startMask keeps the last minSecret bytes.
const startMask = 1<<(8*minSecret) - 1

// fold makes an index into needles.starts.
func fold(start uint64) uint16 { return uint16(start * 0x9e3779b97f4a7c15 >> 48) }

// find calls found for every needle in text, with its offset.
func (n *needles) find(text []byte, found func(at int, needle needle)) {
	if len(n.byStart) == 0 {
		return
	}
	var window uint64
	for i, b := range text {
		window = (window<<8 | uint64(b)) & startMask
		if i < minSecret-1 || !n.starts[fold(window)] {
			continue
		}
		at := i - (minSecret - 1)
		for _, needle := range n.byStart[window] {
			if len(needle.text) <= len(text)-at && string(text[at:at+len(needle.text)]) == needle.text {
				found(at, needle)
			}
		}
	}
}

// mask returns text with every secret in it replaced.
func (n *needles) mask(text string) string {
	var masked strings.Builder
	end := 0 // of what is masked or written
	n.find([]byte(text), func(at int, needle needle) {
		if at >= end {
			masked.WriteString(text[end:at])
			fmt.Fprintf(&masked, "[secret %d]", needle.secret.number)
		}
		end = max(end, at+len(needle.text))
	})
	return masked.String() + text[end:]
}

// forms returns the ways to write a secret.
func forms(s secret) []needle {
	raw := []byte(s.text)
	var all []needle
	add := func(form, text string) {
		if !slices.ContainsFunc(all, func(n needle) bool { return n.text == text }) {
			all = append(all, needle{s, form, text})
		}
	}
	add("as it is", s.text)
	add("in hex", hex.EncodeToString(raw))
	add("in hex", strings.ToUpper(hex.EncodeToString(raw)))
	for before := range 3 {
		add("in base64", innerBase64(base64.RawStdEncoding, before, raw))
		add("in base64", innerBase64(base64.RawURLEncoding, before, raw))
	}
	numbers := make([]string, len(raw))
	for i, b := range raw {
		numbers[i] = strconv.Itoa(int(b))
	}
	for _, separator := range []string{" ", ",", ", "} {
		add("as a list of bytes", strings.Join(numbers, separator))
	}
	if utf8.Valid(raw) { // JSON has no way to write it otherwise
		add("as JSON", quotedJSON(s.text, true))
		add("as JSON", quotedJSON(s.text, false))
	}
	add("in SQL quotes", strings.ReplaceAll(s.text, "'", "''"))
	return all
}

// innerBase64 returns those characters that encode nothing but the secret, if
// so many bytes stand before it.
func innerBase64(encoding *base64.Encoding, before int, secret []byte) string {
	encoded := encoding.EncodeToString(append(make([]byte, before), secret...))
	return encoded[(before*8+5)/6 : (before+len(secret))*8/6]
}

// quotedJSON returns what stands between the quotes of a JSON string.
func quotedJSON(s string, escapeHTML bool) string {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(escapeHTML)
	_ = encoder.Encode(s) // a string always encodes
	return strings.Trim(b.String(), "\n")[1 : b.Len()-2]
}
