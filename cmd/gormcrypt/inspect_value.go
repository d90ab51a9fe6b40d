package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// What a value may be.
const (
	isCiphertext  = "ciphertext"
	isTerm        = "term of a blind index"
	isUnsupported = "unsupported"
	isDamaged     = "damaged"
	isNotOurs     = "not ours"
)

// inspection is what a value says of itself.
type inspection struct {
	// From is where the value was given: "argument 1", "line 7".
	From string `json:"from"`
	What string `json:"what"`
	// Problem says where it goes wrong, for what is not a whole value.
	Problem string `json:"problem,omitempty"`

	Form        string `json:"form,omitempty"`
	WrittenIn   string `json:"written_in,omitempty"`
	StoredBytes int    `json:"stored_bytes"`
	KeyVersion  string `json:"key_version,omitempty"`
	KeySet      string `json:"key_set,omitempty"`
	Algorithm   string `json:"algorithm,omitempty"`
	NonceBytes  *int   `json:"nonce_bytes,omitempty"`
	TagBytes    int    `json:"tag_bytes,omitempty"`
	// PlaintextBytes are those that are encrypted: one for the type, the value, and
	// padding if there is any.
	PlaintextBytes int `json:"plaintext_bytes,omitempty"`
	// Named says that the value has the names of what it was sealed for.
	Named  bool   `json:"named,omitempty"`
	Table  string `json:"table,omitempty"`
	Column string `json:"column,omitempty"`

	// A term does not say how many bits it has.
	MinBits int  `json:"min_bits,omitempty"`
	MaxBits int  `json:"max_bits,omitempty"`
	Slow    bool `json:"slow,omitempty"`
}

func (i inspection) good() bool { return i.What == isCiphertext || i.What == isTerm }

// nonceBytes and tagBytes are those of docs/format.md.
var nonceBytes = map[ciphertext.Algorithm]int{ciphertext.XChaCha20Poly1305: 24, ciphertext.AES256GCM: 12, ciphertext.AESSIV: 0}

const tagBytes = 16

// inspectValue says what a value says of itself.
func inspectValue(from string, given []byte) inspection {
	i := inspection{From: from}
	stored, form, err := written(given)
	i.WrittenIn, i.StoredBytes = form, len(stored)
	if err != nil {
		return i.failed(err, stored)
	}
	header, err := ciphertext.Parse(stored)
	if errors.Is(err, ciphertext.ErrNotCiphertext) && resemblesTerm(stored) {
		return i.term(string(stored))
	}
	if err != nil {
		return i.failed(err, stored)
	}
	nonce := nonceBytes[header.Algorithm]
	i.What, i.Form = isCiphertext, map[bool]string{false: "text", true: "binary"}[header.Binary]
	i.KeyVersion, i.KeySet = header.Version.String(), header.Version.Set().String()
	i.Algorithm, i.NonceBytes, i.TagBytes, i.PlaintextBytes = header.Algorithm.String(), &nonce, tagBytes, header.PlaintextLen
	i.Named, i.Table, i.Column = header.Named, header.Table, header.Column
	return i
}

// failed says what is wrong with a value.
func (i inspection) failed(err error, stored []byte) inspection {
	i.Problem = err.Error()
	switch {
	case errors.Is(err, ciphertext.ErrNotCiphertext):
		i.What, i.Problem = isNotOurs, "it begins neither as a ciphertext nor as a term of gormcrypt does: plaintext, or of another library"
	case errors.Is(err, ciphertext.ErrUnsupported):
		i.What = isUnsupported
		i.Problem += "; a later version of gormcrypt may know it"
	default:
		i.What = isDamaged
		if at, ok := wrongCharacter(stored); ok && strings.Contains(i.Problem, "base64url") {
			i.Problem += fmt.Sprintf(": see character %d", at)
		}
	}
	return i
}

// wrongCharacter returns which character of a value in text form is not one of
// base64url, counted from 1.
func wrongCharacter(stored []byte) (int, bool) {
	body := 0
	for range 2 {
		colon := bytes.IndexByte(stored[body:], ':')
		if colon < 0 {
			return 0, false
		}
		body += colon + 1
	}
	at := bytes.IndexFunc(stored[body:], func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", r)
	})
	return body + at + 1, at >= 0
}

// term says what a term says of itself.
func (i inspection) term(stored string) inspection {
	term, err := ciphertext.ParseTerm(stored)
	switch {
	case errors.Is(err, ciphertext.ErrUnsupported):
		return i.failed(err, []byte(stored))
	case err != nil:
		i.What, i.Problem = isDamaged, "it begins as a term of a blind index does, and what follows is none: it was cut, or changed"
		return i
	}
	hash := base64.RawURLEncoding.DecodedLen(len(stored) - strings.LastIndexByte(stored, ':') - 1)
	i.What, i.KeyVersion, i.KeySet, i.Slow = isTerm, term.Version.String(), term.Version.Set().String(), term.Slow
	i.MinBits, i.MaxBits = max(8*hash-7, ciphertext.MinBits), 8*hash
	return i
}

// lines are the inspection for people: names, and what is said of them.
func (i inspection) lines() [][2]string {
	all := [][2]string{{i.From, i.What}}
	add := func(name, format string, args ...any) {
		all = append(all, [2]string{name, fmt.Sprintf(format, args...)})
	}
	switch i.What {
	case isCiphertext:
		stored := fmt.Sprintf("%s, %s form, format 1", counted(int64(i.StoredBytes), "byte"), i.Form)
		if i.WrittenIn != "" {
			stored += ", written in " + i.WrittenIn
		}
		add("stored", "%s", stored)
		add("key version", "%s, of the %s keys", i.KeyVersion, i.KeySet)
		add("algorithm", "%s, %s, tag of %d bytes", i.Algorithm, i.nonce(), i.TagBytes)
		add("plaintext", "%s", i.plaintext())
		add("sealed for", "%s", i.place())
	case isTerm:
		add("key version", "%s, of the %s keys", i.KeyVersion, i.KeySet)
		add("made by", "%s", map[bool]string{false: "HMAC-SHA-256", true: "Argon2id (19 MiB, 2 passes) and HMAC-SHA-256"}[i.Slow])
		add("bits", "%d to %d: a term does not say which", i.MinBits, i.MaxBits)
		add("tells", "rows with equal values, or a class of them with bits=; it does not open")
	default:
		add("problem", "%s", i.Problem)
	}
	return all
}

func (i inspection) nonce() string {
	if *i.NonceBytes == 0 {
		return "no nonce: equal values are equal ciphertexts"
	}
	return fmt.Sprintf("random nonce of %d bytes", *i.NonceBytes)
}

// plaintext says what can be known of the plaintext: its length, and of some lengths
// what has them.
func (i inspection) plaintext() string {
	value := i.PlaintextBytes - 1
	like := map[int]string{1: ", as a bool has", 8: ", as a number has", 16: ", as a time has"}[value]
	return fmt.Sprintf("%s for value and padding%s; only the key tells type and padding", counted(int64(value), "byte"), like)
}

func (i inspection) place() string {
	switch {
	case !i.Named:
		return "not said: it opens only in its column and, with bind=, in its row"
	case i.Table == "":
		return "no column"
	}
	return strconv.Quote(i.Table) + ", column " + strconv.Quote(i.Column)
}
