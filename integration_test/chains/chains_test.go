// Package chains compares programs that use encrypted models with the same
// programs on plain ones. It draws chains of GORM calls, runs each in two worlds,
// one with the plugin and one without, and compares everything that can be seen:
// errors, results, the caller's structs and maps, and the tables. Nothing of a
// plaintext may be in what the encrypted world logs, returns as an error, or
// stores.
//
// Flags of rapid say how many chains there are for each database, and where they
// begin: -rapid.checks and -rapid.seed. With -ops and -omit-ops, some operations are
// drawn and others not. What fails is printed as the shortest chain that still does.
package chains

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm/logger"
	"pgregory.net/rapid"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

var (
	drawn = flag.String("ops", ".", "regular expression for the names of the operations to draw; "+
		"transactions are drawn if it matches \"transaction\"")
	omitting = flag.String("omit-ops", "^$", "regular expression for the names of those not to draw")
)

func TestMain(m *testing.M) {
	logger.Default = logger.Discard
	flag.Parse()
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["rapid.checks"] && os.Getenv("RAPID_CHECKS") == "" {
		set("rapid.checks", "300")
	}
	if !given["rapid.nofailfile"] { // the seed leads to the failure again
		set("rapid.nofailfile", "true")
	}
	if !given["rapid.shrinktime"] {
		set("rapid.shrinktime", "1m")
	}
	if value("rapid.seed") == "0" { // choose it, to say which it is
		set("rapid.seed", strconv.FormatUint(uint64(rand.Uint32())+1, 10))
	}
	testdb.Main(m)
}

func value(name string) string { return flag.Lookup(name).Value.String() }

func set(name, value string) {
	if err := flag.Set(name, value); err != nil {
		panic(err)
	}
}

func TestChains(t *testing.T) {
	do, omit := regexp.MustCompile(*drawn), regexp.MustCompile(*omitting)
	chains, err := drawChain(func(name string) bool { return do.MatchString(name) && !omit.MatchString(name) })
	if err != nil {
		t.Fatal(err)
	}
	for name, open := range map[string]func(testing.TB) testdb.Database{"sqlite": testdb.SQLite, "postgres": testdb.Postgres} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			worlds := openPair(t, open)
			began := time.Now()
			ran, operations := 0, 0
			defer func() {
				took := time.Since(began)
				fmt.Fprintf(os.Stderr, "=== %s: %d chains of %d operations in %s, %.0f a second, from -rapid.seed=%s; refused were %d of %d that may be\n",
					name, ran, operations, took.Round(time.Second/10), float64(ran)/took.Seconds(), value("rapid.seed"), worlds.secret.refused, worlds.secret.asked)
				if worlds.failed != "" { // it may not fail again when rapid looks for a shorter one
					t.Logf("the first failure, %s", worlds.failed)
				}
			}()
			rapid.Check(t, func(t *rapid.T) {
				c := chains.Draw(t, "chain")
				ran++
				operations += len(c.operations)
				worlds.check(t, c)
			})
			if checks, _ := strconv.Atoi(value("rapid.checks")); ran < checks && !testing.Short() {
				t.Errorf("there was time for %d chains only; raise -timeout", ran)
			}
		})
	}
}

// check runs a chain in both worlds.
func (p *pair) check(t *rapid.T, c chain) {
	for _, w := range []*world{p.plain, p.secret} {
		if err := w.reset(c.inhabited, c.turning); err != nil {
			t.Fatal(err)
		}
	}
	for i, op := range c.operations {
		var outs [2]*outcome
		for j, w := range []*world{p.secret, p.plain} {
			w.now = start.Add(time.Duration(i) * time.Second)
			outs[j] = &outcome{world: w}
			op.perform(w, w.session(c.logger), outs[j])
			if len(w.panics) > 0 {
				p.fail(t, c, "an operation panicked", fmt.Sprintf("step %d, encrypted=%t: %s", i+1, w.encrypted, strings.Join(w.panics, "\n")))
			}
		}
		if leaks := p.secret.leaked(); len(leaks) > 0 {
			p.fail(t, c, "a secret was said", fmt.Sprintf("step %d:\n%s", i+1, strings.Join(leaks, "\n")))
		}
		if d := difference(outs[1], outs[0]); d != "" {
			p.fail(t, c, "an operation came to something else", fmt.Sprintf("step %d (- plain, + encrypted):\n%s", i+1, d))
		}
	}
	if d := difference(p.plain.contents(), p.secret.contents()); d != "" {
		p.fail(t, c, "the tables differ", "the tables (- plain, + encrypted):\n"+d)
	}
}

// fail ends a chain. What went wrong has few words, by which rapid knows it again.
func (p *pair) fail(t *rapid.T, c chain, what, how string) {
	if p.failed == "" {
		p.failed = fmt.Sprintf("%s:%#v\n%s", what, c, how)
	}
	t.Log(how)
	t.Fatal(what)
}
