package main

import (
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manDate is the same in every build, so that pages differ only if the text does.
var manDate = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// manCommand writes the man pages, for those who make packages.
func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write the man pages to a directory", Hidden: true,
		Args: args(cobra.ExactArgs(1)), Annotations: withoutSettings,
		RunE: func(cmd *cobra.Command, given []string) error {
			info, err := os.Stat(given[0])
			if err == nil && !info.IsDir() {
				err = &fs.PathError{Op: "man", Path: given[0], Err: fs.ErrInvalid}
			}
			if err != nil {
				return fmt.Errorf("%w: %w; make the directory first", errUsage, err)
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			return doc.GenManTree(root, &doc.GenManHeader{Section: "1", Source: "gormcrypt", Manual: "gormcrypt", Date: &manDate}, given[0])
		},
	}
}
