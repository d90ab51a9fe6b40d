package gormcrypttest_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gormcrypt/gormcrypt/gormcrypttest"
)

// connect returns a watched connection of a fake driver, as database/sql has
// it.
func connect(t *testing.T, wire *gormcrypttest.Wire, name string) driver.Conn {
	t.Helper()
	conn, err := wire.Wrap(fakeConnector{&journal{}, fakeConns[name]}).Connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// send sends a statement with one argument to a driver that takes anything.
func send(t *testing.T, wire *gormcrypttest.Wire, query string, arg driver.NamedValue) {
	t.Helper()
	_, err := connect(t, wire, "everything").(driver.ExecerContext).ExecContext(context.Background(), query, []driver.NamedValue{arg})
	if err != nil {
		t.Fatal(err)
	}
}

type (
	namedString string
	redacted    string
	valuer      struct{ plaintext, value string }
	stringer    struct{ hidden int }
	digest      [8]byte
	textBytes   []byte
)

func (redacted) String() string { return "[redacted]" }

func (v valuer) Value() (driver.Value, error) { return v.value, nil }

func (stringer) String() string { return "the SECRET of a stringer" }

type failingValuer struct{}

func (failingValuer) Value() (driver.Value, error) { return nil, errors.New("no") }

func TestWireFindsSecretsInArguments(t *testing.T) {
	t.Parallel()
	text, moment := "a SECRET", time.Date(1815, 12, 10, 1, 2, 3, 4, time.FixedZone("", -3600))
	nothing := (*valuer)(nil)
	for name, c := range map[string]struct {
		value any
		want  bool
	}{
		"string":           {text, true},
		"bytes":            {[]byte(text), true},
		"json":             {json.RawMessage(`{"a": ["` + text + `"]}`), true},
		"pointer":          {&text, true},
		"named string":     {namedString(text), true},
		"redacted string":  {redacted(text), true},
		"named bytes":      {textBytes(text), true},
		"array of bytes":   {digest([]byte(text)), true},
		"int64":            {int64(424242), true},
		"int32":            {int32(-424242), true},
		"uint64":           {uint64(14242421), true},
		"float":            {424242.0, true},
		"large float":      {4242420000.0, true},
		"float32":          {float32(424242), true},
		"big number":       {big.NewInt(424242), true},
		"time":             {moment, true},
		"time pointer":     {&moment, true},
		"address":          {netip.MustParseAddr("2001:db8:ada:1815::"), true},
		"strings":          {[]string{"a", text}, true},
		"pointers":         {[]*string{nil, &text}, true},
		"ints":             {[]int64{1, 424242}, true},
		"map":              {map[string]any{"k": []any{text}}, true},
		"map key":          {map[string]int{text: 1}, true},
		"struct":           {struct{ A *string }{&text}, true},
		"stringer":         {stringer{1}, true},
		"stringer pointer": {&stringer{1}, true},
		"valuer":           {valuer{"x", text}, true},
		"valuer of valuer": {sql.Null[valuer]{V: valuer{"x", text}, Valid: true}, true},
		"valuer pointer":   {&valuer{"x", text}, true},
		"valuers":          {[]any{valuer{"x", text}}, true},

		// What is sent of a Valuer is its value.
		"sealing valuer":         {valuer{text, "gc1:"}, false},
		"sealing valuer pointer": {&valuer{text, "gc1:"}, false},
		"sealing valuers":        {map[string]any{"k": []valuer{{text, "gc1:"}}}, false},
		"nil valuer":             {nothing, false},
		"failing valuer":         {failingValuer{}, false},
		"nil":                    {nil, false},
		"bool":                   {true, false},
		"other case":             {"a Secret", false},
		"other number":           {int64(42424), false},
		"other time":             {moment.AddDate(1, 0, 0), false},
		"channel":                {make(chan int), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wire := gormcrypttest.NewSilentWire(t)
			wire.Secret("SECRET", "424242", "1815-12-10", "ada:1815")
			send(t, wire, "q", driver.NamedValue{Ordinal: 2, Value: c.value})
			leaks := wire.Leaks()
			if c.want && (len(leaks) == 0 || leaks[0].Where != "argument 2") || !c.want && leaks != nil {
				t.Errorf("leaks %v, want some: %t", leaks, c.want)
			}
		})
	}
}

