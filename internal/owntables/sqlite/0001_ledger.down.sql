DROP TABLE gormcrypt_quarantine;
DROP TABLE gormcrypt_shards;
DROP TABLE gormcrypt_jobs;
