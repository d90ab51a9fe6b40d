package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/keysource"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
	"github.com/gormcrypt/gormcrypt/keyring"
)

const keysListLong = `Lists the key versions: their states, the check values that tell two keys apart, what
wraps them, and when they were made, where that is known. For keys in the database it
also lists the processes that use them, by what they said last: what they seal under,
and whether they have loaded the latest keys.

It prints no key. Of keys in the database it loads none, so it needs no passphrase and
no key server there. It changes nothing.`

func (a *app) keysListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List key versions, and the processes that have them", Long: keysListLong,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.listKeys(cmd.Context())
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(list)
			}
			return a.printKeys(list)
		},
	}
	a.offerJSON(cmd)
	return cmd
}

// keyList is a keyring as it is listed.
type keyList struct {
	Where string      `json:"where"`
	Keys  []keyRecord `json:"keys"`
	// Processes is nil for a keyring whose processes are not known.
	Processes []processRecord `json:"processes"`
}

type keyRecord struct {
	Version    keyring.Version `json:"version"`
	Set        string          `json:"set"`
	State      string          `json:"state"`
	CheckValue string          `json:"check_value,omitempty"`
	KEK        string          `json:"kek,omitempty"`
	CreatedAt  *time.Time      `json:"created_at,omitempty"`
	RetiredAt  *time.Time      `json:"retired_at,omitempty"`
}

type processRecord struct {
	Name      string            `json:"name"`
	Writes    []keyring.Version `json:"writes"`
	Behind    bool              `json:"behind"`
	StartedAt time.Time         `json:"started_at"`
	SeenAt    time.Time         `json:"seen_at"`
	ExpiresAt time.Time         `json:"expires_at"`
	// SeenSeconds is how long it was not heard of, by the clock of the database.
	SeenSeconds float64 `json:"seen_seconds_ago"`
}

func (a *app) listKeys(ctx context.Context) (keyList, error) {
	if keysource.InDatabase(a.settings) {
		return a.listStore(ctx)
	}
	keys, err := a.openKeys(ctx)
	if err != nil {
		return keyList{}, err
	}
	ring, err := keys.Load(ctx)
	if err != nil {
		return keyList{}, err
	}
	list := keyList{Where: keys.Where}
	for _, version := range ring.Versions() {
		state, err := ring.State(version)
		if err != nil {
			return list, err
		}
		record := keyRecord{Version: version, Set: version.Set().String(), State: state.String()}
		if state != keyring.Retired {
			if record.CheckValue, err = ring.CheckValue(version); err != nil {
				return list, err
			}
			if keys.KEK != nil {
				record.KEK = keys.KEK.Name()
			}
		}
		list.Keys = append(list.Keys, record)
	}
	return list, nil
}

func (a *app) listStore(ctx context.Context) (keyList, error) {
	keys, err := keysource.OpenRecords(ctx, a.settings)
	if err != nil {
		return keyList{}, fmt.Errorf("the keyring: %w", err)
	}
	a.closers = append(a.closers, keys.Close)
	records, err := keys.Store.List(ctx)
	if err == nil && len(records) == 0 {
		err = fmt.Errorf("%s: %w; make one with gormcrypt init", keys.Where, keyring.ErrNotFound)
	}
	if err != nil {
		return keyList{}, err
	}
	list := keyList{Where: keys.Where}
	for _, r := range records {
		record := keyRecord{Version: r.Version, Set: r.Version.Set().String(), State: string(r.State), CheckValue: r.CheckValue, KEK: r.KEK, CreatedAt: utc(r.CreatedAt), RetiredAt: utc(r.RetiredAt)}
		list.Keys = append(list.Keys, record)
	}
	list.Processes, err = processesOf(ctx, keys)
	return list, err
}

func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// processesOf returns the processes that are alive, which may be none.
func processesOf(ctx context.Context, keys *keysource.Keys) ([]processRecord, error) {
	processes, err := keys.Store.Processes(ctx)
	if err != nil {
		return nil, err
	}
	now, err := keys.Now(ctx)
	if err != nil {
		return nil, err
	}
	all := []processRecord{}
	for _, p := range processes {
		all = append(all, processRecord{
			Name: p.Name, Writes: p.Writes, Behind: p.Behind, StartedAt: p.StartedAt.UTC(), SeenAt: p.SeenAt.UTC(), ExpiresAt: p.ExpiresAt.UTC(),
			SeenSeconds: max(0, now.Sub(p.SeenAt).Seconds()),
		})
	}
	return all, nil
}

func (a *app) printKeys(list keyList) error {
	fmt.Fprintf(a.out, "The keyring of %s:\n\n", list.Where)
	columns := []terminal.Column{{Title: "key"}, {Title: "for"}, {Title: "state"}, {Title: "check value"}}
	if list.Processes != nil {
		columns = append(columns, terminal.Column{Title: "made"}, terminal.Column{Title: "wrapped by", Wrap: true})
	}
	table := terminal.NewTable(columns...)
	for _, k := range list.Keys {
		made := ""
		if k.CreatedAt != nil {
			made = k.CreatedAt.Format("2006-01-02 15:04")
		}
		table.Add(k.Version.String(), k.Set, k.State, k.CheckValue, made, k.KEK)
	}
	if err := table.Print(a.out); err != nil || list.Processes == nil {
		return err
	}
	fmt.Fprintln(a.out)
	return printProcesses(a.out, list.Processes)
}

// printProcesses prints who has the keys.
func printProcesses(to *terminal.Output, processes []processRecord) error {
	if len(processes) == 0 {
		_, err := fmt.Fprintln(to, "No process is heard of that uses these keys.")
		return err
	}
	table := terminal.NewTable(
		terminal.Column{Title: "process", Wrap: true}, terminal.Column{Title: "seals under"}, terminal.Column{Title: "latest keys"}, terminal.Column{Title: "heard of"},
	)
	for _, p := range processes {
		writes := make([]string, len(p.Writes))
		for i, version := range p.Writes {
			writes[i] = version.String()
		}
		latest := "loaded"
		if p.Behind {
			latest = "not yet"
		}
		table.Add(p.Name, strings.Join(writes, " and "), latest, fmt.Sprintf("%.0f s ago", p.SeenSeconds))
	}
	return table.Print(to)
}
