package cli_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gormcrypt/gormcrypt/integration_test/testdb"
)

var update = flag.Bool("update", false, "write what the commands of docs/cli.md say into it")

const storyPath = "../../docs/cli.md"

// The story in docs/cli.md is typed into a terminal of 80 columns: what each command
// says has to be what stands there, but for times, rates, random names and how far a
// rotation was when it was stopped. On PostgreSQL, every command has to end as it does
// on SQLite.
func TestStory(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(storyPath)
	must(t, err)
	binaries := build(t)
	buildContacts(t, binaries)
	blocks := blocksOf(t, string(doc))
	testdb.Each(t, func(t *testing.T, where testdb.Database) {
		s := newStory(t, binaries, where)
		told := string(doc)
		for _, b := range blocks {
			told = strings.Replace(told, b.text, s.tell(b), 1)
		}
		switch {
		case where.Name != "sqlite":
		case *update:
			must(t, os.WriteFile(storyPath, []byte(told), 0o644))
		default:
			if diff := cmp.Diff(settled(string(doc)), settled(told)); diff != "" {
				t.Errorf("docs/cli.md is out of date; run this test with -update (-there +now):\n%s", diff)
			}
		}
	})
}

// block is a part of the story: commands, and how the last of them is stopped.
type block struct {
	text     string
	commands []string
	// at is what there is to be seen when the last command is stopped by a key, or by
	// KILL; by is empty if it comes to its end.
	at, by string
}

var blockPattern = regexp.MustCompile("(?s)(?:<!-- at (\".*?\") (\\S+) -->\n)?```console\n(.*?)```")

func blocksOf(t *testing.T, doc string) []block {
	t.Helper()
	var all []block
	for _, found := range blockPattern.FindAllStringSubmatch(doc, -1) {
		b := block{text: found[0], by: found[2]}
		if found[1] != "" {
			var err error
			b.at, err = strconv.Unquote("`" + strings.Trim(found[1], `"`) + "`")
			must(t, err)
		}
		for line := range strings.Lines(found[3]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				b.commands = append(b.commands, strings.TrimSpace(command))
			}
		}
		all = append(all, b)
	}
	if len(all) < 10 {
		t.Fatalf("the story has %d parts only", len(all))
	}
	return all
}

// story is the terminal and the directory that the story is told in.
type story struct {
	*pane
	dir, url string
}

func newStory(t *testing.T, binaries string, where testdb.Database) story {
	t.Helper()
	dir, err := os.MkdirTemp("", "c") // a short path, which fits into a line
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := story{dir: dir, url: "sqlite:contacts.db"}
	environment := []string{"PATH=" + binaries + string(os.PathListSeparator) + os.Getenv("PATH"), "NO_COLOR=1", "SUDO_USER=", "HOSTNAME=", "USER=operator"}
	if where.Name == "postgres" {
		s.url = "'" + where.DSN + "'"
		must(t, os.WriteFile(filepath.Join(dir, "contacts"), fmt.Appendf(nil, "#!/bin/sh\nexec %s/contacts -dsn '%s' \"$@\"\n", binaries, where.DSN), 0o755))
		environment[0] = "PATH=" + dir + string(os.PathListSeparator) + strings.TrimPrefix(environment[0], "PATH=")
	}
	s.pane = newPane(t, dir, environment)
	return s
}

// tell types the commands of a block, and returns it with what they say.
func (s story) tell(b block) string {
	s.Helper()
	s.run("clear; tmux clear-history")
	for i, command := range b.commands {
		command = strings.ReplaceAll(command, "sqlite:contacts.db", s.url)
		s.start(command)
		if i == len(b.commands)-1 && b.by != "" {
			s.shows(b.at)
			s.stop(b.by)
		}
		s.prompt()
	}
	head, _, _ := strings.Cut(b.text, "```console\n")
	text := strings.ReplaceAll(strings.TrimLeft(s.text(), "\n"), s.dir, "/srv/contacts")
	return head + "```console\n" + text + "```"
}

// stop presses a key, or kills what the shell runs.
func (s story) stop(by string) {
	s.Helper()
	if by != "KILL" {
		s.press(by)
		return
	}
	shell := strings.TrimSpace(s.tmux("display-message", "-p", "#{pane_pid}"))
	children, err := os.ReadFile(fmt.Sprintf("/proc/%s/task/%[1]s/children", shell))
	must(s, err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	must(s, err)
	must(s, syscall.Kill(pid, syscall.SIGKILL))
}

// varies are the parts of the story that are not the same each time.
var varies = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`(?s)(<!-- at [^\n]* -->\n)` + "```console\n(\\$[^\n]*\n).*?```"), "$1$2"},
	{regexp.MustCompile(`(?s)\nJOB +WHAT.*? joins in`), "JOBS"}, // whose names have several lines
	{regexp.MustCompile(`\b[a-z2-7]{26}\b`), "JOB"},
	{regexp.MustCompile(`[█░]+`), "BAR"},
	{regexp.MustCompile(`\d+\.\d %`), "SHARE"},
	{regexp.MustCompile(`1: [\d,]+, 2: [\d,]+`), "1: N, 2: N"},
	{regexp.MustCompile(`phone   [\d,]+ +[\d,]+ +[\d,]+ `), "phone   N  N  N "}, // a rotation that goes on
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z)?`), "TIME"},
	{regexp.MustCompile(`gc1:(\d+):[A-Za-z0-9_-]+(\s+[A-Za-z0-9_-]{10,})*`), "gc1:$1:…"},
	{regexp.MustCompile(`[A-Za-z0-9_-]{11}(\s+(none|file|-))`), "CHECK$1"},
	{regexp.MustCompile(`((primary|enabled|retired)\s+)[A-Za-z0-9_-]{11}\b`), "${1}CHECK"},
	{regexp.MustCompile(`[\d,]+ rows a second`), "N rows a second"},
	{regexp.MustCompile(`(\d+m)?\d+(\.\d+)?(ms|µs|s)\b`), "DURATION"},
	{regexp.MustCompile(`go1\.[\d.]+`), "GO"},
	{regexp.MustCompile(`SQLite 3\.[\d.]+`), "SQLITE"},
	{regexp.MustCompile(`gormcrypt (\(devel\)|v\d\S*)`), "VERSION"},
	{regexp.MustCompile(`"(host|user)": ?"[^"]*"`), `"$1":"…"`},
	{regexp.MustCompile(`\s+`), ""}, // lines break elsewhere
}

// settled returns a text without what varies.
func settled(text string) string {
	for _, one := range varies {
		text = one.what.ReplaceAllString(text, one.as)
	}
	return text
}

// buildContacts builds the application of the story.
func buildContacts(t *testing.T, dir string) {
	t.Helper()
	command := exec.Command("go", "build", "-o", dir, "./contacts")
	command.Dir = "../../examples"
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building the application: %v\n%s", err, out)
	}
}
