package backfill

import (
	"math"
	"reflect"
	"testing"
)

// A key comes back from the ledger as the database gave it, whatever is in it.
func TestKeysInTheLedger(t *testing.T) {
	t.Parallel()
	for _, key := range []Key{
		{int64(math.MinInt64)}, {int64(0)}, {""}, {"SECRET'; --"}, {"\xff\x00 no UTF-8"}, {[]byte{}}, {[]byte{0, 0xff}},
		{1.5}, {0.1}, {math.MaxFloat64}, {math.Inf(1)}, {math.Inf(-1)}, {math.Copysign(0, -1)},
		{int64(1), "1", []byte("1"), 1.0},
	} {
		encoded, ok := encodeKey(key).(string)
		if !ok {
			t.Errorf("%v is not encoded", key)
			continue
		}
		if back, err := decodeKey(encoded, len(key)); err != nil || !reflect.DeepEqual(back, key) {
			t.Errorf("%#v is %s, and then %#v: %v", key, encoded, back, err)
		}
		if _, err := decodeKey(encoded, len(key)+1); err == nil {
			t.Errorf("%s has as many columns as somebody wants", encoded)
		}
	}
	if encodeKey(nil) != nil {
		t.Error("the beginning of a table is a key")
	}
}

// Whatever is in the ledger, it is a key or an error, and the same key when it is
// written again.
func FuzzDecodeKey(f *testing.F) {
	for _, seed := range []string{`[{"i":1}]`, `[{"t":"a"},{"b":"AP8="}]`, `[{"f":"-Inf"}]`, `[{"o":"/w=="}]`, `[{}]`, `[`, `null`, `[{"i":1,"t":"x"}]`, `[{"f":"NaN"}]`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, encoded string) {
		key, err := decodeKey(encoded, 0)
		if err != nil {
			return
		}
		again, _ := encodeKey(key).(string)
		back, err := decodeKey(again, len(key))
		if err != nil || back.String() != key.String() || encodeKey(back) != any(again) {
			t.Errorf("%q is %v, and then %q, %v: %v", encoded, key, again, back, err)
		}
	})
}
