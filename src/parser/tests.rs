use super::StatementKind as K;
use super::*;

const DEFAULT: SqlMode = SqlMode {
    ansi_quotes: false,
    no_backslash_escapes: false,
    charset: Charset::Plain,
    server: Server { mariadb: false, version: 0 },
    one_statement: false,
};
const ONE: SqlMode = SqlMode { one_statement: true, ..DEFAULT };
const ANSI: SqlMode = SqlMode { ansi_quotes: true, ..DEFAULT };
const NO_ESCAPES: SqlMode = SqlMode { no_backslash_escapes: true, ..DEFAULT };
const GBK: SqlMode = SqlMode { charset: Charset::Gbk, ..DEFAULT };

const CHARSETS: [Charset; 6] =
    [Charset::Plain, Charset::Big5, Charset::Cp932, Charset::Gb18030, Charset::Gbk, Charset::Sjis];
const SERVERS: [Server; 5] = [
    Server { mariadb: false, version: 0 },
    Server { mariadb: false, version: 50744 },
    Server { mariadb: false, version: 90704 },
    Server { mariadb: true, version: 100038 },
    Server { mariadb: true, version: 101119 },
];

/// Text, kind, and the names of the hazards.
type Row = (&'static str, StatementKind, &'static str);

fn check(mode: SqlMode, rows: &[Row]) {
    for (sql, kind, names) in rows {
        let expected = (*kind, hazards(names));
        let found = |sql: &str| {
            let facts = facts(sql.as_bytes(), mode);
            let untested = Hazards::SELECTS
                | Hazards::SHOWS_TABLE
                | Hazards::MAY_CALL
                | Hazards::ONE_SHOT
                | Hazards::RETURNING
                | Hazards::MISREAD
                | Hazards::OTHER_KIND;
            // These have tests of their own.
            (facts.kind, facts.hazards - untested)
        };
        assert_eq!(found(sql), expected, "{sql}");
        // Case and blanks have no meaning where nothing is quoted.
        if !sql.contains(['\'', '"', '`', '-', '#', '\n', '*']) {
            let other = format!("\r\n\t{} ;\x0c", sql.to_uppercase().replace(' ', " /* , ; ( ' */ \n"));
            assert_eq!(found(&other), expected, "{other}");
        }
    }
}

fn hazards(names: &str) -> Hazards {
    names.split_whitespace().map(|name| Hazards::from_name(name).expect("a hazard's name")).collect()
}

const PLAIN: &[Row] = &[
    ("", K::Empty, ""),
    (" \n;; ; ", K::Empty, ""),
    ("-- a comment", K::Empty, ""),
    ("/* a */ # b\n-- c\n--\t/*", K::Empty, ""),
    ("/*", K::Empty, ""),
    ("SELECT c FROM sbtest1 WHERE id=5032", K::Select, ""),
    ("(select 1) union (select 2)", K::Select, "OTHER_FOUND_ROWS"),
    ("select a from t limit 5", K::Select, ""),
    ("select a from t limit 2, 5", K::Select, "OTHER_FOUND_ROWS"),
    ("select a from t limit ? offset ?", K::Select, "OTHER_FOUND_ROWS"),
    ("((select 1))", K::Select, ""),
    ("table t", K::Select, ""),
    ("select 1;", K::Select, ""),
    ("select 1; -- done", K::Select, ""),
    ("insert into t values (1)", K::Insert, "WRITES"),
    ("update t set c=1 where id=2", K::Update, "WRITES"),
    ("delete from t", K::Delete, "WRITES"),
    ("replace into t values (1)", K::Replace, "WRITES"),
    ("values row(1)", K::Values, ""),
    ("with a as (select 1) select * from a", K::With, ""),
    ("with a (x) as (select replace(b, 1, 2) from t for update) select * from a", K::With, "LOCKING_READ"),
    ("with a as (select 1) update t, a set t.c=1", K::With, "WRITES"),
    ("with recursive a as (select 1) delete from t", K::With, "WRITES"),
    ("show tables", K::Show, ""),
    ("show create table t", K::Show, ""),
    ("show processlist", K::Show, "PROCESSLIST"),
    ("show variables", K::Show, "TRACKERS"),
    ("show session variables where variable_name = 'a'", K::Show, "TRACKERS"),
    ("show local variables like 'SESSION\\_track%'", K::Show, "TRACKERS"),
    ("show variables like '%schema'", K::Show, "TRACKERS"),
    ("show variables like 'sql_mode'", K::Show, ""),
    ("show global variables", K::Show, ""),
    ("select @@session_track_state_change", K::Select, "TRACKERS SYSTEM_VARIABLE"),
    (
        "select @@local.session_track_schema, @@global.session_track_schema",
        K::Select,
        "TRACKERS SYSTEM_VARIABLE",
    ),
    ("select @@global.session_track_transaction_info", K::Select, "SYSTEM_VARIABLE"),
    ("set session session_track_transaction_info = off", K::Set, "SET_SESSION TRACKERS"),
    ("set sql_mode = '', session_track_system_variables = '*'", K::Set, "SET_SESSION TRACKERS"),
    ("select @@session_track_system_variables", K::Select, "TRACKERS SYSTEM_VARIABLE"),
    ("select * from information_schema.Session_Variables", K::Select, "TRACKERS SERVER_TABLES"),
    ("select * from session_variables", K::Select, "TRACKERS"),
    ("select * from `information_schema`.`system_variables`", K::Select, "TRACKERS SERVER_TABLES"),
    ("select * from `variables_by_thread`", K::Select, "TRACKERS"),
    ("select * from global_variables", K::Select, ""),
    ("select @@global.session_track_system_variables", K::Select, "SYSTEM_VARIABLE"),
    ("set global session_track_schema = off", K::Set, "NEW_ERA"),
    ("show full processlist", K::Show, "PROCESSLIST FULL_PROCESSLIST"),
    ("show full tables", K::Show, ""),
    ("show processlist like a", K::Show, ""),
    ("use test", K::Use, "USE_DB"),
    ("do sleep(1)", K::Do, ""),
    ("explain select 1", K::Explain, "EXPLAINS_READ"),
    ("desc t", K::Explain, ""),
    ("describe t", K::Explain, ""),
    ("kill query 5", K::Kill, "KILL"),
    ("analyze table t", K::Admin, "WRITES"),
    ("checksum table t", K::Admin, ""),
    ("start slave", K::Admin, "WRITES"),
    ("start group_replication", K::Admin, "WRITES"),
    ("help contents", K::Other, ""),
    ("grant select on *.* to 'a'@'b'", K::Admin, "WRITES NEW_ERA"),
    ("revoke select on *.* from 'a'@'b'", K::Admin, "WRITES NEW_ERA"),
    ("create or replace user a", K::Ddl, "WRITES NEW_ERA"),
    ("alter user a identified by 'b'", K::Ddl, "WRITES NEW_ERA"),
    ("drop role a", K::Ddl, "WRITES NEW_ERA"),
    ("rename user a to b", K::Ddl, "WRITES NEW_ERA"),
    ("rename table user to b", K::Ddl, "WRITES"),
    ("frobnicate t", K::Other, "UNSURE WRITES"),
    (")", K::Other, "UNSURE WRITES"),
    ("'select'", K::Other, "UNSURE WRITES"),
    ("`select` 1", K::Other, "UNSURE WRITES"),
    ("begin not atomic select 1", K::Other, "UNSURE WRITES"),
    ("binlog 'abc'", K::Admin, "UNSURE WRITES"),
];

