#!/bin/bash
# The entrypoint of the image that image.sh makes. It does what the official
# image's does, as far as the tests need it: the same variables, and a server
# that listens on every address of the container.
set -euo pipefail
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
	initdb --username="$user" --pwfile=<(echo "$POSTGRES_PASSWORD") \
		--auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
	echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
	echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
	if [ "$database" != postgres ]; then
		echo "CREATE DATABASE \"$database\"" | postgres --single postgres
	fi
fi
exec "$@"
