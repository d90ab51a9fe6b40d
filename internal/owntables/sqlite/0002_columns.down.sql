DROP TABLE gormcrypt_columns;
