//go:build linux

package memory_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"runtime/pprof"
)

// show writes a value, and the process, in every way that it knows, each into a file
// of its own.
func show(v any) {
	values := []any{v, &v, []any{v}, map[string]any{"k": v}, struct{ inside any }{v}}
	for field := range fields(v) {
		values = append(values, field, []any{field}, struct{ inside any }{field})
	}
	var printed, logged, sloggedText, sloggedJSON, inJSON, inXML, inGob, walked bytes.Buffer
	logger := log.New(&logged, "", 0)
	text, jsonLog := slog.New(slog.NewTextHandler(&sloggedText, nil)), slog.New(slog.NewJSONHandler(&sloggedJSON, nil))
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%+q", "%x", "%X", "% x", "%#x", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%T", "%w"} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
		fmt.Fprintln(&printed, fmt.Errorf("failed: %v", v), v)
		logger.Println(v)
		text.Info("m", "v", v)
		jsonLog.Info("m", "v", v, slog.Group("g", "v", v))
		encoded, err := json.Marshal(v)
		fmt.Fprintln(&inJSON, string(encoded), err)
		encoded, err = xml.Marshal(v)
		fmt.Fprintln(&inXML, string(encoded), err)
		fmt.Fprintln(&inGob, gob.NewEncoder(&inGob).Encode(v))
		walk(&walked, v)
	}
	for name, b := range map[string]*bytes.Buffer{
		"fmt": &printed, "log": &logged, "slog text": &sloggedText, "slog JSON": &sloggedJSON,
		"JSON": &inJSON, "XML": &inXML, "gob": &inGob, "reflection": &walked,
	} {
		write(name, b.Bytes())
	}
	write("environ", must(os.ReadFile("/proc/self/environ")))
	write("os.Environ", []byte(fmt.Sprint(os.Environ())))
	for _, profile := range []string{"heap", "allocs", "goroutine"} {
		for detail := range 3 {
			var b bytes.Buffer
			if err := pprof.Lookup(profile).WriteTo(&b, detail); err != nil {
				panic(err)
			}
			write(fmt.Sprintf("%s profile %d", profile, detail), b.Bytes())
		}
	}
}

// fields returns the exported fields of what v points to.
func fields(v any) func(yield func(any) bool) {
	return func(yield func(any) bool) {
		for _, field := range reflect.ValueOf(v).Elem().Fields() {
			if field.CanInterface() && !yield(field.Interface()) {
				return
			}
		}
	}
}

func write(name string, content []byte) {
	if err := os.WriteFile(filepath.Join(os.Getenv(outVariable), name), content, 0o600); err != nil {
		panic(err)
	}
}

// heapDump writes all of the heap, as debug.WriteHeapDump does.
func heapDump() {
	file := must(os.Create(filepath.Join(os.Getenv(outVariable), "heap dump")))
	debug.WriteHeapDump(file.Fd())
	if err := file.Close(); err != nil {
		panic(err)
	}
}
