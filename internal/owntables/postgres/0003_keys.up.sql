-- The keys of the keyring, wrapped, and the processes that use them. Times are
-- milliseconds since 1970 by the clock of the database.

CREATE TABLE gormcrypt_keys (
	version text PRIMARY KEY,
	state text NOT NULL,
	changed bigint NOT NULL,
	check_value text NOT NULL,
	kek text NOT NULL,
	wrapped text NOT NULL,
	tag text NOT NULL,
	created_at bigint NOT NULL,
	retired_at bigint NOT NULL);

CREATE TABLE gormcrypt_key_processes (
	id text PRIMARY KEY,
	name text NOT NULL,
	generation bigint NOT NULL,
	writes text NOT NULL,
	started_at bigint NOT NULL,
	seen_at bigint NOT NULL,
	expires_at bigint NOT NULL);