const TRANSACTIONS: &[Row] = &[
    ("begin", K::Begin, ""),
    ("begin work", K::Begin, ""),
    ("start transaction", K::Begin, ""),
    ("start transaction read only", K::Begin, "READ_ONLY_TRANSACTION"),
    (
        "start transaction with consistent snapshot, read only",
        K::Begin,
        "CONSISTENT_SNAPSHOT READ_ONLY_TRANSACTION",
    ),
    ("start transaction read write, with consistent snapshot", K::Begin, "CONSISTENT_SNAPSHOT"),
    ("commit", K::Commit, ""),
    ("commit work and no chain no release", K::Commit, ""),
    ("commit and chain", K::Commit, "CHAIN"),
    ("rollback and no chain release", K::Rollback, "RELEASE"),
    ("rollback", K::Rollback, ""),
    ("commit no", K::Commit, ""),
    ("rollback work to savepoint a", K::Savepoint, ""),
    ("rollback to a", K::Savepoint, ""),
    ("savepoint a", K::Savepoint, ""),
    ("release savepoint a", K::Savepoint, ""),
    ("xa start 'x'", K::Xa, "XA"),
    ("xa commit 'x' one phase", K::Xa, "XA"),
    ("select * from t where a=1 for update", K::Select, "LOCKING_READ"),
    ("select * from t for share skip locked", K::Select, "LOCKING_READ"),
    ("select * from t lock in share mode", K::Select, "LOCKING_READ"),
    ("select substring(a for 2), for_update from t use index for join (i)", K::Select, ""),
];

