// Package wipe overwrites keys where other packages keep them: the objects of
// the standard library and of tink hold copies, and have no method for it.
package wipe

import "reflect"

// At overwrites what object points to with zeros, or, with a path, what the field
// at its end points to: a struct, or the bytes of a slice. It reports whether there
// was any such thing. It follows nothing but the path, so that what an object may
// share with others stays as it is, and a path that another version of a library
// does not have is no error: then its copy stays until the memory is used again.
//
// Nobody may use the object any more: an AEAD would go on, with the key zero.
func At(object any, path ...string) bool {
	v := find(object, path)
	if bytes := asBytes(v); bytes != nil {
		clear(bytes)
		return true
	}
	if v.Kind() != reflect.Struct || !v.CanSet() {
		return false
	}
	v.SetZero()
	return true
}

// Bytes returns the slice of bytes at the end of a path, not a copy, and nil if
// there is none.
func Bytes(object any, path ...string) []byte { return asBytes(find(object, path)) }

func asBytes(v reflect.Value) []byte {
	if v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8 {
		return v.Bytes()
	}
	return nil
}

// find returns the zero Value if the path leads nowhere.
func find(object any, path []string) reflect.Value {
	v := target(reflect.ValueOf(object))
	for _, field := range path {
		if v.Kind() != reflect.Struct {
			return reflect.Value{}
		}
		v = target(v.FieldByName(field))
	}
	return v
}

// target follows an interface and a pointer. What is behind a pointer is made
// settable, though the field that holds it is not exported.
func target(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if v.Kind() == reflect.Pointer && !v.IsNil() {
		return reflect.NewAt(v.Type().Elem(), v.UnsafePointer()).Elem()
	}
	return v
}
