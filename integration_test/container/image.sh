#!/usr/bin/env bash
# Makes an image of PostgreSQL out of Debian's packages, for machines that reach
# no image registry, and prints its name. Where it is there already, it only
# does the latter. It takes about a minute, a Debian machine, and root.
set -euo pipefail
cd "$(dirname "$0")"
say() { echo "$*" >&2; }

# shellcheck disable=SC1091
codename=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
# What the image is made of. When that changes, it is made again.
recipe=$( (cat image.sh entrypoint.sh && echo "$codename") | sha256sum | cut -c-16)
name=$(docker image ls --filter "label=gormcrypt.recipe=$recipe" --format '{{.Repository}}:{{.Tag}}' gormcrypt-postgres)
if [ -n "$name" ]; then
	echo "$name"
	exit
fi

[ "$(id -u)" = 0 ] || { say "making an image of PostgreSQL takes root"; exit 1; }
command -v debootstrap >/dev/null || { say "making an image of PostgreSQL takes debootstrap (Debian: apt-get install debootstrap)"; exit 1; }

# The mirror is that of this machine's own sources, as apt reads them.
mirror() {
	# shellcheck disable=SC2016 # apt expands it
	apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
		'Origin: Debian' "Codename: $codename" 'Component: main' | sed -n 1p
}
mirror=$(mirror)
if [ -z "$mirror" ]; then # perhaps apt has not read the archive yet
	apt-get update -qq >&2
	mirror=$(mirror)
fi
[ -n "$mirror" ] || { say "apt's sources name no archive of Debian ${codename:-(no codename in /etc/os-release)}"; exit 1; }

work=$(mktemp -d)
root=$work/root
cleanup() {
	# debootstrap does this itself, unless it is killed.
	umount "$root/proc" "$root/sys" 2>/dev/null || true
	rm -rf --one-file-system "$work"
}
trap cleanup EXIT
say "making an image of PostgreSQL out of Debian's packages"
debootstrap --variant=minbase --include=postgresql "$codename" "$root" "$mirror" >"$work/log" 2>&1 ||
	{ tail -n 20 "$work/log" >&2; exit 1; }
install entrypoint.sh "$root/entrypoint.sh"
major=$(ls "$root/usr/lib/postgresql")
# Named only when all of it has arrived.
id=$(tar -C "$root" -c \
	--exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' \
	--exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/lib/postgresql/*' \
	--exclude=./usr/share/{doc,locale,man} . |
	docker import \
		--change 'USER postgres' \
		--change "ENV PATH=/usr/lib/postgresql/$major/bin:/usr/bin:/bin PGDATA=/var/lib/postgresql/data" \
		--change 'EXPOSE 5432' \
		--change 'ENTRYPOINT ["/entrypoint.sh"]' \
		--change 'CMD ["postgres"]' \
		--change "LABEL gormcrypt.recipe=$recipe" \
		-)
name=gormcrypt-postgres:$major
docker tag "$id" "$name"
docker image prune -f --filter label=gormcrypt.recipe >/dev/null # the one before
echo "$name"
