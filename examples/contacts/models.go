package main

import (
	"gorm.io/gorm"

	"github.com/gormcrypt/gormcrypt/encryptedtype"
)

// The model of each deployment. In your application there is one, and its tag changes.
type (
	plainContact struct {
		ID    int64
		Name  string
		Phone string
	}
	readingContact struct {
		ID         int64
		Name       string
		Phone      string                   `gorm:"serializer:encrypted" encrypt:"migrating=read"`
		PhoneIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Phone,normalize=digits"`
	}
	writingContact struct {
		ID         int64
		Name       string
		Phone      string                   `gorm:"serializer:encrypted" encrypt:"migrating=write"`
		PhoneIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Phone,normalize=digits"`
	}
	settledContact struct {
		ID         int64
		Name       string
		Phone      string                   `gorm:"serializer:encrypted"`
		PhoneIndex encryptedtype.BlindIndex `gorm:"index" encrypt:"of=Phone,normalize=digits"`
	}
)

func (plainContact) TableName() string   { return "contacts" }
func (readingContact) TableName() string { return "contacts" }
func (writingContact) TableName() string { return "contacts" }
func (settledContact) TableName() string { return "contacts" }

// contact is what the application does with a contact, whatever its deployment.
type contact interface {
	values() (id int64, phone string)
}

func (c plainContact) values() (int64, string)   { return c.ID, c.Phone }
func (c readingContact) values() (int64, string) { return c.ID, c.Phone }
func (c writingContact) values() (int64, string) { return c.ID, c.Phone }
func (c settledContact) values() (int64, string) { return c.ID, c.Phone }

// deployment is a program with a model.
type deployment struct {
	model any
	use   func(db *gorm.DB, add int) error
}

var deployments = map[string]deployment{
	"plain": {&plainContact{}, using(func(id int64, name, phone string) plainContact {
		return plainContact{ID: id, Name: name, Phone: phone}
	})},
	"reading": {&readingContact{}, using(func(id int64, name, phone string) readingContact {
		return readingContact{ID: id, Name: name, Phone: phone}
	})},
	"writing": {&writingContact{}, using(func(id int64, name, phone string) writingContact {
		return writingContact{ID: id, Name: name, Phone: phone}
	})},
	"settled": {&settledContact{}, using(func(id int64, name, phone string) settledContact {
		return settledContact{ID: id, Name: name, Phone: phone}
	})},
}
