package dbkeys

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/rotation"
)

// Retire gives a version up: when it returns nil, no process seals under it, no row of
// the database with the data has a value under it, and the database takes none any
// more. Processes drop the key when Config.Grace is over. Its wrapped form stays in the
// table, for backups and for [Store.Restore].
//
// It goes through rotation.Retire, which says what data and config are, what is
// counted, and what it leaves in the database. With keys that serve several databases,
// call rotation.Retire for each of the others before. Config.Keys may be left out also
// without the plugin: it is this Store then.
//
// From when Retire was called first, the version is retiring, and cannot be promoted
// again. Call it again after an error. It returns ErrState for a primary version;
// ErrBehind, with a *BehindError, while a process may seal under the version;
// rotation.ErrInUse, and in the Retirement what uses it; keyring.ErrUnknownVersion;
// and those of the KEK, ctx and the databases. For a version that is retired already
// it does nothing.
func (s *Store) Retire(ctx context.Context, data *gorm.DB, config rotation.RetireConfig, version keyring.Version) (rotation.Retirement, error) {
	done := rotation.Retirement{Version: version}
	over, err := s.beginRetiring(ctx, version)
	if err != nil || over {
		return done, err
	}
	if config.Manifest != nil && config.Keys == nil {
		now, err := s.current(ctx)
		if err != nil {
			return done, err
		}
		config.Keys = now.ring
	}
	if done, err = rotation.Retire(ctx, data, config, version); err != nil {
		return done, err
	}
	return done, s.change(ctx, func(before *snapshot) (change, error) {
		r, err := before.find(version)
		switch {
		case err != nil || r.state == Retired:
			return change{}, err
		case r.state != Retiring:
			return change{}, fmt.Errorf("gormcrypt: key %s: %w: it became %s meanwhile", version, ErrState, r.state)
		}
		to := change{known: []row{r}}
		r.state = Retired
		to.set = []row{r}
		return to, nil
	})
}

// beginRetiring makes sure that no process seals under a version, nor will. Over is
// true if the version is retired.
func (s *Store) beginRetiring(ctx context.Context, version keyring.Version) (over bool, err error) {
	err = s.change(ctx, func(before *snapshot) (change, error) {
		r, err := before.find(version)
		if err != nil {
			return change{}, err
		}
		over = r.state == Retired
		switch r.state {
		case Primary:
			return change{}, fmt.Errorf("gormcrypt: key %s: %w: it is primary; promote another before", version, ErrState)
		case Enabled:
			to := change{known: []row{r}, quiet: true}
			r.state = Retiring
			to.set = []row{r}
			return to, nil
		}
		return change{}, nil
	})
	return over, err
}

// current returns what the database has now, without making this process known.
func (s *Store) current(ctx context.Context) (*snapshot, error) {
	unlock, err := s.reading.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	return s.read(ctx)
}

// Restore has processes open values under a retired version again, such as those from
// a backup. It stays retiring, and seals nothing; the database goes on refusing new
// values under it. It returns ErrState for a version that is not retired or was
// imported without its key, keyring.ErrUnknownVersion, and the errors of the KEK, ctx
// and the database.
func (s *Store) Restore(ctx context.Context, version keyring.Version) error {
	return s.change(ctx, func(before *snapshot) (change, error) {
		r, err := before.find(version)
		switch {
		case err != nil || r.state == Retiring: // which it may be since a call whose answer was lost
			return change{}, err
		case r.state != Retired:
			return change{}, fmt.Errorf("gormcrypt: key %s: %w: it is %s, and opens values already", version, ErrState, r.state)
		case r.wrapped == "":
			return change{}, fmt.Errorf("gormcrypt: key %s: %w: it was retired before it was imported, so its key was never here", version, ErrState)
		}
		var to change
		if _, ok := before.keys[version]; !ok { // unless it lingers
			key, err := s.unwrapped(ctx, r, keyring.Enabled)
			if err != nil {
				return to, err
			}
			if err := s.authenticateRetired(before, key, r); err != nil {
				return to, err
			}
			to.keys = []keyring.Key{key}
		}
		r.state = Retiring
		to.set = []row{r}
		return to, nil
	})
}
