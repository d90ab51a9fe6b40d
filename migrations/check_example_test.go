package migrations_test

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gormcrypt/gormcrypt/manifest"
	"github.com/gormcrypt/gormcrypt/migrations"
)

// lastDeployment is what gormcrypt.Manifest wrote when the column was still email.
const lastDeployment = `{
  "format": 1,
  "tables": [{
    "name": "customers",
    "primary_key": ["id"],
    "columns": [{"name": "email", "type": "string", "context": {"table": "customers", "column": "email"}}]
  }]
}`

// Customer has another name for it, and the data is still under the old one.
type Customer struct {
	ID   uint
	Mail string `gorm:"serializer:encrypted"`
}

// A unit test fails before a rename is deployed that values would not survive.
func ExampleCheck() {
	m, err := manifest.Read(strings.NewReader(lastDeployment)) // a file that is checked in
	if err != nil {
		fmt.Println(err)
		return
	}
	err = migrations.Check(m, &Customer{})
	var change *migrations.Change
	if errors.As(err, &change) {
		fmt.Println(change.Table, change.Column)
		fmt.Println(change.Problem)
		for fix := range strings.SplitSeq(change.Fix, "; ") {
			fmt.Println("-", fix)
		}
	}
	// Output:
	// customers email
	// no model has this encrypted column any more
	// - if it was renamed to customers.mail, add context=customers.email to the encrypt tag of that
	// - if it is to be plaintext again, deploy it with migrating=write, and then migrating=read, first
	// - if it is dropped, write the manifest again
}
