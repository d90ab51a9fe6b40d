package gormcrypt

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm/logger"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// SetKeys loads a keyring and uses it from now on. Statements that are under
// way finish under the one before. It returns the error of the source, and one
// that wraps keyring.ErrKeyLost if the keyring lacks a key version of the one
// in use, or has another key under it; then nothing has changed.
//
// If Config.Keys is watched, it decides: its next change takes the place of what
// SetKeys has set.
func (p *Plugin) SetKeys(ctx context.Context, source keyring.Source) error {
	switch {
	case p.cipher == nil:
		return errors.New("gormcrypt: the plugin is not registered yet; call db.Use first")
	case source == nil:
		return errors.New("gormcrypt: the key source is nil")
	}
	keys, err := source.Load(ctx)
	if err != nil {
		return fmt.Errorf("gormcrypt: loading the keyring: %w", err)
	}
	return p.replaceKeys(keys)
}

// replaceKeys uses a keyring from now on, if it is one that may follow the one in
// use.
func (p *Plugin) replaceKeys(keys *keyring.Keyring) error {
	if keys == nil {
		return errors.New("gormcrypt: the key source gave no keyring; mend the source")
	}
	p.replacing.Lock()
	defer p.replacing.Unlock()
	if err := keys.Keeps(p.cipher.Keys()); err != nil {
		return fmt.Errorf("gormcrypt: not the successor of the keyring in use: %w", err)
	}
	return p.cipher.SetKeys(keys)
}

// watchKeys starts to use the keyrings of a source as they come. The watch outlives
// the context of db.Use.
func (p *Plugin) watchKeys(watcher keyring.Watcher, log logger.Interface) {
	ctx, stop := context.WithCancel(context.Background())
	p.stopWatch = stop
	p.watch.Go(func() {
		err := watcher.Watch(ctx, func(keys *keyring.Keyring) error {
			err := p.replaceKeys(keys)
			if err != nil {
				log.Error(ctx, "%v; the one in use stays in use", err)
			}
			return err
		})
		if ctx.Err() == nil {
			log.Error(ctx, "gormcrypt: the key source is not watched any more: %v; loaded keys go on working, but new ones are not seen before the program starts again", err)
		}
	})
}

// Close stops the watch of Config.Keys, if it is watched, and returns when it has
// ended. The plugin goes on working with the keys in use, which do not expire any
// more. It does not close Config.Keys, or the database. Close may be called more
// than once, and returns nil.
func (p *Plugin) Close() error {
	if p.stopWatch != nil {
		p.stopWatch()
	}
	p.watch.Wait()
	return nil
}
