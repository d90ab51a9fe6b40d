package ciphertext_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/gormcrypt/gormcrypt/ciphertext"
)

// normalizations has, for each, what it makes of some texts.
var normalizations = map[string]map[string]string{
	"lower": {
		"": "", "Ada": "ada", "ada": "ada", " A ": " a ",
		"ÄÖÜ": "äöü", "A\u0308": "ä", "\u212b": "å", "J\u030c": "\u01f0", "İ": "i", "Straße": "straße", "STRASSE": "strasse",
		"ΟΔΟΣ": "οδοσ", "οδος": "οδος", "ﬁ": "ﬁ", "A\xff": "a\ufffd",
	},
	"trim": {
		"": "", " \t\r\n ": "", " a b ": "a b", "\u00a0a\u3000": "a", "\u200ba": "\u200ba",
	},
	"digits": {
		"": "", "none": "", "+44 (0)20 7946-0018": "4402079460018", "٠١٢٣٤٥٦٧٨٩": "0123456789", "۴۲": "42", "４２": "42", "𝟗𝟘𝟡": "909",
		"²½Ⅷ": "", "1\xff2": "12",
	},
	"email": {
		"": "", " Ada.Lovelace+Tag@Example.ORG\n": "ada.lovelace+tag@example.org", "ada@BÜCHER.example": "ada@bücher.example",
		"ada@xn--bcher-kva.example": "ada@xn--bcher-kva.example", "not an address": "not an address",
	},
	"last4": {
		"": "", "4": "4", "424": "424", "4242": "4242", "4000 0012 3456 7899": "7899", "äöüß€": "öüß€", "ab\xffcd": "b\xffcd",
	},
	"domain": {
		"": "", "none": "", "ada@Example.ORG": "example.org", "\"a@b\"@EXAMPLE.org ": "example.org", "ada@": "", "@Example.org": "example.org",
		"ada@ BÜCHER.example": "bücher.example",
	},
}

func normalization(t testing.TB, name string) func(string) string {
	t.Helper()
	normalize, ok := ciphertext.Normalization(name)
	if !ok {
		t.Fatalf("there is no normalization %q", name)
	}
	return normalize
}

func TestNormalization(t *testing.T) {
	t.Parallel()
	for name, cases := range normalizations {
		normalize := normalization(t, name)
		for text, want := range cases {
			if got := normalize(text); got != want {
				t.Errorf("%s of %+q is %+q, want %+q", name, text, got, want)
			}
		}
	}
	for _, name := range []string{"", "Lower", "lower ", "soundex"} {
		if normalize, ok := ciphertext.Normalization(name); ok || normalize != nil {
			t.Errorf("there is a normalization %q", name)
		}
	}
}

// Every decimal digit that Unicode has is one of ten, and nothing else is any.
func TestDigitsOfEveryScript(t *testing.T) {
	t.Parallel()
	normalize := normalization(t, "digits")
	counts := map[string]int{}
	var others strings.Builder
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.IsDigit(r) {
			others.WriteRune(r)
			continue
		}
		got := normalize(string(r))
		if len(got) != 1 || got < "0" || got > "9" {
			t.Errorf("%U gives %q", r, got)
		}
		counts[got]++
	}
	if got := normalize(others.String()); got != "" {
		t.Errorf("%d characters that are no digits are kept", len(got))
	}
	if len(counts) != 10 {
		t.Errorf("there are %d digits", len(counts))
	}
	for _, got := range slices.Sorted(maps.Keys(counts)) {
		if counts[got] != counts["0"] {
			t.Errorf("%d characters are %s, and %d are 0", counts[got], got, counts["0"])
		}
	}
}

// FuzzNormalization: whatever the text, a normalization gives the same result
// each time, and changes nothing of what it has made.
func FuzzNormalization(f *testing.F) {
	for _, cases := range normalizations {
		for text := range cases {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name := range normalizations {
			normalize := normalization(t, name)
			once := normalize(text)
			if normalize(strings.Clone(text)) != once {
				t.Fatalf("%s of %+q gives two results", name, text)
			}
			if twice := normalize(once); twice != once && name != "domain" {
				t.Fatalf("%s of %+q is %+q, and of that %+q", name, text, once, twice)
			}
		}
		if domain, email := normalization(t, "domain")(text), normalization(t, "email")(text); !strings.HasSuffix(email, domain) {
			t.Fatalf("the domain of %+q is %+q, and the address %+q", text, domain, email)
		}
	})
}
