package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/database"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/settings"
	"github.com/gormcrypt/gormcrypt/cmd/gormcrypt/internal/terminal"
)

// defaultAuditLog is beside the settings file, or in the working directory.
const defaultAuditLog = "gormcrypt-audit.log"

// disclosure is what the audit log keeps of a value that somebody wanted to see: who,
// where, what and why, and never the value. A line of the log is one.
type disclosure struct {
	Time time.Time `json:"time"`
	// User is the account, and SudoUser who became it, as sudo says. A user of the
	// machine can set that one to anything.
	User       string `json:"user"`
	SudoUser   string `json:"sudo_user,omitempty"`
	Host       string `json:"host"`
	Database   string `json:"database"`
	Table      string `json:"table"`
	Key        string `json:"key"`
	Column     string `json:"column"`
	KeyVersion string `json:"key_version,omitempty"`
	Outcome    string `json:"outcome"`
	Reason     string `json:"reason"`
}

// newDisclosure fills in who asks, and of which database.
func newDisclosure(s *settings.Settings, lookup func(string) (string, bool)) disclosure {
	d := disclosure{Time: time.Now().UTC(), User: whoami(), Database: database.Name(s.Database)}
	d.SudoUser, _ = lookup("SUDO_USER")
	d.Host, _ = os.Hostname()
	return d
}

// auditLogPath is where the log is, or will be.
func auditLogPath(s *settings.Settings) string {
	if s.AuditLog != "" {
		return s.AuditLog
	}
	return filepath.Join(filepath.Dir(s.File), defaultAuditLog)
}

// auditLog is a file that lines are added to.
type auditLog struct{ file *os.File }

// openAuditLog opens the log, so that it is known before anything is read that it can be
// written.
func openAuditLog(s *settings.Settings) (*auditLog, error) {
	file, err := os.OpenFile(auditLogPath(s), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%w: the audit log: %w; nothing is revealed without it: set audit_log to a file that this user may write", errRefused, err)
	}
	return &auditLog{file}, nil
}

// add adds a line, and returns when it is on the disk.
func (l *auditLog) add(d disclosure) error {
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	// One write, so that lines of two processes do not mix. Who reads the log may do so
	// in a terminal, and reasons and keys have characters of their own.
	_, err = l.file.Write(append(terminal.EscapeJSON(line), '\n'))
	if err = errors.Join(err, l.file.Sync()); err != nil {
		return fmt.Errorf("%w: the audit log: %w; nothing is revealed without it: set audit_log to a file that this user may write", errRefused, err)
	}
	return nil
}
