package ciphertext_test

import (
	"database/sql/driver"
	"errors"
	"fmt"
)

// Types that misbehave while they are sealed, and put what they hold into
// their errors.

type failingValuer struct{ secret string }

func (v failingValuer) Value() (driver.Value, error) {
	return nil, errors.New("cannot give " + v.secret)
}

type doubleValuer struct{}

func (doubleValuer) Value() (driver.Value, error) { return doubleValuer{}, nil }

type quotingJSON struct{ secret string }

func (q quotingJSON) MarshalJSON() ([]byte, error) {
	return nil, fmt.Errorf("no JSON for %q", q.secret)
}
