package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gorm.io/gorm"
)

// program is what the application does with its customers, in one deployment.
type program struct {
	create, change func(id int64, email string) error
	read           func(id int64) (email string, err error)
	find           func(email string) (ids []int64, err error)
	remove         func(id int64) error
	// each goes through all customers.
	each func(func(id int64, email string) error) error
}

// programOf returns the program with a model, of which it is told how to make a row
// and what is in one. Nothing in it says that anything is encrypted.
func programOf[Customer any](db *gorm.DB, row func(id int64, email string) Customer, values func(Customer) (id int64, email string)) *program {
	return &program{
		create: func(id int64, email string) error {
			customer := row(id, email)
			return db.Create(&customer).Error
		},
		change: func(id int64, email string) error {
			return db.Model(new(Customer)).Where("id = ?", id).Update("email", email).Error
		},
		read: func(id int64) (string, error) {
			var customer Customer
			err := db.Take(&customer, id).Error
			_, email := values(customer)
			return email, err
		},
		find: func(email string) (ids []int64, err error) {
			err = db.Model(new(Customer)).Where("email = ?", email).Pluck("id", &ids).Error
			return ids, err
		},
		remove: func(id int64) error { return db.Delete(new(Customer), id).Error },
		each: func(visit func(int64, string) error) error {
			var some []Customer
			return db.FindInBatches(&some, 5000, func(*gorm.DB, int) error {
				for _, customer := range some {
					if err := visit(values(customer)); err != nil {
						return err
					}
				}
				return nil
			}).Error
		},
	}
}

// application reads, writes and searches, and knows what it wrote. Its parts could be
// processes: each has a program of its own, and customers of its own.
type application struct {
	rows  int64 // customers that were there before, of which initial tells the address
	parts [4]*part

	mu      sync.Mutex
	calls   int
	slowest time.Duration
}

type part struct {
	number int64
	mu     sync.Mutex
	*program
	// written are the addresses that it wrote, empty for customers that it deleted.
	written map[int64]string
}

// initial is the address of a customer that was there before.
func initial(id int64) string { return fmt.Sprintf("customer%d@example.org", id) }

// start starts the application, which ends with ctx. What it returns waits for that.
// If a call fails, or gives another value than was written, fail is told.
func start(ctx context.Context, rows int64, program *program, fail func(error)) (*application, func()) {
	a := &application{rows: rows}
	var group sync.WaitGroup
	for i := range a.parts {
		p := &part{number: int64(i), program: program, written: map[int64]string{}}
		a.parts[i] = p
		group.Go(func() {
			for ctx.Err() == nil {
				if err := a.act(p); err != nil {
					fail(fmt.Errorf("the application: %w", err))
					return
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	return a, group.Wait
}

// roll replaces the program of each part by another, one after the other, so that both
// run side by side for a while.
func (a *application) roll(ctx context.Context, next *program) error {
	for _, p := range a.parts {
		p.mu.Lock()
		p.program = next
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(250 * time.Millisecond):
		}
	}
	return nil
}

// want is the address of a customer, empty if there is none.
func (a *application) want(p *part, id int64) string {
	email, ok := p.written[id]
	if !ok && id <= a.rows {
		return initial(id)
	}
	return email
}

// act does one thing with one customer.
func (a *application) act(p *part) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	// There is room for a tenth more than there were.
	id := rand.Int64N(a.rows*11/10/int64(len(a.parts)))*int64(len(a.parts)) + p.number + 1
	email, next := a.want(p, id), fmt.Sprintf("customer%d-%d@example.org", id, rand.IntN(1e9))
	defer func(began time.Time) {
		if err != nil {
			err = fmt.Errorf("customer %d: %w", id, err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.calls++
		a.slowest = max(a.slowest, time.Since(began))
	}(time.Now())
	switch what := rand.IntN(10); {
	case email == "":
		if _, err := p.read(id); !errors.Is(err, gorm.ErrRecordNotFound) {
			return fmt.Errorf("it is there, and was not created, or was deleted: %v", err)
		}
		p.written[id] = next
		return p.create(id, next)
	case what == 0:
		p.written[id] = ""
		return p.remove(id)
	case what < 4:
		p.written[id] = next
		return p.change(id, next)
	case what < 7:
		found, err := p.find(email)
		if err == nil && !slices.Equal(found, []int64{id}) {
			err = fmt.Errorf("by its address, customers %v were found", found)
		}
		return err
	}
	got, err := p.read(id)
	if err == nil && got != email {
		err = errors.New("it has another address than was written")
	}
	return err
}

// check holds the application, and compares every customer with what it wrote, by a
// program. It returns how many there are.
func (a *application) check(by *program) (n int64, err error) {
	want := int64(0)
	for _, p := range a.parts {
		p.mu.Lock()
		defer p.mu.Unlock()
		for id, email := range p.written {
			switch was := id <= a.rows; {
			case was && email == "":
				want--
			case !was && email != "":
				want++
			}
		}
	}
	want += a.rows
	err = by.each(func(id int64, email string) error {
		n++
		if email == "" || email != a.want(a.parts[(id-1)%int64(len(a.parts))], id) {
			return fmt.Errorf("customer %d does not have the address that was written", id)
		}
		return nil
	})
	if err == nil && n != want {
		err = fmt.Errorf("there are %d customers, want %d", n, want)
	}
	return n, err
}

// since returns how many calls were made since it was called last, and the time of the
// slowest.
func (a *application) since() (calls int, slowest time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls, slowest = a.calls, a.slowest
	a.calls, a.slowest = 0, 0
	return calls, slowest
}
