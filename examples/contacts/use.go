package main

import (
	"fmt"

	"gorm.io/gorm"
)

// number is the phone number of a contact.
func number(id int64) string { return fmt.Sprintf("+44 20 7946 %06d", id) }

// using returns what the application does: it adds contacts, finds the latest by its
// number, and makes sure that every number is as it was written. Nothing in it says that
// anything is encrypted.
func using[Contact contact](row func(id int64, name, phone string) Contact) func(*gorm.DB, int) error {
	return func(db *gorm.DB, add int) error {
		var before int64
		if err := db.Model(new(Contact)).Count(&before).Error; err != nil {
			return err
		}
		total := before + int64(add)
		var rows []Contact
		for id := before + 1; id <= total; id++ {
			rows = append(rows, row(id, fmt.Sprintf("contact %d", id), number(id)))
		}
		if len(rows) > 0 {
			if err := db.CreateInBatches(rows, 500).Error; err != nil {
				return err
			}
		}
		var found []int64
		if err := db.Model(new(Contact)).Where("phone = ?", number(total)).Pluck("id", &found).Error; err != nil {
			return err
		}
		if len(found) != 1 || found[0] != total {
			return fmt.Errorf("contact %d is not found by its number: %v", total, found)
		}
		wrong, err := wrongNumbers[Contact](db)
		if err != nil {
			return err
		}
		fmt.Printf("%d contacts, %d new; found the last by its number; %d wrong numbers\n", total, add, wrong)
		return nil
	}
}

func wrongNumbers[Contact contact](db *gorm.DB) (wrong int, err error) {
	var some []Contact
	err = db.FindInBatches(&some, 1000, func(*gorm.DB, int) error {
		for _, contact := range some {
			if id, phone := contact.values(); phone != number(id) {
				wrong++
			}
		}
		return nil
	}).Error
	return wrong, err
}
