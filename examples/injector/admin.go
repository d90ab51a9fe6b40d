package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/gormcrypt/gormcrypt/keyring"
)

// initialize makes what the other commands need, and leaves alone what is there.
func initialize(ctx context.Context, logger *slog.Logger, o options) error {
	if path, ok := strings.CutPrefix(o.keys, "file:"); ok {
		_, err := keyring.FromFile(path)
		switch {
		case errors.Is(err, keyring.ErrNotFound):
			keys, err := keyring.Generate()
			if err != nil {
				return err
			}
			if err := keyring.WriteFile(path, keys); err != nil {
				return err
			}
			logger.Info("made a keyring; keep a copy in a safe place: whoever loses it loses the API keys", "file", path, "keys", keys)
		case err != nil:
			return err
		}
	}
	s, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	return s.migrate(ctx)
}

// set stores an API key. It comes by standard input, because other users of the
// machine see the arguments of a program, and its environment is inherited.
func set(ctx context.Context, logger *slog.Logger, o options) error {
	upstream, err := o.oneUpstream()
	if err != nil {
		return err
	}
	apiKey, err := readAPIKey(os.Stdin)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.set(ctx, o.user, upstream, apiKey); err != nil {
		return err
	}
	logger.Info("stored", "user", o.user, "upstream", upstream)
	return nil
}

func unset(ctx context.Context, logger *slog.Logger, o options) error {
	upstream, err := o.oneUpstream()
	if err != nil {
		return err
	}
	s, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.unset(ctx, o.user, upstream); err != nil {
		return err
	}
	logger.Info("forgotten", "user", o.user, "upstream", upstream)
	return nil
}

// oneUpstream returns the name of the only upstream that was given.
func (o options) oneUpstream() (string, error) {
	switch {
	case len(o.upstreams) != 1 || !upstreamName.MatchString(o.upstreams[0]):
		return "", errors.New("give the name of one upstream, such as -upstream github")
	case !validUser(o.user):
		return "", fmt.Errorf("-user must be 1 to %d bytes of UTF-8", maxUser)
	}
	return o.upstreams[0], nil
}

const (
	// A response that holds the key is cut, and a short key stands in innocent ones.
	minAPIKey = 16
	maxAPIKey = 4096
)

// bearerToken is what may follow Bearer (RFC 6750, section 2.1). It needs no
// escape in JSON or HTML, but for / in JSON as some write it.
var bearerToken = regexp.MustCompile(`^[A-Za-z0-9\-._~+/]+=*$`)

// readAPIKey reads one line. Its errors quote none of it.
func readAPIKey(r io.Reader) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAPIKey+3)) // and a line end, and one that is too many
	defer clear(text)
	if err != nil {
		return "", fmt.Errorf("reading the API key from standard input: %w", err)
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	switch {
	case len(line) < minAPIKey || len(line) > maxAPIKey:
		return "", fmt.Errorf("the API key on standard input must be %d to %d bytes long", minAPIKey, maxAPIKey)
	case !bearerToken.Match(line):
		return "", errors.New("the API key on standard input must be one line of letters, digits and -._~+/, and = at the end, as RFC 6750 has it")
	}
	return string(line), nil
}