// encodings are ways to write a secret.
func encodings(secret string) map[string]string {
	numbers := make([]int, len(secret))
	for i, b := range []byte(secret) {
		numbers[i] = int(b)
	}
	list, _ := json.Marshal(numbers)
	text, _ := json.Marshal(secret)
	all := map[string]string{
		"as it is": secret, "lower hex": hex.EncodeToString([]byte(secret)), "upper hex": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"fmt": fmt.Sprint([]byte(secret)), "JSON numbers": string(list), "SQL": "'" + strings.ReplaceAll(secret, "'", "''") + "'",
		"Go": fmt.Sprintf("%d", []byte(secret)),
	}
	if utf8.ValidString(secret) {
		all["JSON"] = string(text)
	}
	for before := range 4 {
		for after := range 4 {
			whole := []byte("\xff\xfe\xfd\xfc"[:before] + secret + "\x00\x01\x02\x03"[:after])
			for name, encoding := range map[string]*base64.Encoding{
				"std": base64.StdEncoding, "URL": base64.URLEncoding, "raw std": base64.RawStdEncoding, "raw URL": base64.RawURLEncoding,
			} {
				all[fmt.Sprintf("%s base64, %d before, %d after", name, before, after)] = encoding.EncodeToString(whole)
			}
		}
	}
	return all
}

var secrets = []string{"SECRET", "ada@example.org", `O'Neil "<quoted>"` + "\n\ttab \u2028", "ünïcödé \U0001F600", "\xff\xfe~~~???\x00\x80", strings.Repeat("long ", 100)}

func TestWireFindsEncodings(t *testing.T) {
	t.Parallel()
	for _, secret := range secrets {
		for name, text := range encodings(secret) {
			wire := gormcrypttest.NewSilentWire(t)
			wire.Secret("something else", secret)
			send(t, wire, "SELECT "+text+" FROM t", driver.NamedValue{Ordinal: 1, Value: "before" + text + "after"})
			leaks := wire.Leaks()
			if len(leaks) != 2 || leaks[0].Where != "the SQL text" || leaks[1].Where != "argument 1" || leaks[0].Secret != secret || leaks[0].Form != leaks[1].Form {
				t.Errorf("%.20q, %s: leaks %.200v", secret, name, leaks)
			}
			for _, leak := range leaks {
				if leak.Statement != "SELECT "+text+" FROM t" && !strings.Contains(leak.String(), "[secret 2]") {
					t.Errorf("%.20q, %s: it is not masked in %.200v", secret, name, leak)
				}
				if strings.Contains(leak.String(), text) {
					t.Errorf("%.20q, %s: it shows in %.200v", secret, name, leak)
				}
			}
		}
	}
}

func TestWireNamesThePlace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		run  func(conn driver.Conn) error
		want []string
	}{
		"SQL text": {func(conn driver.Conn) error {
			_, err := conn.(driver.QueryerContext).QueryContext(t.Context(), "SELECT 'a SECRET'", nil)
			return err
		}, []string{"the SQL text"}},
		"prepared": {func(conn driver.Conn) error { _, err := conn.Prepare("SELECT 'a SECRET'"); return err }, []string{"the SQL text"}},
		"argument of a prepared statement": {func(conn driver.Conn) error {
			stmt, err := conn.Prepare("q")
			if err != nil {
				return err
			}
			_, err = stmt.(driver.StmtQueryContext).QueryContext(t.Context(), []driver.NamedValue{{Ordinal: 1}, {Ordinal: 2, Value: "SECRET"}})
			return err
		}, []string{"argument 2"}},
		"argument of the older method": {func(conn driver.Conn) error {
			stmt, err := conn.Prepare("q")
			if err != nil {
				return err
			}
			_, err = stmt.Exec([]driver.Value{"SECRET"}) //lint:ignore SA1019 drivers have it
			return err
		}, []string{"argument 1"}},
		"named argument": {func(conn driver.Conn) error {
			_, err := conn.(driver.ExecerContext).ExecContext(t.Context(), "q", []driver.NamedValue{{Name: "email", Ordinal: 1, Value: "SECRET"}})
			return err
		}, []string{"argument email"}},
		"several": {func(conn driver.Conn) error {
			_, err := conn.(driver.ExecerContext).ExecContext(t.Context(), "-- SECRET", []driver.NamedValue{{Ordinal: 1, Value: "SECRET"}, {Ordinal: 2, Value: "SECRET"}})
			return err
		}, []string{"the SQL text", "argument 1", "argument 2"}},
	} {
		t.Run(name, func(t *testing.T) {
			wire := gormcrypttest.NewSilentWire(t)
			wire.Secret("SECRET")
			if err := c.run(connect(t, wire, "everything")); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, leak := range wire.Leaks() {
				got = append(got, leak.Where)
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("found in %q, want %q", got, c.want)
			}
		})
	}
}

