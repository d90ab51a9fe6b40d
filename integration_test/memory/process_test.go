//go:build linux

package memory_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// process is a program that runs, and does a step for each line that it is sent.
type process struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err bytes.Buffer
}

// start starts one of the programs, with nothing but these variables in its
// environment.
func start(t *testing.T, program string, environ ...string) *process {
	t.Helper()
	p := &process{Cmd: command(t, program, environ...)}
	p.Stderr = &p.err
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	t.Cleanup(func() {
		in.Close()
		if err := p.Wait(); err != nil {
			t.Errorf("the program ended with %v: %s", err, p.err.String())
		}
	})
	return p
}

func command(t *testing.T, program string, environ ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Env = append([]string{roleVariable + "=" + program}, environ...)
	return cmd
}

// do has the program do a step, and returns when it has.
func (p *process) do(t *testing.T, step string) {
	t.Helper()
	p.send(t, step)
	p.expect(t, step)
}

func (p *process) send(t *testing.T, line string) {
	t.Helper()
	if _, err := fmt.Fprintln(p.in, line); err != nil {
		t.Fatal(err)
	}
}

func (p *process) expect(t *testing.T, line string) {
	t.Helper()
	if got, err := p.out.ReadString('\n'); err != nil || strings.TrimSpace(got) != line {
		p.in.Close()
		t.Fatalf("the program says %q, not %q, %v: %s", got, line, err, p.err.String())
	}
}

// steps is the other side of do.
func steps(do map[string]func()) {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		step, ok := do[lines.Text()]
		if !ok {
			panic("no step " + lines.Text())
		}
		step()
		fmt.Println(lines.Text())
	}
}

// memory returns how often each secret is in the writable memory of the process, by
// its name. The process must be idle. What its runtime still gives back to the system
// meanwhile can't be read any more: then it looks again.
func (p *process) memory(t *testing.T, secrets []secret) map[string]int {
	t.Helper()
	memory, err := os.Open(fmt.Sprintf("/proc/%d/mem", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	const most = 20
	for attempt := 1; ; attempt++ {
		mappings := p.mappings(t)
		found, unreadable, err := search(t, memory, mappings, secrets)
		if err == nil {
			return found
		}
		if attempt == most || slices.Contains(p.mappings(t), unreadable) {
			t.Fatalf("reading the memory of the process at %s: %v", unreadable, err)
		}
	}
}

// mappings returns what of the memory of the process is writable, a line of
// /proc/PID/maps each.
func (p *process) mappings(t *testing.T) (writable []string) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasPrefix(strings.Fields(line)[1], "rw") {
			writable = append(writable, strings.TrimSpace(line))
		}
	}
	return writable
}

// search counts the secrets in mappings of a process's memory, up to one that cannot
// be read.
func search(t *testing.T, memory io.ReaderAt, mappings []string, secrets []secret) (found map[string]int, unreadable string, err error) {
	t.Helper()
	found = map[string]int{}
	for _, mapping := range mappings {
		from, to, _ := strings.Cut(strings.Fields(mapping)[0], "-")
		start, err := strconv.ParseUint(from, 16, 63)
		if err != nil {
			t.Fatal(err)
		}
		end, err := strconv.ParseUint(to, 16, 63)
		if err != nil {
			t.Fatal(err)
		}
		if end-start > 1<<30 { // the race detector's tables, which are mostly not there
			continue
		}
		content := make([]byte, end-start)
		n, err := memory.ReadAt(content, int64(start))
		if err != nil && n == 0 {
			return nil, mapping, err
		}
		for _, s := range secrets {
			found[s.name] += bytes.Count(content[:n], s.bytes)
		}
	}
	return found, "", nil
}
