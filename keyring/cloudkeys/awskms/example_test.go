package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/gormcrypt/gormcrypt/keyring"
	"github.com/gormcrypt/gormcrypt/keyring/cloudkeys"
	_ "github.com/gormcrypt/gormcrypt/keyring/cloudkeys/awskms"
)

// What is wrapped in one encryption context is not unwrapped in another.
func Example() {
	kms := startFakeKMS() // stands for AWS, and is why there is an endpoint in the URL
	defer kms.Close()
	endpoint := "&endpoint=" + url.QueryEscape(kms.URL)

	ctx := context.Background()
	const keyURL = "awskms:///arn:aws:kms:eu-central-1:111122223333:key/app?region=eu-central-1"
	shop, err := cloudkeys.Open(ctx, keyURL+"&context_app=shop"+endpoint)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer shop.Close()
	mail, err := cloudkeys.Open(ctx, keyURL+"&context_app=mail"+endpoint)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer mail.Close()

	key := bytes.Repeat([]byte{1}, keyring.KeySize)
	wrapped, err := shop.Wrap(ctx, key)
	if err != nil {
		fmt.Println(err)
		return
	}
	unwrapped, err := shop.Unwrap(ctx, wrapped)
	fmt.Println("shop:", bytes.Equal(unwrapped, key), err)
	_, err = mail.Unwrap(ctx, wrapped)
	fmt.Println("mail:", errors.Is(err, keyring.ErrWrongKey))
	// Output:
	// shop: true <nil>
	// mail: true
}
