-- What Rust's libraries send, from their sources.

-- == sqlx
\flags found_rows ignore_space multi_statements multi_results
SET sql_mode=(SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT,NO_ENGINE_SUBSTITUTION')),time_zone='+00:00',NAMES utf8mb4 COLLATE utf8mb4_unicode_ci;
\prepared SELECT 42
\ping

-- == Diesel
\flags found_rows multi_results
SET sql_mode=(SELECT CONCAT(@@sql_mode, ',PIPES_AS_CONCAT'))
SET time_zone = '+00:00';
SET character_set_client = 'utf8mb4'
SET character_set_connection = 'utf8mb4'
SET character_set_results = 'utf8mb4'
\prepared SELECT 42

-- == mysql_async
\flags found_rows multi_statements multi_results
SELECT @@max_allowed_packet,@@wait_timeout
SELECT @@socket
\reset
SET NAMES utf8mb4
