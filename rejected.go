package gormcrypt

import (
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"
)

// FirstOrCreate sets the fields of a new row to the conditions and attributes, and
// loses the errors of that: they go to a *gorm.DB that nobody looks at, and the
// row is stored without the values. What could not be set is kept here until
// the Create that follows, which then fails.

var (
	rejected      sync.Map // unsafe.Pointer of a row -> error
	rejectedCount atomic.Int64
)

// reject keeps the error of a row that FirstOrCreate is about to create.
func reject(row reflect.Value, err error) {
	if row = reflect.Indirect(row); !row.CanAddr() || !insideFirstOrCreate() {
		return
	}
	if _, already := rejected.LoadOrStore(row.Addr().UnsafePointer(), err); !already {
		rejectedCount.Add(1)
	}
}

// insideFirstOrCreate looks where it was called from. That a value does not fit
// is rare, and nothing else tells.
func insideFirstOrCreate() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "gorm.io/gorm.(*DB).FirstOrCreate") {
			return true
		}
		if !more {
			return false
		}
	}
}

// checkRejected has the Create of such a row fail.
func checkRejected(db *gorm.DB) {
	if rejectedCount.Load() == 0 {
		return
	}
	if row := db.Statement.ReflectValue; row.IsValid() && row.CanAddr() {
		if err, ok := rejected.LoadAndDelete(row.Addr().UnsafePointer()); ok {
			rejectedCount.Add(-1)
			_ = db.AddError(err.(error))
		}
	}
}
