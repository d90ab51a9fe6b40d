package encryptedtype

// ClearDefault undoes SetDefault.
func ClearDefault() {
	defaultColumn.Store(nil)
	defaultCipher.Store(nil)
}
