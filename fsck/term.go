package fsck

import (
	"errors"
	"slices"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/internal/backfill"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/keyring"
)

// term checks the term of an index.
func (r *rowChecker) term(i int, index *rowcodec.Terms, row backfill.Row) error {
	stored := row.Sources[index.Source]
	var null, failed, plain bool
	values := make([]any, 0, 4)
	for _, of := range index.Of {
		null = null || r.outcomes[of] == isNull
		plain = plain || r.outcomes[of] == isExpected
		failed = failed || r.values[of] == nil
		values = append(values, r.values[of])
	}
	wrong := func(kind Kind, version, reason string) {
		r.isWrong(problem{column: i, kind: kind, version: version, reason: reason})
	}
	switch {
	case stored == nil && (null || failed):
		r.is(isNull, nil)
		return nil
	case stored == nil && index.Migrating:
		r.is(isExpected, nil)
		return nil
	case stored == nil:
		wrong(NoTerm, "", "there is no term, and the values that it is of are not NULL")
		return nil
	}
	text := string(bytesOf(stored))
	term, err := ciphertext.ParseTerm(text)
	if err != nil {
		wrong(Foreign, "", err.Error())
		return nil
	}
	version := term.Version.String()
	switch _, err := r.keys.cipher.Keys().CheckValue(term.Version); {
	case null:
		wrong(TermWithoutValue, version, "there is a term, and a value that it is of is NULL")
	case errors.Is(err, keyring.ErrUnknownVersion):
		wrong(UnknownKey, version, keyring.ErrUnknownVersion.Error())
	case errors.Is(err, keyring.ErrRetired):
		wrong(RetiredKey, version, keyring.ErrRetired.Error())
	case err != nil:
		return err
	case plain: // which older programs write without a term
		r.is(isExpected, nil)
	case term.Slow != index.Slow:
		wrong(WrongTerm, version, "one of the term and its index is slow, and the other is not")
	case failed, index.Slow && !r.config.SlowTerms:
		r.is(isUnchecked, nil)
	default:
		same, err := agrees(index.Index, text, values)
		if err != nil {
			return err
		}
		if same {
			r.is(isSound, nil)
		} else {
			wrong(WrongTerm, version, "the term is not the one of its values")
		}
	}
	return nil
}

// agrees reports whether a term is that of some values, under any key that is live.
func agrees(index *ciphertext.Index, text string, values []any) (bool, error) {
	made, err := index.Term(values...)
	if err != nil || made == text {
		return err == nil, err
	}
	all, err := index.Terms(values...)
	return slices.Contains(all, text), err
}
