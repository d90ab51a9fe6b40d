#!/usr/bin/env bash
# Prints the statement coverage of the library's packages by the unit tests and
# the integration tests together, and fails where one of those that matter most
# has less than 90 %.
set -euo pipefail
cd "$(dirname "$0")"
module=github.com/gormcrypt/gormcrypt
packages=$module,$module/ciphertext,$module/keyring,$module/encryptedtype,$module/internal/sqltext
data=$(mktemp -d)
log=$(mktemp)
trap 'rm -rf "$data" "$log"' EXIT
go test -count=1 -cover -coverpkg="$packages" ./... $(go list ./integration_test/... | grep -v /cli) -args -test.gocoverdir="$data" >"$log" || { cat "$log"; exit 1; }
go tool covdata percent -i="$data" | tee "$data/percent"
awk -v module="$module" '
	$1 == module || $1 == module "/ciphertext" || $1 == module "/keyring" {
		seen++
		if ($3 + 0 < 90) { print "below 90 %: " $1; failed = 1 }
	}
	END { exit failed || seen != 3 }
' "$data/percent"
