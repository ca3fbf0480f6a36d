-- What Go's driver sends, from the general log; GORM and others send what its parameters say.

-- == go-sql-driver by itself
\prepared SELECT 42
START TRANSACTION
COMMIT

-- == go-sql-driver with GORM's usual parameters
-- charset=utf8mb4&parseTime=True&loc=Local
SET NAMES utf8mb4
\prepared SELECT 42
SELECT VERSION()
START TRANSACTION
COMMIT
-- db.Ping()
\ping

-- == go-sql-driver with system variables
-- charset=utf8mb4,utf8&time_zone=%27%2B00%3A00%27&sql_mode=TRADITIONAL&tx_isolation=%27READ-COMMITTED%27&maxAllowedPacket=0
SELECT @@max_allowed_packet
SET NAMES utf8mb4
SET time_zone='+00:00'
SET sql_mode=TRADITIONAL
SET tx_isolation='READ-COMMITTED'
SET transaction_isolation='READ-COMMITTED'
\prepared SELECT 42

-- == go-sql-driver, several variables at once
-- Versions since 1.8 send them in one statement.
\flags multi_statements multi_results found_rows
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci
SET autocommit=1, sql_mode='STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout=3
SELECT 42

-- == go-sql-driver in another character set
\flags multi_statements multi_results found_rows
SET autocommit=1
SET NAMES latin1
SELECT 42
