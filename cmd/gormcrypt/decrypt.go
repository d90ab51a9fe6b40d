package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/ciphertext"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/internal/rowcodec"
	"github.com/gormcrypt/gormcrypt/manifest"
)

const decryptLong = `Decrypt opens one value: of a table, of the row with the primary key KEY, as
quarantine and fsck print it (several columns with commas between, in the
order of the manifest), in a column.

Without --reveal it only says whether the value opens, under which key
version, its type and its length. With --reveal it prints the value on
standard output, and needs --reason. Before anything is shown, a line goes to
the audit log: time, user, host, database, row, column, key version, outcome
and reason. The log is audit_log of the settings, or gormcrypt-audit.log
beside the settings file. If it cannot be written, nothing is shown.

In a terminal, characters that could drive it are shown as \x1b, and a line
break follows. Elsewhere the bytes of the value come as they are, and nothing
else: text and bytes as they are, JSON as JSON, times as RFC 3339.

It changes nothing, and needs SELECT on the table, and on gormcrypt_schema and
gormcrypt_keys for keys in the database; a replica is enough. Exit codes: 1 if
there is no such row, the value is NULL, or plaintext in a column that is
migrating, or its key is not in the keyring; 2 for a table or column that is
not in the manifest; 3 if the value is damaged, or plaintext; 4 if the log
cannot be written.`

// decryption is a value that somebody asks for.
type decryption struct {
	table, key, column string
	reveal             bool
	reason             string
}

func (a *app) decryptCommand() *cobra.Command {
	var d decryption
	cmd := &cobra.Command{
		Use: "decrypt TABLE KEY COLUMN", Short: "One value, by table, key and column; logged", Long: decryptLong,
		Example: `  gormcrypt decrypt customers 4711 email
  gormcrypt decrypt orders "eu, 7" address --reveal --reason "ticket 1234"`,
		Args:              args(cobra.ExactArgs(3)),
		ValidArgsFunction: a.completeDecrypt,
		RunE: func(cmd *cobra.Command, given []string) error {
			d.table, d.key, d.column = given[0], given[1], given[2]
			return a.decrypt(cmd.Context(), d)
		},
	}
	cmd.Flags().BoolVar(&d.reveal, "reveal", false, "print the value")
	cmd.Flags().StringVar(&d.reason, "reason", "", "why, for the audit log; needed with --reveal")
	a.offerJSON(cmd)
	return cmd
}

func (a *app) decrypt(ctx context.Context, d decryption) (err error) {
	if !d.reveal {
		value, err := a.openValue(ctx, d, new(string))
		if err != nil {
			return err
		}
		return a.describeValue(d, value)
	}
	if strings.TrimSpace(d.reason) == "" {
		return fmt.Errorf("%w: --reveal needs --reason, which goes to the audit log; give the ticket, say", errUsage)
	}
	log, err := openAuditLog(a.settings)
	if err != nil {
		return err
	}
	defer log.file.Close()
	entry := newDisclosure(a.settings, a.lookup)
	entry.Table, entry.Key, entry.Column, entry.Reason = d.table, d.key, d.column, d.reason
	value, err := a.openValue(ctx, d, &entry.KeyVersion)
	entry.Outcome = outcome(err)
	if logErr := log.add(entry); logErr != nil || err != nil {
		return errors.Join(logErr, err)
	}
	if err := a.errOut.Say("%s reveals %s.%s of row %s to %s; logged in %s", entry.Database, d.table, d.column, strconv.Quote(d.key), entry.User, log.file.Name()); err != nil {
		return err
	}
	return a.revealValue(d, value)
}

// outcome says for the audit log how it ended.
func outcome(err error) string {
	for _, one := range []struct {
		err  error
		text string
	}{
		{nil, "revealed"}, {errNoRow, "no such row"}, {rowcodec.ErrNull, "NULL"}, {rowcodec.ErrPlaintext, "plaintext"},
		{errDamage, "damaged"}, {errUsage, "no such value"},
	} {
		if errors.Is(err, one.err) {
			return one.text
		}
	}
	return "failed"
}

// openValue finds a value and opens it. version is set as soon as it is known.
func (a *app) openValue(ctx context.Context, d decryption, version *string) (*opened, error) {
	m, err := a.readManifest()
	if err != nil {
		return nil, err
	}
	table, column, err := describedColumn(m, d.table, d.column)
	if err != nil {
		return nil, err
	}
	db, err := a.openDatabase(ctx, database.ReadOnly)
	if err != nil {
		return nil, err
	}
	_, ring, err := a.loadKeys(ctx, a.openKeysReadOnly)
	if err != nil {
		return nil, err
	}
	cipher, err := ciphertext.New(ring, ciphertext.Config{})
	if err != nil {
		return nil, err
	}
	reader, err := rowcodec.NewSingle(cipher, table, column)
	if err != nil {
		return nil, err
	}
	row, err := findRow(ctx, db, reader.Table, d.key)
	if err != nil {
		return nil, err
	}
	value, err := openStored(reader, row, version)
	if err != nil {
		return nil, fmt.Errorf("%s.%s of row %s: %w", table.Name, column.Name, strconv.Quote(d.key), err)
	}
	return value, nil
}

// describedColumn returns what the manifest says of a column.
func describedColumn(m *manifest.Manifest, tableName, name string) (manifest.Table, manifest.Column, error) {
	var names []string
	for _, table := range m.Tables {
		if names = append(names, table.Name); table.Name != tableName {
			continue
		}
		var columns []string
		for _, column := range table.Columns {
			if columns = append(columns, column.Name); column.Name == name || column.Beside != "" && column.Beside == name {
				return table, column, nil
			}
		}
		if at := slices.IndexFunc(table.Indexes, func(x manifest.Index) bool { return x.Name == name }); at >= 0 {
			return table, manifest.Column{}, fmt.Errorf("%w: %s.%s is a blind index: its terms are hashes, and there is nothing to decrypt; it is of %s", errUsage, tableName, name, strings.Join(table.Indexes[at].Of, ", "))
		}
		return table, manifest.Column{}, fmt.Errorf("%w: the manifest has no column %s in %s; it has %s", errUsage, strconv.Quote(name), tableName, strings.Join(columns, ", "))
	}
	return manifest.Table{}, manifest.Column{}, fmt.Errorf("%w: the manifest has no table %s; it has %s", errUsage, strconv.Quote(tableName), strings.Join(names, ", "))
}
