-- What PHP's drivers and frameworks send.

-- == PDO with an init command, and mysqli, from the general log
\flags multi_statements multi_results
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci
-- ATTR_AUTOCOMMIT
SET AUTOCOMMIT=0
SELECT 42
COMMIT
SET AUTOCOMMIT=1

-- == Laravel since 11
\flags multi_statements multi_results
use `test`;
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED;
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_unicode_ci', time_zone='+00:00', SESSION sql_mode='ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION';
\prepared SELECT 42

-- == Laravel before 11, strict
-- It has PDO prepare all statements on the server, also these.
\flags multi_statements multi_results
use `test`;
\prepared set names 'utf8mb4' collate 'utf8mb4_unicode_ci'
\prepared set time_zone="+00:00"
\prepared set session sql_mode='ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'
\prepared SELECT 42

-- == Laravel before 11, not strict
\flags multi_statements multi_results
use `test`;
\prepared set names 'utf8mb4'
\prepared set session sql_mode='NO_ENGINE_SUBSTITUTION'

-- == WordPress
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_520_ci
SELECT @@SESSION.sql_mode
-- Without the modes that it can't work with.
SET SESSION sql_mode='ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'
\database test

-- == Drupal
\flags found_rows
SET NAMES utf8mb4 COLLATE utf8mb4_general_ci
SET SESSION sql_mode = 'ANSI,TRADITIONAL'
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED

-- == Magento
\flags multi_statements multi_results
SET NAMES utf8
SET SQL_MODE=''
SET time_zone = '+00:00'
-- Its installer and its indexers.
SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO'
SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0
SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO'
\probe @OLD_FOREIGN_KEY_CHECKS, @OLD_SQL_MODE

-- == Doctrine and Symfony with options of their own
\flags multi_statements multi_results
SET NAMES utf8mb4
SET SESSION sql_mode=(SELECT REPLACE(@@sql_mode,'ONLY_FULL_GROUP_BY',''))
SET time_zone = '+01:00', lc_time_names = 'de_DE'
