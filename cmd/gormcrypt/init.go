package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
)

const initLong = `Makes what the other commands need: a settings file with comments, a first keyring, and
gormcrypt's own tables in the database, for which the role needs the right to create
tables. What is there already is kept, so it can be run again.

Flags and variables say what is written into the settings file. The keyring is the file
keys.json beside it unless --keys says otherwise, and the manifest manifest.json:

  --keys file:PATH       a file that holds the keys as they are, for you only
  --keys wrapped:PATH    a file whose keys are wrapped; see --wrapped-by
  --keys database        in the database, wrapped; every process loads them
  --keys env:NAME, secret:NAME, credential:NAME, vault:PATH
                         places that gormcrypt cannot write: see keys generate`

func (a *app) initCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use: "init", Short: "Write a settings file and a first keyring, and create our tables", Long: initLong,
		Example: "  gormcrypt init --database sqlite:app.db --manifest manifest.json\n" +
			"  gormcrypt init --keys database --wrapped-by passphrase-file:pass",
		Args: args(cobra.NoArgs),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) (err error) { // the file that --config names is made
			path, _ = settings.Path(cmd.Flags(), a.lookup)
			a.settings, err = settings.ReadToInit(cmd.Flags(), a.lookup)
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return a.initialize(cmd.Context(), path) },
	}
	a.offerYes(cmd)
	return cmd
}

// step is a thing that init makes.
type step struct {
	// what is made, as "the settings file x", and kept says so of what is there.
	what string
	kept bool
	// keyring says that it is a keyring.
	keyring bool
	make    func(ctx context.Context) error
}

func (a *app) initialize(ctx context.Context, path string) error {
	if err := keysource.CheckForms(a.settings); err != nil {
		return err
	}
	if a.settings.File == "" {
		a.setDefaults(filepath.Dir(path))
	}
	steps, todo, err := a.initSteps(ctx, path)
	if err != nil {
		return err
	}
	if err := a.checkNewKeyring(ctx, steps); err != nil {
		return err
	}
	var missing []string
	for _, s := range steps {
		if s.kept {
			fmt.Fprintf(a.out, "kept  %s\n", s.what)
			continue
		}
		missing = append(missing, s.what)
	}
	if len(missing) > 0 {
		fmt.Fprintf(a.errOut, "To be made:\n  %s\n", strings.Join(missing, "\n  "))
		if err := a.confirm(ctx, "make them"); err != nil {
			return err
		}
	}
	for _, s := range steps {
		if s.kept {
			continue
		}
		if err := s.make(ctx); err != nil {
			return fmt.Errorf("%s: %w; missing now: %s; run gormcrypt init again", s.what, err, strings.Join(missing, ", "))
		}
		missing = missing[1:]
		fmt.Fprintf(a.out, "made  %s\n", s.what)
	}
	a.printNext(todo)
	return nil
}

// setDefaults gives a new settings file what it needs to begin with.
func (a *app) setDefaults(dir string) {
	if a.settings.KeysFrom == "" {
		a.settings.Default("keys.from", "file:"+filepath.Join(dir, "keys.json"))
	}
	if a.settings.Manifest == "" {
		a.settings.Default("manifest", filepath.Join(dir, "manifest.json"))
	}
}

// initSteps finds out what is there, and changes nothing. Todo is what init does not
// make.
func (a *app) initSteps(ctx context.Context, path string) (steps []step, todo []string, err error) {
	steps = append(steps, a.settingsStep(path))
	tables, hasTables, err := a.tablesStep(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !hasTables {
		todo = append(todo, "Give the database in "+path+",\nand run gormcrypt init again: it makes the tables.")
	}
	if keysource.InDatabase(a.settings) {
		if !hasTables && a.settings.KeysDatabase == "" {
			return nil, nil, a.settings.Missing("database")
		}
		keys, err := a.storedKeysStep(ctx)
		if err != nil {
			return nil, nil, err
		}
		if hasTables {
			steps = append(steps, tables)
		}
		return append(steps, keys), todo, nil
	}
	keys, err := a.keysStep(ctx)
	switch {
	case errors.Is(err, keysource.ErrReadOnly):
		todo = append(todo, fmt.Sprintf("Make a keyring where %s is,\nwhich gormcrypt cannot write:\n  gormcrypt keys generate --cleartext", a.settings.KeysFrom))
	case err != nil:
		return nil, nil, err
	default:
		steps = append(steps, keys)
	}
	if hasTables {
		steps = append(steps, tables)
	}
	return steps, todo, nil
}

const manifestAdvice = `Have the application write its manifest, after db.Use, to %s:
  m, err := gormcrypt.Manifest(db)
  err = m.Write(file)`

// printNext says what to do next.
func (a *app) printNext(todo []string) {
	if _, err := os.Stat(a.settings.Manifest); err != nil {
		todo = append(todo, fmt.Sprintf(manifestAdvice, cmp.Or(a.settings.Manifest, "a file")))
	}
	if a.settings.Manifest == "" {
		todo = append(todo, "Give the path of the manifest in the settings file, or by --manifest.")
	}
	switch scheme, path, _ := strings.Cut(a.settings.KeysFrom, ":"); scheme {
	case "file", "wrapped":
		todo = append(todo, "Keep a copy of "+path+" in a safe place:\nwhat its keys have sealed is lost with them.")
	case "database":
		todo = append(todo, "Keep a copy of what wraps the keys in a safe place:\nwhat they have sealed is lost without it.")
	}
	if len(todo) == 0 {
		return
	}
	fmt.Fprintln(a.out, "\nNext:")
	for i, text := range todo {
		fmt.Fprintf(a.out, "%d. %s\n", i+1, strings.ReplaceAll(text, "\n", "\n   "))
	}
}
