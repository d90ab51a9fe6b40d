DROP TABLE gormcrypt_key_processes;

DROP TABLE gormcrypt_keys;
