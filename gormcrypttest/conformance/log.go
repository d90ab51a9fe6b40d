package conformance

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gorm.io/gorm/logger"
)

// transcript is all that a row makes GORM say.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Printf is what GORM's default logger writes with.
func (l *transcript) Printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(&l.text, format+"\n", args...)
}

// Write is what slog writes with.
func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// logger returns the two loggers that GORM has, at their most talkative, each
// once with every statement slow and once with none.
func (l *transcript) logger() logger.Interface {
	structured := slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var all loggers
	for _, slow := range []time.Duration{0, time.Nanosecond} {
		config := logger.Config{LogLevel: logger.Info, SlowThreshold: slow}
		all = append(all, logger.New(l, config), logger.NewSlogLogger(structured, config))
	}
	return all
}

// loggers log to all of them.
type loggers []logger.Interface

// LogMode changes nothing: a program that asks for silence gets none here.
func (l loggers) LogMode(logger.LogLevel) logger.Interface { return l }

// Info logs a message.
func (l loggers) Info(ctx context.Context, message string, args ...any) {
	for _, one := range l {
		one.Info(ctx, message, args...)
	}
}

// Warn logs a warning.
func (l loggers) Warn(ctx context.Context, message string, args ...any) {
	for _, one := range l {
		one.Warn(ctx, message, args...)
	}
}

// Error logs an error.
func (l loggers) Error(ctx context.Context, message string, args ...any) {
	for _, one := range l {
		one.Error(ctx, message, args...)
	}
}

// Trace logs a statement.
func (l loggers) Trace(ctx context.Context, begin time.Time, statement func() (string, int64), err error) {
	for _, one := range l {
		one.Trace(ctx, begin, statement, err)
	}
}
