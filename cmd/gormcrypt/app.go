package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/manifest"
)

// app is what the commands share: the settings, and what they open by them, which is
// closed when the command ends.
type app struct {
	in       io.Reader
	out      *terminal.Output
	errOut   *terminal.Output
	lookup   func(string) (string, bool)
	settings *settings.Settings
	// json says that the command was asked for JSON, and yes that it need not ask.
	json    bool
	yes     bool
	closers []func() error
}

func newApp(in io.Reader, out, errOut *os.File, lookup func(string) (string, bool)) *app {
	return &app{in: in, out: terminal.New(out, lookup), errOut: terminal.New(errOut, lookup), lookup: lookup}
}

// execute runs the command that the arguments name.
func (a *app) execute(ctx context.Context, args []string) (err error) {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.errOut)
	defer func() {
		for len(a.closers) > 0 {
			last := len(a.closers) - 1
			err = errors.Join(err, a.closers[last]())
			a.closers = a.closers[:last]
		}
	}()
	return root.ExecuteContext(ctx)
}

// openDatabase opens the database of the settings.
func (a *app) openDatabase(ctx context.Context, access database.Access) (*gorm.DB, error) {
	if a.settings.Database == "" {
		return nil, a.settings.Missing("database")
	}
	db, closeDatabase, err := database.Open(ctx, a.settings.Database, access)
	if err != nil {
		return nil, fmt.Errorf("the database, from %s: %w", a.settings.Origin("database"), err)
	}
	a.closers = append(a.closers, closeDatabase)
	return db, nil
}

// openKeys finds the keyring of the settings.
func (a *app) openKeys(ctx context.Context) (*keysource.Keys, error) {
	keys, err := keysource.Open(ctx, a.settings)
	if err != nil {
		return nil, fmt.Errorf("the keyring: %w", err)
	}
	a.closers = append(a.closers, keys.Close)
	return keys, nil
}

// loadKeys finds the keyring of the settings, by openKeys or openKeysReadOnly, and loads
// it.
func (a *app) loadKeys(ctx context.Context, open func(context.Context) (*keysource.Keys, error)) (*keysource.Keys, *keyring.Keyring, error) {
	keys, err := open(ctx)
	if err != nil {
		return nil, nil, err
	}
	ring, err := keys.Load(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("the keyring: %w", err)
	}
	return keys, ring, nil
}

// openKeysReadOnly is openKeys for what changes nothing.
func (a *app) openKeysReadOnly(ctx context.Context) (*keysource.Keys, error) {
	keys, err := keysource.OpenReadOnly(ctx, a.settings)
	if err != nil {
		return nil, fmt.Errorf("the keyring: %w", err)
	}
	a.closers = append(a.closers, keys.Close)
	return keys, nil
}

// readManifest reads the manifest of the settings.
func (a *app) readManifest() (*manifest.Manifest, error) {
	path := a.settings.Manifest
	if path == "" {
		return nil, a.settings.Missing("manifest")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: the manifest, from %s: %w; the application writes it by gormcrypt.Manifest", settings.ErrInvalid, a.settings.Origin("manifest"), err)
	}
	defer file.Close()
	m, err := manifest.Read(file)
	if err != nil {
		return nil, fmt.Errorf("%w: the manifest %s: %w", settings.ErrInvalid, path, err)
	}
	return &m, nil
}

// algorithm returns what new values are sealed with.
func (a *app) algorithm() (ciphertext.Algorithm, error) {
	switch strings.ToLower(a.settings.Algorithm) {
	case "":
		return 0, nil
	case "xchacha20-poly1305":
		return ciphertext.XChaCha20Poly1305, nil
	case "aes-256-gcm":
		return ciphertext.AES256GCM, nil
	}
	return 0, fmt.Errorf("%w: algorithm is %q, from %s; there are xchacha20-poly1305 and aes-256-gcm", settings.ErrInvalid, a.settings.Algorithm, a.settings.Origin("algorithm"))
}

// offerJSON gives a command the flag --json.
func (a *app) offerJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON, for programs")
}

// printJSON prints a value as indented JSON, without characters that could drive a
// terminal.
func (a *app) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	return a.printText(text, err)
}

// event prints a value as JSON in a line.
func (a *app) event(v any) error {
	text, err := json.Marshal(v)
	return a.printText(text, err)
}

func (a *app) printText(json []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s\n", terminal.EscapeJSON(json))
	return err
}
