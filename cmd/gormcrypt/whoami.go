package main

import (
	"os"
	"os/user"
	"strconv"
)

// whoami names the user of the machine, for those who look at what was done.
func whoami() string {
	if account, err := user.Current(); err == nil {
		return account.Username
	}
	return "uid " + strconv.Itoa(os.Getuid())
}
