package database_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
)

// serve runs a server that does with each connection what talk says, and returns its
// address.
func serve(t *testing.T, talk func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				talk(connection)
			}()
		}
	}()
	return listener.Addr().String()
}

// silent is a server that takes connections and says nothing, until the test ends.
func silent(t *testing.T) string {
	return serve(t, func(net.Conn) { <-t.Context().Done() })
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	for _, where := range []string{
		"postgres://me:" + secret + "@127.0.0.1:1/x",
		"host=127.0.0.1 port=1 user=me dbname=x password=" + secret,
		"postgres://me:" + secret + "@host.invalid/x?connect_timeout=2",
		"postgres://me:" + secret + "@" + silent(t) + "/x?sslmode=disable&connect_timeout=1",
	} {
		began := time.Now()
		if _, err := open(t, t.Context(), where, database.ReadOnly); !errors.Is(err, database.ErrUnreachable) {
			t.Errorf("%v, want ErrUnreachable", err)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	}
}

// A command that is stopped does not wait for the server.
func TestCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	address := serve(t, func(net.Conn) {
		cancel()
		<-t.Context().Done()
	})
	if _, err := open(t, ctx, "postgres://me:"+secret+"@"+address+"/x?sslmode=disable&connect_timeout=600", database.ReadOnly); !errors.Is(err, context.Canceled) || errors.Is(err, database.ErrUnreachable) {
		t.Errorf("%v, want context.Canceled", err)
	}
}

// refusing is a server that answers every connection with an error, after it has told
// what it was asked for.
func refusing(t *testing.T, code string, asked chan<- map[string]string) string {
	return serve(t, func(connection net.Conn) {
		backend := pgproto3.NewBackend(connection, connection)
		message, err := backend.ReceiveStartupMessage()
		startup, ok := message.(*pgproto3.StartupMessage)
		if err != nil || !ok {
			t.Errorf("no startup: %T, %v", message, err)
			return
		}
		if asked != nil {
			asked <- startup.Parameters
		}
		backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: code, Message: "go away"})
		_ = backend.Flush() // the client may have given up
	})
}

// A server that does not let this user in will not the next time either.
func TestRejected(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]error{
		"28P01": database.ErrRejected, "28000": database.ErrRejected, "3D000": database.ErrRejected, "42501": database.ErrRejected, "08P01": database.ErrRejected,
		"42704": database.ErrRejected, "42601": database.ErrRejected, "22023": database.ErrRejected,
		"53300": database.ErrUnreachable, "57P03": database.ErrUnreachable,
	} {
		where := fmt.Sprintf("postgres://me:%s@%s/x?sslmode=disable", secret, refusing(t, code, nil))
		_, err := open(t, t.Context(), where, database.ReadOnly)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "go away") {
			t.Errorf("%s: %v, want %v", code, err, want)
		}
		parameters := strings.HasPrefix(code, "08") || strings.HasPrefix(code, "22") || code == "42704" || code == "42601"
		if strings.Contains(err.Error(), "take the parameter out of the URL") != parameters {
			t.Errorf("%s: %v", code, err)
		}
	}
}

// What a connection asks the server for. That it refuses writes then is seen by the
// scripts, with keys list in an empty database.
func TestParameters(t *testing.T) {
	t.Parallel()
	for access, want := range map[database.Access]string{database.ReadOnly: "on", database.ReadWrite: ""} {
		asked := make(chan map[string]string, 10)
		_, _ = open(t, t.Context(), "postgres://me@"+refusing(t, "28000", asked)+"/x?sslmode=disable&search_path=s", access)
		got := <-asked
		if got["default_transaction_read_only"] != want || got["application_name"] != "gormcrypt" || got["search_path"] != "s" || got["user"] != "me" {
			t.Errorf("asked for %v", got)
		}
	}
}
