package conformance

import (
	"errors"

	"gorm.io/gorm"
)

// What the rows use of gormcrypt that is not there yet. It goes when it is.

// pendingErrRawSQL is gormcrypt.ErrRawSQL.
var pendingErrRawSQL = errors.New("gormcrypt.ErrRawSQL is not there yet")

// pendingSeal is gormcrypt.Seal.
func pendingSeal(db *gorm.DB, model any, field string, value any) (any, error) {
	return nil, errors.New("gormcrypt.Seal is not there yet")
}