// A statement that the driver skips is sent when it was prepared, and only then.
func TestWireCountsWhatIsSent(t *testing.T) {
	t.Parallel()
	for _, driver := range []string{"everything", "contexts that skip", "the least", "the predecessors"} {
		wire := gormcrypttest.NewSilentWire(t)
		wire.Secret("SECRET")
		db := sql.OpenDB(wire.Wrap(fakeConnector{&journal{}, fakeConns[driver]}))
		defer db.Close()
		step := func(name string, want int, run func() error) {
			t.Helper()
			before := wire.Statements()
			if err := run(); err != nil {
				t.Fatalf("%s: %s: %v", driver, name, err)
			}
			if got := wire.Statements() - before; got != want {
				t.Errorf("%s: %s: %d statements, want %d", driver, name, got, want)
			}
		}
		var prepared *sql.Stmt
		step("ping", 0, db.Ping)
		step("exec", 1, func() error { _, err := db.Exec("-- SECRET ?", "SECRET"); return err })
		if leaks := wire.Leaks(); len(leaks) != 2 {
			t.Errorf("%s: leaks %v, want one in the text and one in the argument", driver, leaks)
		}
		step("query", 1, func() error { rows, err := db.Query("q"); return errors.Join(err, rows.Close()) })
		step("prepare", 0, func() (err error) { prepared, err = db.Prepare("q"); return err })
		step("exec prepared", 2, func() error {
			_, err := prepared.Exec()
			_, again := prepared.Exec()
			return errors.Join(err, again)
		})
		step("transaction", 1, func() error {
			tx, err := db.Begin()
			if err != nil {
				return err
			}
			_, err = tx.Exec("q")
			return errors.Join(err, tx.Commit())
		})
	}
}

func TestWireFailsTheTest(t *testing.T) {
	t.Parallel()
	failures := failuresOf(t, func(tb gormcrypttest.TB) {
		wire := gormcrypttest.NewWire(tb)
		send(t, wire, "too early, a SECRET", driver.NamedValue{})
		wire.Secret("SECRET")
		send(t, wire, "INSERT INTO t VALUES (?)", driver.NamedValue{Ordinal: 1, Value: "a SECRET"})
	})
	requireFailure(t, failures, "secret 1", "as it is", "argument 1", "INSERT INTO t")
	if strings.Contains(failures[0], "SECRET") {
		t.Errorf("the failure shows the secret: %q", failures[0])
	}
}

func TestWireRefusals(t *testing.T) {
	t.Parallel()
	requireFailure(t, failuresOf(t, func(tb gormcrypttest.TB) { gormcrypttest.NewWire(tb).Secret("long enough", "short") }), "5 bytes", "by chance")
	requireFailure(t, failuresOf(t, func(tb gormcrypttest.TB) { gormcrypttest.NewWire(tb).Open("no such driver", "") }), "no such driver")
}

func TestWireReportsErrors(t *testing.T) {
	t.Parallel()
	wire := gormcrypttest.NewSilentWire(t)
	wire.Secret("SECRET", io.ErrUnexpectedEOF.Error())
	_, err := connect(t, wire, "contexts that fail").(driver.ExecerContext).ExecContext(t.Context(), "q", nil)
	if leaks := wire.Leaks(); err != io.ErrUnexpectedEOF || len(leaks) != 1 || leaks[0].Where != "the error" {
		t.Errorf("error %v, leaks %v", err, leaks)
	}
}

// The driver's own connection can be reached, past the wire.
func TestWireUnwrap(t *testing.T) {
	t.Parallel()
	for name := range fakeConns {
		conn, ok := connect(t, gormcrypttest.NewWire(t), name).(interface{ Unwrap() driver.Conn })
		if !ok || strings.Contains(fmt.Sprintf("%T", conn.Unwrap()), "gormcrypttest.conn") {
			t.Errorf("%s: %T", name, conn)
		}
	}
}

func TestWireFromManyGoroutines(t *testing.T) {
	t.Parallel()
	wire := gormcrypttest.NewSilentWire(t)
	db := sql.OpenDB(wire.Wrap(fakeConnector{&journal{}, fakeConns["everything"]}))
	defer db.Close()
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 50 {
				wire.Secret(fmt.Sprintf("secret %d of %d.", j, i))
				if _, err := db.Exec("q", fmt.Sprintf("secret %d of %d.", j, i)); err != nil {
					t.Error(err)
				}
				_, _ = wire.Leaks(), wire.Statements()
			}
		})
	}
	group.Wait()
	if leaks := len(wire.Leaks()); leaks != 400 || wire.Statements() != 400 {
		t.Errorf("%d leaks in %d statements, want 400 in 400", leaks, wire.Statements())
	}
}
