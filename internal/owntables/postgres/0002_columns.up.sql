-- How far the migration of a column is.

CREATE TABLE gormcrypt_columns (
	table_name text NOT NULL,
	column_name text NOT NULL,
	state text NOT NULL,
	plan text NOT NULL,
	job text NOT NULL,
	reason text NOT NULL,
	created_at bigint NOT NULL,
	updated_at bigint NOT NULL,
	PRIMARY KEY (table_name, column_name));
