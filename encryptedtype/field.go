package encryptedtype

import "reflect"

// Field is how the gormcrypt plugin handles fields of these types; programs have
// no use for it. It is implemented by pointers to the types of this package, and
// by nothing else.
type Field interface {
	// OpenWith calls open with a pointer to a value of the inner type, and
	// takes the value over if open succeeds.
	OpenWith(open func(dst any) error) error
	// OpenStored does what OpenWith does for a ciphertext as the database has it. If
	// it can, it gives open a pointer to a ciphertext.Sealed, and keeps that. It may
	// call open twice.
	OpenStored(open func(dst any) error) error
	// InnerType returns the type of the value inside.
	InnerType() reflect.Type

	plaintext() any
}

var (
	_ Field = (*EncryptedString)(nil)
	_ Field = (*EncryptedBytes)(nil)
	_ Field = (*Encrypted[int])(nil)
)

// Plaintext returns the value inside v, nil for NULL, if v is of a type of this
// package or a pointer to one. It is for the plugin, and for programs that
// handle values of any type; others call Reveal.
func Plaintext(v any) (plaintext any, ok bool) {
	holder, ok := v.(interface{ plaintext() any })
	if !ok {
		return nil, false
	}
	if rv := reflect.ValueOf(v); rv.Kind() == reflect.Pointer && rv.IsNil() {
		return nil, true
	}
	return holder.plaintext(), true
}

// OpenWith implements Field, for the plugin.
func (e *EncryptedString) OpenWith(open func(dst any) error) error {
	var s string
	if err := open(&s); err != nil {
		return err
	}
	*e = NewEncryptedString(s)
	return nil
}

// OpenStored implements Field, for the plugin.
func (e *EncryptedString) OpenStored(open func(dst any) error) error {
	lend, ok := openStored(open)
	if !ok {
		return e.OpenWith(open)
	}
	*e = EncryptedString{lend}
	return nil
}

// InnerType implements Field, for the plugin.
func (e EncryptedString) InnerType() reflect.Type { return reflect.TypeFor[string]() }

func (e EncryptedString) plaintext() any {
	if e.IsNull() {
		return nil
	}
	return e.Reveal()
}

// OpenWith implements Field, for the plugin.
func (e *EncryptedBytes) OpenWith(open func(dst any) error) error {
	var b []byte
	if err := open(&b); err != nil {
		return err
	}
	*e = NewEncryptedBytes(b)
	return nil
}

// OpenStored implements Field, for the plugin.
func (e *EncryptedBytes) OpenStored(open func(dst any) error) error {
	lend, ok := openStored(open)
	if !ok {
		return e.OpenWith(open)
	}
	*e = EncryptedBytes{lend}
	return nil
}

// InnerType implements Field, for the plugin.
func (e EncryptedBytes) InnerType() reflect.Type { return reflect.TypeFor[[]byte]() }

func (e EncryptedBytes) plaintext() any {
	if e.IsNull() {
		return nil
	}
	return e.Reveal()
}

// OpenWith implements Field, for the plugin.
func (e *Encrypted[T]) OpenWith(open func(dst any) error) error {
	var v T
	if err := open(&v); err != nil {
		return err
	}
	*e = NewEncrypted(v)
	return nil
}

// OpenStored implements Field, for the plugin.
func (e *Encrypted[T]) OpenStored(open func(dst any) error) error { return e.OpenWith(open) }

// InnerType implements Field, for the plugin.
func (e Encrypted[T]) InnerType() reflect.Type { return reflect.TypeFor[T]() }

func (e Encrypted[T]) plaintext() any {
	if e.reveal == nil {
		return nil
	}
	return e.reveal()
}
