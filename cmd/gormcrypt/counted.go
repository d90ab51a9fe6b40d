package main

import (
	"strconv"
	"strings"
)

// counted returns a number with its noun: "1 row", "2 indexes", "3 processes".
func counted(n int64, noun string) string {
	text := strconv.FormatInt(n, 10) + " " + noun
	switch {
	case n == 1:
		return text
	case strings.HasSuffix(noun, "x"), strings.HasSuffix(noun, "s"):
		return text + "es"
	}
	return text + "s"
}
