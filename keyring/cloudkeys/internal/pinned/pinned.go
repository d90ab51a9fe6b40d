// Package pinned holds the openers of keepers that gocloud.dev has too, but that
// decrypt with one key only here.
package pinned

import "gocloud.dev/secrets"

// Openers are asked before those of gocloud.dev.
var Openers secrets.URLMux
