#!/usr/bin/env bash
# Runs the integration tests on PostgreSQL in a container. Its arguments are
# those of go test.
#
# It uses the Docker that answers. Where none does, it starts one of its own, if
# it is root, and stops it at the end: with its images in /var/cache/gormcrypt,
# a socket that nobody else looks at, ports on the loopback interface only, and
# no change to the firewall. Where no registry can be reached either, image.sh
# makes the image.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=/var/cache/gormcrypt
daemon=
say() { echo "container/test.sh: $*" >&2; }

# Containers bear this name, and so can be found however the tests end. It takes
# the place of testcontainers' own reaper, which is an image from a registry.
export TESTCONTAINERS_SESSION_ID=gormcrypt-$$-$RANDOM TESTCONTAINERS_RYUK_DISABLED=true

cleanup() {
	set +e
	trap '' INT TERM
	docker ps -aq --filter "label=org.testcontainers.sessionId=$TESTCONTAINERS_SESSION_ID" 2>/dev/null |
		while read -r container; do docker rm -fv "$container" >/dev/null; done
	if [ -n "$daemon" ]; then
		kill "$daemon" 2>/dev/null
		wait "$daemon"
	fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_docker() {
	say "no Docker answers: starting one"
	mkdir -p "$cache"
	exec 9>"$cache/lock"
	flock -n 9 || { say "waiting for another run to end"; flock 9; }
	export DOCKER_HOST=unix://$cache/docker.sock TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1
	# In a session of its own, where Ctrl-C does not reach it before its
	# containers are gone. It ends with this script, however that ends. The
	# storage driver is the one that works on every file system.
	setsid setpriv --pdeathsig TERM dockerd --host="$DOCKER_HOST" --data-root="$cache/docker" \
		--storage-driver=vfs --ip=127.0.0.1 --iptables=false --ip-forward=false >"$cache/dockerd.log" 2>&1 9>&- &
	daemon=$!
	for _ in {1..600}; do
		if docker container prune -f >/dev/null 2>&1; then return; fi # what a killed run left
		kill -0 "$daemon" 2>/dev/null || break
		sleep 0.1
	done
	say "dockerd does not start:"
	tail -n 20 "$cache/dockerd.log" >&2
	exit 1
}

if ! answer=$(docker ps -q 2>&1); then
	if [ -n "${DOCKER_HOST-}" ] || [ "$(id -u)" != 0 ] || ! command -v dockerd >/dev/null; then
		say "no Docker answers: $answer"
		say "start it; or install it (Debian: apt-get install docker.io) and run this as root, without DOCKER_HOST, and it is started"
		exit 1
	fi
	start_docker
fi

if [ -z "${GORMCRYPT_TEST_POSTGRES_IMAGE-}" ]; then
	image=$(sed -n 's/^const image = "\(.*\)"$/\1/p' testdb/postgres.go)
	if ! docker image inspect "$image" >/dev/null 2>&1 && ! docker pull -q "$image"; then
		say "cannot pull $image"
		image=$(container/image.sh)
	fi
	export GORMCRYPT_TEST_POSTGRES_IMAGE=$image
fi
go test "$@"