const SESSION: &[Row] = &[
    ("select @a", K::Select, "USER_VARIABLE"),
    ("select @a := 1", K::Select, "USER_VARIABLE USER_VARIABLE_WRITE"),
    ("select @'a b':=1", K::Select, "USER_VARIABLE USER_VARIABLE_WRITE"),
    ("select 1 into @a", K::Select, "USER_VARIABLE USER_VARIABLE_WRITE"),
    ("select 1 into@a.b,@c", K::Select, "USER_VARIABLE USER_VARIABLE_WRITE"),
    ("select 1 into outfile '/x'", K::Select, "WRITES INTO_FILE"),
    ("select 1 into dumpfile '/x'", K::Select, "WRITES INTO_FILE"),
    ("insert into t values (@a)", K::Insert, "USER_VARIABLE WRITES"),
    ("set @a = 1", K::Set, "USER_VARIABLE USER_VARIABLE_WRITE"),
    ("set @a = (select 1, 2), sql_mode = ''", K::Set, "USER_VARIABLE USER_VARIABLE_WRITE SET_SESSION"),
    ("show grants for 'a'@'b'", K::Show, ""),
    ("create definer=`a`@`b` view v as select 1", K::Ddl, "WRITES"),
    ("create temporary table t (a int)", K::Ddl, "TEMPORARY_TABLE WRITES"),
    ("create or replace temporary table t as select 1", K::Ddl, "TEMPORARY_TABLE WRITES"),
    ("create table temporary (a int)", K::Ddl, "WRITES"),
    ("drop temporary table if exists t", K::Ddl, "TEMPORARY_TABLE WRITES"),
    ("drop table t", K::Ddl, "WRITES"),
    ("alter table t add c int", K::Ddl, "WRITES"),
    ("truncate t", K::Ddl, "WRITES"),
    ("create procedure p() select get_lock('a', 1), @a", K::Ddl, "WRITES"),
    ("create definer=a@b trigger g before insert on t for each row set @a=1", K::Ddl, "WRITES"),
    ("create function f() returns int begin set @a=1; return 1; end", K::Ddl, "WRITES MULTI UNSURE"),
    ("create table t as select @a", K::Ddl, "USER_VARIABLE WRITES"),
    ("handler t open", K::Handler, "HANDLER"),
    ("lock tables t write, u read", K::Lock, "TABLE_LOCK"),
    ("lock instance for backup", K::Lock, "INSTANCE_LOCK"),
    ("backup stage start", K::Admin, "INSTANCE_LOCK"),
    ("backup lock t", K::Admin, "INSTANCE_LOCK"),
    ("unlock tables", K::Unlock, ""),
    ("flush tables", K::Flush, "WRITES"),
    ("flush local hosts, privileges", K::Flush, "WRITES NEW_ERA"),
    ("set query_cache_type = ON, global query_cache_type = 1", K::Set, "SET_SESSION QUERY_CACHE NEW_ERA"),
    ("flush status", K::Flush, "WRITES SET_SESSION UNREPLAYABLE_SET"),
    ("flush local tables a, b with read lock", K::Flush, "TABLE_LOCK WRITES"),
    ("flush tables t for export", K::Flush, "TABLE_LOCK WRITES"),
    ("call p(1)", K::Call, "CALL WRITES"),
    ("call p(@out)", K::Call, "CALL WRITES USER_VARIABLE USER_VARIABLE_WRITE"),
    ("prepare s from 'select 1'", K::Prepare, "TEXT_PREPARE"),
    ("execute s using @a", K::Execute, "TEXT_PREPARE WRITES USER_VARIABLE USER_VARIABLE_WRITE"),
    ("execute immediate 'select 1'", K::Execute, "TEXT_PREPARE WRITES"),
    ("deallocate prepare s", K::Deallocate, "TEXT_PREPARE"),
    ("drop prepare s", K::Deallocate, "TEXT_PREPARE"),
    ("load data infile 'f' into table t", K::Load, "WRITES"),
    ("load data concurrent local infile 'f' into table local", K::Load, "WRITES LOCAL_INFILE"),
    (
        "load xml local infile 'f' into table t (a, @b)",
        K::Load,
        "WRITES LOCAL_INFILE USER_VARIABLE USER_VARIABLE_WRITE",
    ),
    ("load index into cache t", K::Admin, "WRITES"),
];

