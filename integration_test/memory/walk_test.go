//go:build linux

package memory_test

import (
	"fmt"
	"io"
	"reflect"
	"strings"
)

// walk prints everything that reflection reaches from a value, as debuggers and
// printers such as spew do: unexported fields too, behind pointers, interfaces,
// maps, slices and the pointers of sync/atomic. Nothing reaches into a function.
func walk(w io.Writer, v any) {
	walker{w, map[visit]bool{}}.value(reflect.ValueOf(v))
}

type walker struct {
	io.Writer
	seen map[visit]bool
}

type visit struct {
	pointer uintptr
	of      reflect.Type
}

func (w walker) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if !v.IsNil() {
			w.value(v.Elem())
		}
	case reflect.Pointer:
		here := visit{v.Pointer(), v.Type()}
		if v.IsNil() || w.seen[here] || runtimesOwn(v.Type().Elem()) {
			return
		}
		w.seen[here] = true
		w.value(v.Elem())
	case reflect.Struct:
		if target, ok := atomicTarget(v); ok {
			w.value(target)
			return
		}
		fmt.Fprintf(w, "%s{", v.Type())
		for i := range v.NumField() {
			fmt.Fprintf(w, "%s:", v.Type().Field(i).Name)
			w.value(v.Field(i))
			fmt.Fprint(w, " ")
		}
		fmt.Fprint(w, "}\n")
	case reflect.Map:
		for entries := v.MapRange(); entries.Next(); {
			w.value(entries.Key())
			fmt.Fprint(w, ":")
			w.value(entries.Value())
			fmt.Fprint(w, " ")
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			w.value(v.Index(i))
			fmt.Fprint(w, " ")
		}
	case reflect.String:
		fmt.Fprint(w, v.String())
	default:
		fmt.Fprint(w, v) // fmt prints what a reflect.Value holds
	}
}

// atomicTarget follows an atomic.Pointer, which holds an unsafe.Pointer, and says in
// the type of another field what that points to.
func atomicTarget(v reflect.Value) (reflect.Value, bool) {
	if v.Type().PkgPath() != "sync/atomic" || !strings.HasPrefix(v.Type().Name(), "Pointer[") {
		return reflect.Value{}, false
	}
	target := v.Type().Field(0).Type.Elem().Elem()
	return reflect.NewAt(target, v.FieldByName("v").UnsafePointer()), true
}

// runtimesOwn reports whether a type is of the tables that reflection itself reads.
func runtimesOwn(t reflect.Type) bool {
	return t.PkgPath() == "internal/abi" || t.PkgPath() == "reflect"
}
