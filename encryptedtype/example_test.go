package encryptedtype_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

func ExampleEncryptedString() {
	type Integration struct {
		Service string
		APIKey  encryptedtype.EncryptedString
	}
	integration := Integration{"payments", encryptedtype.NewEncryptedString("sk_live_42")}

	fmt.Printf("%v\n%+v\n", integration, integration)
	text, err := json.Marshal(integration)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(text))
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	log.Info("connecting", "key", integration.APIKey)

	fmt.Println(integration.APIKey.Reveal())
	// Output:
	// {payments [encrypted]}
	// {Service:payments APIKey:[encrypted]}
	// {"Service":"payments","APIKey":"[encrypted]"}
	// level=INFO msg=connecting key=[encrypted]
	// sk_live_42
}

// The empty string is a value; the zero value is NULL.
func ExampleNewEncryptedString() {
	fmt.Println(encryptedtype.NewEncryptedString("").IsNull())
	fmt.Println(encryptedtype.EncryptedString{}.IsNull())
	// Output:
	// false
	// true
}

func ExampleEncrypted() {
	type Limits struct{ Daily, Monthly int }
	limits := encryptedtype.NewEncrypted(Limits{Daily: 10, Monthly: 100})
	fmt.Println(limits, limits.Reveal().Daily)
	// Output:
	// [encrypted] 10
}