const FUNCTIONS: &[Row] = &[
    ("select get_lock('a', 1)", K::Select, "NAMED_LOCK"),
    ("do release_lock ('a')", K::Do, "NAMED_LOCK"),
    ("select release_all_locks/* */\n()", K::Select, "NAMED_LOCK"),
    ("select service_get_write_locks('n', 'a', 1)", K::Select, "NAMED_LOCK"),
    ("select `get_lock`('a', 1)", K::Select, "NAMED_LOCK"),
    ("select 1.get_lock", K::Select, ""),
    ("select 1e5get_lock('a', 1)", K::Select, "NAMED_LOCK"),
    ("select 1.5e-3,get_lock('a', 1)", K::Select, "NAMED_LOCK"),
    ("select 1e,0x1f,0b1,1get_lock(2)", K::Select, ""),
    ("select a.get_lock, get_lock from t get_lock", K::Select, ""),
    ("select a.get_lock('a', 1), a . `get_lock`(1)", K::Select, ""),
    ("select get_locks(1), xget_lock(1), $get_lock(1), \u{e9}get_lock(1)", K::Select, ""),
    ("select sql_calc_found_rows * from t", K::Select, "SQL_CALC_FOUND_ROWS"),
    ("select found_rows(), row_count()", K::Select, "FOUND_ROWS ROW_COUNT"),
    ("select last_insert_id()", K::Select, "LAST_INSERT_ID"),
    ("select last_insert_id( ) + 1", K::Select, "LAST_INSERT_ID"),
    ("update t set a=last_insert_id(a+1)", K::Update, "LAST_INSERT_ID LAST_INSERT_ID_SET WRITES"),
    ("insert into t (a) values (last_insert_id())", K::Insert, "LAST_INSERT_ID WRITES"),
    ("select @@identity, @@session.last_insert_id", K::Select, "LAST_INSERT_ID SYSTEM_VARIABLE"),
    ("select connection_id()", K::Select, "CONNECTION_ID"),
    ("select @@pseudo_thread_id", K::Select, "CONNECTION_ID SYSTEM_VARIABLE"),
    ("select lastval(s)", K::Select, "SEQUENCE_VALUE"),
    ("select previous value for s", K::Select, "SEQUENCE_VALUE"),
    ("select nextval(s)", K::Select, "SEQUENCE_NEXT WRITES"),
    ("select next value for s", K::Select, "SEQUENCE_NEXT WRITES"),
    ("select next, value, previous value from t", K::Select, ""),
    ("show warnings limit 5", K::Show, "READS_DIAGNOSTICS"),
    ("show count(*) errors", K::Show, "READS_DIAGNOSTICS"),
    ("show errors", K::Show, "READS_DIAGNOSTICS"),
    ("show profiles", K::Show, "PROFILES"),
    ("show profile for query 1", K::Show, "PROFILES"),
    (
        "get diagnostics condition 1 @a = message_text",
        K::Other,
        "READS_DIAGNOSTICS USER_VARIABLE USER_VARIABLE_WRITE",
    ),
    ("select @@warning_count, @@`error_count`", K::Select, "READS_DIAGNOSTICS SYSTEM_VARIABLE"),
    ("select @@session.autocommit", K::Select, "SYSTEM_VARIABLE"),
    ("select @@global.error_count, @@version_comment limit 1", K::Select, "SYSTEM_VARIABLE"),
];

/// What decides between a primary and a replica, besides what keeps a link.
const ROUTING: &[Row] = &[
    ("select @@global.a, @@`b`", K::Select, "SYSTEM_VARIABLE"),
    ("select * from t where a = @@x", K::Select, "SYSTEM_VARIABLE"),
    ("select * from mysql.user, sys . version", K::Select, "SERVER_TABLES"),
    ("table `Performance_Schema`.threads", K::Select, "SERVER_TABLES"),
    ("select mysql, sys from t mysql where a.mysql = a.sys.b", K::Select, ""),
    ("select * from mysql_.t, 'sys'.t", K::Select, ""),
    ("select load_file('/x'), `uuid_short`()", K::Select, "STATE_FUNCTION"),
    ("select is_free_lock('a'), is_used_lock('a')", K::Select, "STATE_FUNCTION"),
    ("select group_replication_set_as_primary('a')", K::Select, "STATE_FUNCTION"),
    ("select `keyring_key_fetch`('a')", K::Select, "STATE_FUNCTION"),
    ("select load_file, a.load_file(1), keyring_a from group_replication_b", K::Select, ""),
    ("explain extended select @a", K::Explain, "EXPLAINS_READ USER_VARIABLE"),
    ("explain analyze select a from t for update", K::Explain, "EXPLAINS_READ LOCKING_READ"),
    ("explain analyze format=tree table t", K::Explain, "EXPLAINS_READ"),
    ("explain values row(1)", K::Explain, "EXPLAINS_READ"),
    ("desc format=json ((select 1))", K::Explain, "EXPLAINS_READ"),
    ("describe partitions with a as (select 1) select * from a", K::Explain, "EXPLAINS_READ"),
    (
        "explain format=json into @a for schema s select 1",
        K::Explain,
        "EXPLAINS_READ USER_VARIABLE USER_VARIABLE_WRITE",
    ),
    ("explain for database mysql select 1", K::Explain, "EXPLAINS_READ SERVER_TABLES"),
    ("explain with a as (select 1) delete from t", K::Explain, ""),
    ("explain format=json update t set a = (select 1)", K::Explain, ""),
    ("explain format=json for connection 5", K::Explain, ""),
    ("explain format=", K::Explain, ""),
    ("explain format", K::Explain, ""),
    ("explain into", K::Explain, ""),
    ("explain for", K::Explain, ""),
    ("explain select 1; explain delete from t", K::Explain, "EXPLAINS_READ MULTI"),
    ("explain delete from t; explain select 1", K::Explain, "MULTI"),
    ("explain format=; delete from t", K::Explain, "MULTI WRITES"),
    (
        "start transaction read only, with consistent snapshot",
        K::Begin,
        "READ_ONLY_TRANSACTION CONSISTENT_SNAPSHOT",
    ),
    ("start transaction read write, read only", K::Begin, ""),
    ("start transaction read", K::Begin, ""),
    ("select s.nextval, a.s.nextval", K::Select, "SEQUENCE_NEXT WRITES"),
    ("select s.currval", K::Select, "SEQUENCE_VALUE"),
    ("select s.lastval, nextval, currval from t", K::Select, "SEQUENCE_VALUE"),
    ("select s.`nextval`, s.nextvals", K::Select, ""),
    ("select * from t for system_time all", K::Select, ""),
    ("/* athena:primary */ select 1", K::Select, "HINT_PRIMARY"),
    ("select /*ATHENA:Replica*/ 1", K::Select, "HINT_REPLICA"),
    ("select 1 -- athena:primary", K::Select, "HINT_PRIMARY"),
    ("select 1; # athena:replica\r\n", K::Select, "HINT_REPLICA"),
    ("select 1 /* \n athena: primary\t*/", K::Select, "HINT_PRIMARY"),
    ("/*athena:primary*/ select 1 /*athena:replica*/", K::Select, "HINT_PRIMARY HINT_REPLICA"),
    ("/* athena:replicas */ select 1", K::Select, "HINT_UNKNOWN"),
    ("/* athena:*/ select 1", K::Select, "HINT_UNKNOWN"),
    ("/* athena:primary, please */ select 1", K::Select, "HINT_UNKNOWN"),
    ("select 1 /* athena:primary", K::Select, "HINT_PRIMARY"),
    ("# athena:replica */\nselect 1", K::Select, "HINT_UNKNOWN"),
    ("/* use athena:primary */ /* athena */ /*+ athena:primary */ select 1", K::Select, ""),
    ("select '/* athena:primary */', `-- athena:replica`", K::Select, ""),
    ("select 1 --athena:primary", K::Select, ""),
    ("select 1 /*!40000 + 1 -- athena:primary\n */", K::Select, ""),
    ("/* athena:replica */", K::Empty, "HINT_REPLICA"),
];

