-- What is known of jobs. An earlier build made these tables without this file, so
-- they may be there. Times are milliseconds since 1970 by the clock of the database.

CREATE TABLE IF NOT EXISTS gormcrypt_jobs (
	id text PRIMARY KEY,
	plan_hash text NOT NULL,
	plan text NOT NULL,
	state text NOT NULL,
	phase text NOT NULL,
	pass bigint NOT NULL,
	limits text NOT NULL,
	total bigint NOT NULL,
	reason text NOT NULL,
	settling_until bigint NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL);

CREATE TABLE IF NOT EXISTS gormcrypt_shards (
	job text NOT NULL REFERENCES gormcrypt_jobs (id),
	number bigint NOT NULL,
	table_number bigint NOT NULL,
	from_key text,
	upto_key text,
	after_key text,
	done bigint NOT NULL,
	owner text NOT NULL,
	lease_until bigint NOT NULL,
	fence bigint NOT NULL,
	pass_read bigint NOT NULL,
	rows_read bigint NOT NULL DEFAULT 0,
	bytes_read bigint NOT NULL DEFAULT 0,
	swapped bigint NOT NULL DEFAULT 0,
	superseded bigint NOT NULL DEFAULT 0,
	deleted bigint NOT NULL DEFAULT 0,
	deferred bigint NOT NULL DEFAULT 0,
	poisoned bigint NOT NULL DEFAULT 0,
	PRIMARY KEY (job, number));

CREATE TABLE IF NOT EXISTS gormcrypt_quarantine (
	job text NOT NULL REFERENCES gormcrypt_jobs (id),
	table_name text NOT NULL,
	row_key text NOT NULL,
	column_name text NOT NULL,
	key_version text NOT NULL,
	reason text NOT NULL,
	refused bigint NOT NULL,
	fingerprint text NOT NULL,
	noted_at bigint NOT NULL,
	PRIMARY KEY (job, table_name, row_key, column_name));
