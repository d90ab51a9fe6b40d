package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"
)

// recorder remembers what was answered, for the log.
type recorder struct {
	http.ResponseWriter
	user, upstream string
	status         int
	bytes          int64
	cause          error
}

// WriteHeader passes a status on. Those below 200 come from the upstream before
// its response, with headers that nobody has searched, and are dropped.
func (w *recorder) WriteHeader(status int) {
	if status < 200 {
		return
	}
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController, which flushes.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// refuse gives an answer of the injector's own.
func (w *recorder) refuse(r *refusal) {
	w.cause = r.cause
	w.Header().Set(errorHeader, r.reason)
	http.Error(w, r.reason, r.status)
}

// record writes a line for each request. It has the path without the query, where
// applications put what is nobody's business, and neither headers nor bodies.
func (p *proxy) record(w *recorder, r *http.Request, start time.Time) {
	if w.cause == nil && r.Context().Err() != nil { // after the response has begun
		w.cause = r.Context().Err()
	}
	level := slog.LevelInfo
	attributes := []slog.Attr{
		slog.String("user", w.user), slog.String("upstream", w.upstream),
		slog.String("method", r.Method), slog.String("path", r.URL.EscapedPath()),
		slog.Int("status", w.status), slog.Int64("bytes", w.bytes), slog.Duration("duration", time.Since(start)),
	}
	if w.cause != nil {
		attributes = append(attributes, slog.String("error", w.cause.Error()))
		cut, left := w.status < 400, errors.Is(w.cause, context.Canceled)
		if (cut || w.status >= 500) && !left {
			level = slog.LevelError
		}
	}
	p.log.LogAttrs(r.Context(), level, "request", attributes...)
}