const SETS: &[Row] = &[
    ("set autocommit=0", K::Set, "AUTOCOMMIT_SET"),
    ("set @@session.autocommit = on", K::Set, "AUTOCOMMIT_SET"),
    ("set session autocommit=1", K::Set, "AUTOCOMMIT_SET"),
    ("set `autocommit`=1", K::Set, "AUTOCOMMIT_SET"),
    ("set global autocommit=1", K::Set, "NEW_ERA"),
    ("set autocommit=0, names utf8", K::Set, "AUTOCOMMIT_SET SET_SESSION"),
    ("set names utf8mb4 collate utf8mb4_bin", K::Set, "SET_SESSION"),
    ("set character set default", K::Set, "SET_SESSION"),
    ("set charset utf8", K::Set, "SET_SESSION"),
    ("set sql_mode=concat(@@sql_mode, ',ansi'), time_zone='+00:00'", K::Set, "SET_SESSION SYSTEM_VARIABLE"),
    ("set local sql_mode=''", K::Set, "SET_SESSION"),
    ("set global max_connections=5, persist x=1, @@persist_only.y=2", K::Set, "NEW_ERA"),
    ("set global a=1, b=2", K::Set, "SET_SESSION NEW_ERA"),
    ("set @@a=1", K::Set, "SET_SESSION"),
    ("set a = if(1, 2, autocommit)", K::Set, "SET_SESSION"),
    ("set timestamp=5", K::Set, "SET_SESSION UNREPLAYABLE_SET"),
    ("set @@session.gtid_next='automatic'", K::Set, "SET_SESSION UNREPLAYABLE_SET"),
    ("set rand_seed1=1, rand_seed2=2", K::Set, "SET_SESSION UNREPLAYABLE_SET"),
    ("set insert_id=9", K::Set, "SET_SESSION UNREPLAYABLE_SET"),
    ("set pseudo_slave_mode=1", K::Set, "SET_SESSION UNREPLAYABLE_SET"),
    ("set sql_log_bin=0", K::Set, "SET_SESSION UNREPLAYABLE_SET"),
    ("set last_insert_id=5", K::Set, "SET_SESSION LAST_INSERT_ID_SET"),
    ("set transaction isolation level read committed, read only", K::Set, "SET_TRANSACTION"),
    ("set session transaction read only", K::Set, "SET_SESSION"),
    ("set global transaction read only", K::Set, "NEW_ERA"),
    ("set @@transaction_isolation='SERIALIZABLE'", K::Set, "SET_SESSION SET_TRANSACTION"),
    ("set transaction_isolation='SERIALIZABLE'", K::Set, "SET_SESSION"),
    ("set password='x'", K::Set, "WRITES NEW_ERA"),
    ("set password for 'a'@'b' = 'x'", K::Set, "WRITES NEW_ERA"),
    ("set role a, b", K::Set, "ROLE"),
    ("set default role a to u", K::Set, "WRITES NEW_ERA"),
    ("set resource group g", K::Set, "RESOURCE_GROUP"),
    ("set statement max_statement_time=1, sort_buffer_size=2 for select @a", K::Select, "USER_VARIABLE"),
    ("set statement a=(select 1 for update) for insert into t values (1)", K::Insert, "LOCKING_READ WRITES"),
    ("set statement a=1", K::Other, "UNSURE WRITES"),
    ("set", K::Set, "SET_SESSION"),
    ("set a.b=1", K::Set, "SET_SESSION"),
    ("set @@session.autocommit.b=1", K::Set, "SET_SESSION"),
];

const TEXTS: &[Row] = &[
    ("select 'get_lock(', \"@a\", `@b`", K::Select, ""),
    (r#"select 'a''b', "x\"y", '\'', @a"#, K::Select, "USER_VARIABLE"),
    (r"select 'a\\', @a", K::Select, "USER_VARIABLE"),
    ("select 'a''', @a", K::Select, "USER_VARIABLE"),
    (r"select `a\`, @a", K::Select, "USER_VARIABLE"),
    ("select `a``, @a`", K::Select, ""),
    ("select n'@a', x'00', b'1', _utf8mb4'@a', N'a' , @b", K::Select, "USER_VARIABLE"),
    ("select 'never closed @a", K::Select, ""),
    ("select `never closed @a", K::Select, ""),
    ("select 'ends in a backslash\\", K::Select, ""),
    ("select 5--1, @a", K::Select, "USER_VARIABLE"),
    ("select 5-- 1, @a", K::Select, ""),
    ("select 5 #, @a\n, @b", K::Select, "USER_VARIABLE"),
    ("select /* @a */ 1 /*+ @b */", K::Select, ""),
    ("select /* 1; select 2", K::Select, ""),
    ("select 1 */ 2", K::Select, ""),
    ("select 1; select 2", K::Select, "MULTI"),
    ("select 1; set autocommit=0; call p()", K::Select, "MULTI AUTOCOMMIT_SET CALL WRITES"),
    ("select ';'; ;", K::Select, ""),
    ("/*!40101 SET NAMES utf8 */", K::Set, "SET_SESSION"),
    ("/*! set names utf8 */;", K::Set, "SET_SESSION"),
    ("select /*!40001 SQL_NO_CACHE */ * from t", K::Select, ""),
    ("select 1 /*!40000 + @a */ + get_lock('a', 1)", K::Select, "USER_VARIABLE NAMED_LOCK"),
    ("/*!80000 set names utf8 */", K::Set, "SET_SESSION UNSURE"),
    ("/*M!100100 set names utf8 */", K::Set, "SET_SESSION UNSURE"),
    ("/*M!999999\\- enable the sandbox mode */", K::Other, "WRITES UNSURE"),
    ("/*!99999 ' */ select get_lock('a', 1) -- '", K::Other, "WRITES UNSURE"),
    ("select /*!40000 '*/' */ 1", K::Select, "UNSURE"),
    ("select /*!40000 1 /* 2 */ */ 3", K::Select, "UNSURE"),
    ("select /*!40000 1", K::Select, "UNSURE"),
    ("select 1 as [a'], @a -- '", K::Select, "UNSURE"),
    ("select '[', `[`", K::Select, ""),
    (
        "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */",
        K::Set,
        "SYSTEM_VARIABLE USER_VARIABLE USER_VARIABLE_WRITE",
    ),
    (
        "/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */",
        K::Set,
        "SYSTEM_VARIABLE USER_VARIABLE USER_VARIABLE_WRITE SET_SESSION",
    ),
    ("/*!40103 SET TIME_ZONE='+00:00' */", K::Set, "SET_SESSION"),
    ("/*!40101 SET character_set_client = @saved_cs_client */", K::Set, "USER_VARIABLE SET_SESSION"),
    ("/*!40000 ALTER TABLE `t` DISABLE KEYS */", K::Ddl, "WRITES"),
];

const ANSI_TEXTS: &[Row] = &[
    (r#"select * from "SYS"."version""#, K::Select, "SERVER_TABLES"),
    (r#"select "a\", @a"#, K::Select, "USER_VARIABLE"),
    (r#"select "get_lock"('a', 1)"#, K::Select, "NAMED_LOCK"),
    (r#"select "a"".@b", 'c\', @d'"#, K::Select, ""),
    (r#"set "autocommit"=0"#, K::Set, "AUTOCOMMIT_SET"),
];

const NO_ESCAPE_TEXTS: &[Row] = &[
    (r"select 'a\', @a", K::Select, "USER_VARIABLE"),
    (r#"select "a\", @a"#, K::Select, "USER_VARIABLE"),
    (r"select 'a\'', @a'", K::Select, ""),
];

const ONE_ROWS: &[Row] = &[
    ("create function f() returns int begin set @a=1; return 1; end", K::Ddl, "WRITES"),
    ("create procedure p() begin select 1; select get_lock('a', 1); end;", K::Ddl, "WRITES"),
    (
        "insert into t values (1); select row_count(), last_insert_id()",
        K::Insert,
        "WRITES MULTI LAST_INSERT_ID",
    ),
    ("select a from t; select found_rows()", K::Select, "MULTI"),
    ("insert into t values (1); select found_rows()", K::Insert, "WRITES MULTI FOUND_ROWS"),
    ("select row_count(); select row_count()", K::Select, "MULTI ROW_COUNT"),
    // The server refuses these; what they would do still counts.
    ("select 1; set @a=1", K::Select, "MULTI USER_VARIABLE USER_VARIABLE_WRITE"),
];

const ALL: [(SqlMode, &[Row]); 10] = [
    (ONE, ONE_ROWS),
    (DEFAULT, PLAIN),
    (DEFAULT, TRANSACTIONS),
    (DEFAULT, SESSION),
    (DEFAULT, FUNCTIONS),
    (DEFAULT, ROUTING),
    (DEFAULT, SETS),
    (DEFAULT, TEXTS),
    (ANSI, ANSI_TEXTS),
    (NO_ESCAPES, NO_ESCAPE_TEXTS),
];

#[test]
fn every_row_has_its_kind_and_hazards() {
    for (mode, rows) in ALL {
        check(mode, rows);
    }
}

#[test]
fn what_may_be_a_stored_function_is_told() {
    let may = |sql: &str| facts(sql.as_bytes(), DEFAULT).hazards.contains(Hazards::MAY_CALL);
    for sql in [
        "SELECT f(1)",
        "SELECT a.f(1)",
        "SELECT `f`(1)",
        "INSERT INTO t (a) VALUES (f(1))",
        "UPDATE t SET a=f(b)",
        // With a blank these are no native functions, unless the mode is IGNORE_SPACE.
        "SELECT substring ('a', 1)",
        "SELECT max/**/(1)",
    ] {
        assert!(may(sql), "{sql}");
    }
    for sql in [
        "SELECT COUNT(*), SUM(k), CONCAT(a, b), NOW() FROM t WHERE a IN (1, 2)",
        "INSERT INTO t (a, b) VALUES (1, 2)",
        "SELECT abs (1) FROM t WHERE a IN (1) OR (a, b) IN ((1, 2))",
        "REPLACE INTO s.t (a, b) VALUES (1, UPPER('a'))",
    ] {
        assert!(!may(sql), "{sql}");
    }
}

#[test]
fn what_found_rows_counts_is_told() {
    let has = |sql: &str, hazard| facts(sql.as_bytes(), DEFAULT).hazards.contains(hazard);
    for (sql, selects) in [
        ("INSERT INTO t SELECT a FROM u", true),
        ("CREATE TABLE t AS SELECT 1", true),
        ("INSERT INTO t VALUES (1), (2)", false),
        ("SELECT 1", false),
    ] {
        assert_eq!(has(sql, Hazards::SELECTS), selects, "{sql}");
    }
    for (sql, shows) in [
        ("SHOW TABLES", true),
        ("SHOW FULL COLUMNS FROM t", true),
        ("SHOW COUNT(*) WARNINGS", true),
        ("DESC t", true),
        ("SHOW WARNINGS", false),
        ("SHOW CREATE TABLE t", false),
        ("EXPLAIN SELECT 1", false),
        ("EXPLAIN (SELECT 1)", false),
    ] {
        assert_eq!(has(sql, Hazards::SHOWS_TABLE), shows, "{sql}");
    }
}

#[test]
fn statements_of_one_text_add_up() {
    for (mode, rows) in ALL {
        for (sql, kind, names) in rows {
            let text = format!("select @first; {sql}");
            let together = facts(text.as_bytes(), mode);
            assert_eq!(together.kind, K::Select);
            // The statement put before answers these, or is what the last is about.
            let left = hazards(names) - (Hazards::ROW_COUNT | Hazards::FOUND_ROWS | Hazards::EXPLAINS_READ);
            assert!(together.hazards.contains(left | Hazards::USER_VARIABLE), "{text}");
            assert!(together.hazards.contains(Hazards::MULTI) || *kind == K::Empty, "{text}");
        }
    }
}

#[test]
fn a_second_byte_is_no_quote_and_no_backslash() {
    let user_variable = hazards("USER_VARIABLE");
    for (text, read, plain) in [
        (&b"select '\xBF\\', @a -- '"[..], user_variable, Hazards::empty()),
        (b"select `\xBF``, @a -- `", user_variable, Hazards::empty()),
        (b"select `\xBF`, @a -- `", Hazards::empty(), user_variable),
        (b"select a\xBF`, @a -- `", user_variable, Hazards::empty()),
        (b"select '\xBF', @a", user_variable, user_variable),
        (b"select '\\\xBF\\', @a -- '", Hazards::empty(), Hazards::empty()),
    ] {
        assert_eq!(facts(text, GBK).hazards, read, "{text:?}");
        assert_eq!(facts(text, DEFAULT).hazards, plain, "{text:?}");
    }
}

/// Measured on MariaDB 10.11 and MySQL 9.7: whether they read `@a`.
#[test]
fn comments_hide_and_show_code_as_they_do_on_servers() {
    for (sql, on_mariadb, on_mysql) in [
        ("select 1 /*!50700 +@a */", false, true),
        ("select 1 /*M!50700 +@a */", true, false),
        ("select 1 /*!100000 +@a */", true, false),
        ("select 1 /*! +10 /* c */ +@a */ +1000", true, true),
        ("select 1 /*!99999 +10 /* c */ +@a */ +1000", false, false),
        ("select 1 /*!99999 +10 /*/ c */ +@a */ +1000", false, false),
        ("select 1 /*!99999 +10 /* /* c */ */ +@a", true, true),
        ("select 1 /*!99999 ' */ +@a -- '", true, true),
        ("select 1 /*!99999/*/ +1 */ +@a */ +100", false, false),
        ("select 1 /*!99999*/ +@a", true, true),
        ("select 1 /*!40000 , '*/ +@a' */", false, false),
        ("select 1 /*!40000 +10 /*!999999 +@a */ +1000 */", false, false),
        ("select 1 /*!40000 +10 /*!999999 +100 */ +@a */", true, true),
        ("select 1 /*!40000 +10 /*!40000 +@a */ +1000", true, true),
        ("select 1 as $a$ , 2, ' $a$, @a -- '", false, true),
        ("select 1 as a$a$ , 2, ' $a$, @a -- '", false, false),
        ("select a.$a$ , 2, ' $a$, @a -- '", false, false),
    ] {
        for (server, shown) in
            [(Server { mariadb: true, version: 101119 }, on_mariadb), (SERVERS[2], on_mysql)]
        {
            let mode = SqlMode { server, ..DEFAULT };
            let expected = if shown { Hazards::USER_VARIABLE } else { Hazards::empty() };
            assert_eq!(facts(sql.as_bytes(), mode).hazards, expected, "{sql} on {server:?}");
        }
    }
}

#[test]
fn bytes_that_may_be_blanks_are_doubted() {
    let latin = SqlMode { charset: Charset::OneByte, ..DEFAULT };
    for (text, doubted) in [
        (&b"select 1,\xA0get_lock('a', 1)"[..], true),
        (b"select @a\xA0for\xA0update", true),
        (b"select 1\xA0", true),
        (b"select 5--\xA0 @a", true),
        (b"select '\xA0', `\xA0`, \xE9 -- \xA0", false),
    ] {
        assert_eq!(facts(text, latin).hazards.contains(Hazards::UNSURE), doubted, "{text:?}");
    }
}

#[test]
fn no_prefix_of_any_row_panics() {
    for (mode, rows) in ALL {
        for (sql, ..) in rows {
            for cut in 0..sql.len() {
                facts(&sql.as_bytes()[..cut], mode);
                facts(&sql.as_bytes()[cut..], mode);
            }
        }
    }
}

#[test]
fn random_texts_never_panic() {
    let pieces: Vec<&str> = ALL.iter().flat_map(|(_, rows)| *rows).flat_map(|row| row.0.split(' ')).collect();
    let mut state = 1u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for round in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..random(30) {
            match random(4) {
                0 => text.push(random(256) as u8),
                1 => text.push(b"'\"`@;(),.*/!-#\\:= e1"[random(20)]),
                _ => {
                    text.extend_from_slice(pieces[random(pieces.len())].as_bytes());
                    text.push(b' ');
                }
            }
        }
        let mode = SqlMode {
            ansi_quotes: round % 2 == 0,
            no_backslash_escapes: round % 3 == 0,
            charset: CHARSETS[round % CHARSETS.len()],
            server: SERVERS[round % SERVERS.len()],
            one_statement: round % 7 == 0,
        };
        agree(&text, mode);
    }
}

#[test]
fn hostile_texts_take_linear_time() {
    for piece in [
        "/*!",
        "/*!40000 /*",
        "/*!99999 /*",
        "/*M!40000 */",
        "$a$",
        "$$ ",
        "set statement ",
        "(",
        "last_insert_id(",
        "/*!*/",
        "@@session.",
        "1e",
        "'a''",
        "set @",
        "/* athena:primary */",
        "explain format=",
        "explain select 1;",
        "mysql.",
        "start transaction read ",
    ] {
        for server in SERVERS {
            facts(piece.repeat(200_000).as_bytes(), SqlMode { server, ..DEFAULT });
        }
    }
}

/// Each effect is one of the hazards, and each hazard that has effects has one, if it is an unclear one.
fn agree(sql: &[u8], mode: SqlMode) {
    let hazards = facts(sql, mode).hazards;
    for effect in effects(sql, mode) {
        let of_effect = effect.hazards();
        let known = of_effect.is_empty() || of_effect.intersects(hazards);
        assert!(known, "{effect:?} is none of {hazards:?}: {}", String::from_utf8_lossy(sql));
    }
}

#[test]
fn effects_are_hazards_and_hazards_have_effects() {
    for (mode, rows) in ALL {
        for (sql, ..) in rows {
            agree(sql.as_bytes(), mode);
            let unclear = effects(sql.as_bytes(), mode).into_iter().any(|e| matches!(e, Effect::Unclear(_)));
            assert_eq!(unclear, *sql == "set", "{sql}");
            for cut in 0..sql.len() {
                agree(&sql.as_bytes()[..cut], mode);
                agree(&sql.as_bytes()[cut..], mode);
            }
        }
    }
}
