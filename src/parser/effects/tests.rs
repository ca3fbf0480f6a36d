use super::*;
use crate::parser::{Charset, Server, SqlMode};

const DEFAULT: SqlMode = SqlMode {
    ansi_quotes: false,
    no_backslash_escapes: false,
    charset: Charset::Plain,
    server: Server { mariadb: false, version: 0 },
    one_statement: false,
};
const MARIADB: SqlMode = SqlMode { server: Server { mariadb: true, version: 101119 }, ..DEFAULT };
const MYSQL: SqlMode = SqlMode { server: Server { mariadb: false, version: 90704 }, ..DEFAULT };
const GBK: SqlMode = SqlMode { charset: Charset::Gbk, ..DEFAULT };
const ONE: SqlMode = SqlMode { one_statement: true, ..DEFAULT };
const ANSI: SqlMode = SqlMode { ansi_quotes: true, ..DEFAULT };
const NO_ESCAPES: SqlMode = SqlMode { no_backslash_escapes: true, ..DEFAULT };

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn table(name: &TableName) -> String {
    let schema = name.schema.as_ref().map(|schema| text(schema) + ".").unwrap_or_default();
    schema + &text(&name.name)
}

fn stored(effect: &Effect) -> bool {
    matches!(effect, Effect::StoredFunction { .. })
}

fn maybe(name: Option<&Vec<u8>>) -> String {
    name.map_or("?".to_owned(), |name| text(name))
}

/// An effect in short.
fn short(effect: &Effect) -> String {
    match effect {
        Effect::UserVariable { name, value } => {
            let value = match value {
                None => "?".to_owned(),
                Some(Literal::Null) => "NULL".to_owned(),
                Some(Literal::Integer(digits)) => text(digits),
                Some(Literal::Text(value)) => format!("'{}'", text(value)),
            };
            format!("@{}={value}", text(name))
        }
        Effect::UnclearUserVariable => "@?".to_owned(),
        Effect::NamedLock(name) => format!("lock {}", maybe(name.as_ref())),
        Effect::ReleaseNamedLock(name) => format!("release {}", maybe(name.as_ref())),
        Effect::CreateTemporary(name) => format!("temporary {}", table(name)),
        Effect::DropTable(name) => format!("drop {}", table(name)),
        Effect::RenameTable { from, to } => format!("rename {} {}", table(from), table(to)),
        Effect::DropDatabase(name) => format!("drop database {}", text(name)),
        Effect::HandlerOpen(name) => format!("open {}", text(name)),
        Effect::HandlerClose(name) => format!("close {}", text(name)),
        Effect::HandlerRead(name) => format!("read {}", text(name)),
        Effect::Prepare { name, text: sql } => format!("prepare {} {}", text(name), maybe(sql.as_ref())),
        Effect::Execute(name) => format!("execute {}", text(name)),
        Effect::ExecuteImmediate(sql) => format!("immediate {}", maybe(sql.as_ref())),
        Effect::Deallocate(name) => format!("deallocate {}", text(name)),
        Effect::SetVariable { name, default } => {
            format!("set {}{}", text(name), if *default { " default" } else { "" })
        }
        Effect::SetRole(role) => format!("role {}", text(role)),
        Effect::Call { schema, name } => {
            let schema = schema.clone();
            format!("call {}", table(&TableName { schema, name: name.clone() }))
        }
        Effect::StoredFunction { .. } => "StoredFunction".to_owned(),
        Effect::Unclear(hazards) => format!("unclear {hazards:?}"),
        other => format!("{other:?}"),
    }
}

fn check(mode: SqlMode, rows: &[(&str, &str)]) {
    for (sql, expected) in rows {
        let found: Vec<String> = effects(sql.as_bytes(), mode).iter().map(short).collect();
        assert_eq!(found.join("; "), *expected, "{sql}");
        // Case and blanks have no meaning where nothing is quoted, but for names.
        if !sql.contains(['\'', '"', '`', '-', '#', '\n', '*', '(']) {
            let other = format!("\r\n\t{} ;\x0c", sql.to_uppercase().replace(' ', " /* , ; ( ' */ \n"));
            let found: Vec<String> = effects(other.as_bytes(), mode).iter().map(short).collect();
            assert_eq!(found.join("; ").to_lowercase(), expected.to_lowercase(), "{other}");
        }
    }
}

#[test]
fn user_variables_are_named_with_their_literals() {
    check(
        DEFAULT,
        &[
            ("set @a = 1", "@a=1"),
            ("SET @Ab.C$d := 'x y', @b = NULL, @c = -5", "@ab.c$d='x y'; @b=NULL; @c=-5"),
            ("set @`a b` = 0, @'c''d' = \"x\", @\"E\"=''", "@a b=0; @c'd='x'; @e=''"),
            ("set @a=18446744073709551615, @b=18446744073709551616", "@a=18446744073709551615; @b=?"),
            ("set @a=-9223372036854775807, @b=-9223372036854775808", "@a=-9223372036854775807; @b=?"),
            (
                "set @a=1.5, @b=1e3, @c=0x41, @d=x'41', @e=b'1', @f=1+1, @g=(1)",
                "@a=?; @b=?; @c=?; @d=?; @e=?; @f=?; @g=?",
            ),
            (r"set @a='x\n', @b='it''s', @c=N'x', @d=_utf8'x', @e='x' 'y'", "@a=?; @b=?; @c=?; @d=?; @e=?"),
            ("set @a='\u{e9}', @b='x' collate utf8_bin, @c=@d, @e=nullif(1,1)", "@a=?; @b=?; @c=?; @e=?"),
            ("set @\u{e9}=1, @'a\\'b'=2, @'a '=3", "@?; @?; @a =3"),
            ("set @a = (select 1, 2), sql_mode = '', @b=2", "@a=?; set sql_mode; @b=2"),
            ("set @a = 1; set @a = 2", "@a=1; @a=2"),
            ("select @a := 1, @b", "@a=?"),
            ("select 1, 2 into @a, @B from t", "@a=?; @b=?"),
            ("select a into@a.b,@'c' from t where d = @e", "@a.b=?; @c=?"),
            ("select 1 into outfile '/x'", ""),
            ("select @a, count(*) from t group by @b", ""),
            ("update t set c = @a := @a + 1", "@a=?"),
            ("call p(1, @x, @y)", "call p; @x=?; @y=?"),
            ("call `D`.p", "call D.p"),
            ("call d.`pkg`.f()", "call d.pkg.f"),
            ("select @a; call p()", "call p"),
            ("execute s using @a", "execute s; @a=?"),
            ("get current diagnostics @n = number, @r = row_count", "@n=?; @r=?"),
            ("get diagnostics condition 1 @p = returned_sqlstate", "@p=?"),
            ("load data local infile 'f' into table d.t (a, @b) set c = f(@b)", "@b=?; StoredFunction; @b=?"),
            ("grant all on *.* to 'a'@'b', a@b", ""),
            ("create table t as select @a := 1", "@a=?"),
            ("set @a = 1 /* , @b = 2 */ -- , @c = 3\n, @d = 4", "@a=1; @d=4"),
            ("/*!40101 SET @OLD=@@SQL_MODE, SQL_MODE='x' */", "@old=?; set sql_mode"),
        ],
    );
    check(ANSI, &[(r#"set @"A"=1, @b="c", @d='e'"#, "@a=1; @b=?; @d='e'")]);
    check(NO_ESCAPES, &[(r"set @a='b\', @c='d'", r"@a=?; @c='d'")]);
}

#[test]
fn locks_are_named() {
    check(
        DEFAULT,
        &[
            ("select get_lock('Ab', 1)", "lock Ab"),
            ("do GET_LOCK (\"x\" , 0), release_lock('y')", "lock x; release y"),
            ("select `get_lock`('a', 1), release_lock(@a), get_lock(?, 1)", "lock a; release ?; lock ?"),
            (
                "select get_lock('a' 'b', 1), get_lock(concat('a'), 1), get_lock(N'a', 1)",
                "lock ?; lock ?; lock ?",
            ),
            (r"select get_lock('a\'b', 1), get_lock('a''b', 1), get_lock('é', 1)", "lock ?; lock ?; lock ?"),
            ("select get_lock(/* */ 'a' /* b */, 1)", "lock a"),
            ("select if(get_lock('a', 1), release_all_locks(), 0)", "lock a; ReleaseAllNamedLocks"),
            (
                "select service_get_read_locks('n', 'a', 1), service_release_locks('n')",
                "OtherLock; OtherLock",
            ),
            ("select a.get_lock('a', 1)", "StoredFunction"),
            ("select get_lock from t", ""),
            ("lock tables t write, u as v read", "LockTables"),
            ("lock table t write", "LockTables"),
            ("lock instance for backup", "LockInstance"),
            ("unlock tables", "UnlockTables"),
            ("unlock instance", "UnlockInstance"),
            ("flush tables with read lock", "FlushTablesLock"),
            ("flush local tables a, b for export", "FlushTablesLock"),
            ("flush tables", ""),
            ("flush status", "FlushStatus"),
            ("backup stage start", "BackupStage { end: false }"),
            ("backup stage end", "BackupStage { end: true }"),
            ("backup lock t", "BackupLock { unlock: false }"),
            ("backup unlock", "BackupLock { unlock: true }"),
            ("xa start 'x'", "Xa"),
            ("xa commit 'x' one phase", "XaEnd"),
            ("xa rollback 'x'", "XaEnd"),
        ],
    );
    check(MYSQL, &[("select get_lock('Ab', 1), release_lock('aB')", "lock ab; release ab")]);
    check(MARIADB, &[("select get_lock('Ab', 1), release_lock('aB')", "lock Ab; release aB")]);
    check(ANSI, &[(r#"select get_lock("a", 1), "get_lock"('b', 1)"#, "lock ?; lock b")]);
}

#[test]
fn tables_are_named() {
    check(
        DEFAULT,
        &[
            ("create temporary table t (a int, b varchar(5), key k (a))", "temporary t"),
            ("create or replace temporary table if not exists `d`.`T``x` like u", "temporary d.T`x"),
            ("create temporary table t select f(1)", "temporary t; StoredFunction"),
            ("create temporary sequence s", "temporary s"),
            ("create temporary table .t (a datetime(6))", "temporary t"),
            ("create temporary table 1t (a int)", "temporary 1t"),
            ("create table t (a int)", ""),
            ("create table temporary (a int)", ""),
            ("drop table t", "drop t"),
            ("drop temporary table if exists a, d.b, `c d` restrict", "drop a; drop d.b; drop c d"),
            ("drop tables a, b", "drop a; drop b"),
            ("drop sequence s", "drop s"),
            ("drop view v", ""),
            ("drop table if", "drop if"),
            ("drop database if exists d", "drop database d"),
            ("drop schema d", "drop database d"),
            ("drop user a, b", ""),
            ("rename table a to d.b, c to e", "rename a d.b; rename c e"),
            ("rename tables if exists a wait 5 to b", "rename a b"),
            ("rename user a to b", ""),
            ("alter table t rename to u", "rename t u"),
            ("alter table d.t add c int, rename as d.u", "rename d.t d.u"),
            ("alter online table if exists t rename u", "rename t u"),
            ("alter table t rename = u", "rename t u"),
            ("alter table t rename column a to b, rename index c to d, rename key e to f", ""),
            ("truncate t", ""),
            ("create procedure p() begin set @a = 1; end", ""),
            ("create definer = a@b trigger g before insert on t for each row set @a=1", ""),
        ],
    );
    check(ANSI, &[(r#"create temporary table "d"."t""u" (a int)"#, r#"temporary d.t"u"#)]);
    check(ONE, &[("create function f() returns int begin set @a=1; return get_lock('a', 1); end", "")]);
}

#[test]
fn handlers_and_prepared_statements_are_named() {
    check(
        DEFAULT,
        &[
            ("handler t open", "open t"),
            ("handler d.T open as `B`", "open b"),
            ("handler t open b", "open b"),
            ("handler b read first limit 1", "read b"),
            ("handler d.t close", "close t"),
            ("handler t", "unclear Hazards(HANDLER)"),
            ("prepare S from 'select 1'", "prepare s select 1"),
            ("prepare `a b` from @a", "prepare a b ?"),
            ("prepare s from 'select ''é'''", "prepare s select 'é'"),
            (r"prepare s from 'select \'x\''", "prepare s ?"),
            ("prepare s from concat('a', 'b')", "prepare s ?"),
            ("deallocate prepare s", "deallocate s"),
            ("drop prepare s", "deallocate s"),
            ("execute S", "execute s"),
            ("execute immediate 'drop table t'", "immediate drop table t"),
            ("execute immediate @a using @b", "immediate ?; @a=?; @b=?"),
        ],
    );
}

#[test]
fn system_variables_are_named() {
    check(
        DEFAULT,
        &[
            ("set autocommit=0", "set autocommit"),
            (
                "set sql_mode=default, session time_zone = DEFAULT",
                "set sql_mode default; set time_zone default",
            ),
            ("set @@SQL_mode=1, @@session.a=2, @@local.b=3, local c=4", "set sql_mode; set a; set b; set c"),
            ("set `Sql_Mode` := '', @@`session`.`x` = 1", "set sql_mode; set x"),
            ("set global a=1, @@global.b=2, persist c=1, @@persist_only.d=2", ""),
            ("set global a=1, b=2", "set b"),
            ("set a.b = 1, @@c.d = 2, @@session.e.f = 3", "set a.b; set c.d; set e.f"),
            ("set a = if(1, 2, b), c = (select 1, 2)", "set a; set c"),
            ("set a = default(b)", "set a"),
            (
                "set names utf8mb4 collate utf8mb4_bin, a=1",
                "set character_set_client; set character_set_connection; set character_set_results; \
                 set collation_connection; set a",
            ),
            (
                "set names default",
                "set character_set_client default; set character_set_connection default; \
                 set character_set_results default; set collation_connection default",
            ),
            (
                "set char set utf8",
                "set character_set_client; set character_set_connection; set character_set_results",
            ),
            ("set transaction isolation level read committed, read only", "NextTransaction"),
            (
                "set session transaction isolation level read committed, read only",
                "set transaction_isolation; set transaction_read_only",
            ),
            ("set local transaction read write", "set transaction_read_only"),
            ("set session transaction isolation level read uncommitted", "set transaction_isolation"),
            ("set global transaction read only", ""),
            ("set @@transaction_isolation='SERIALIZABLE'", "NextTransaction"),
            ("set @@session.transaction_isolation='x'", "set transaction_isolation"),
            ("set tx_isolation='x'", "set tx_isolation"),
            ("set password = 'x', a = 1", ""),
            ("set role none", "role none"),
            ("set role `r`@h, s ;", "role `r`@h, s"),
            ("set default role a to u", ""),
            ("set resource group g", "ResourceGroup"),
            ("set statement max_statement_time=1 for select @a := 2", "OneShotVariables; @a=?"),
            ("select /*+ SET_VAR(sort_buffer_size = 1) */ 1", "OneShotVariables"),
            ("select /*+ MAX_EXECUTION_TIME(1) */ 1 /* set_var */", ""),
            ("set", "unclear Hazards(SET_SESSION)"),
        ],
    );
}

#[test]
fn stored_functions_are_told_from_all_that_is_none() {
    for sql in [
        "select f(1)",
        "select d.f(1), 1",
        "select `concat`.f(1)",
        "select count (a) from t",
        "select `count`(a) from t",
        "select `if`(1, 2, 3)",
        "select a from t where exists (select f (a))",
        "insert into t (a) values (f())",
        "insert t set a = f()",
        "update t set a = d . f (1)",
        "select 1 from t join u on f(t.a) = u.a",
        "do f(1)",
        "set @a = f(1)",
        "call p(f(1))",
        "with a (x) as (select 1) select f(x) from a",
        "create table t (a text(5)) select f(a) from u",
        "select a from t order by f(a)",
        "values row(f(1))",
        "create table t values row(f(1))",
        "create table t as values (f(1))",
        "select \u{e9}(1)",
    ] {
        assert!(effects(sql.as_bytes(), DEFAULT).iter().any(stored), "{sql}");
    }
    for sql in [
        "select count(*), COUNT (*), sum(a), max(distinct b) from t",
        "select concat('a'), `concat`('a'), concat ('a'), if(1, 2, 3), if (1, 2, 3)",
        "select a in (1), a not in(2), (3), a and (b) or(c), not (d), -(e), case when (f) then (g) else (h) end",
        "select cast(a as char(10)), convert(a, decimal(5, 2)), a between (1) and (2)",
        "insert into t (a, b) values (1, 2), (3, 4) on duplicate key update a = values(a)",
        "insert ignore into d.t(a) values (1)",
        "insert t (a) values (1)",
        "replace low_priority d.t (a) select 1",
        "insert into t partition (p0) (a) values (1) as new(x) on duplicate key update a = x",
        "with a (x, y) as (select 1, 2), b (z) as (select 3) select * from a, b",
        "with recursive a(x) as (select 1 union all select x + 1 from a) select * from a",
        "select * from t use index (i) ignore index for join (j) where (a, b) in ((1, 2))",
        "select * from t join u using (a) left join (v) on (b = c)",
        "select row_number() over (partition by (a) order by (b)), sum(c) over(w) from t window w as (order by d)",
        "select * from (select 1) as d (a), (select 2) e (b)",
        "select json_value(a, '$.b'), json_table from t where match (a) against ('b')",
        "select extract(year from a), trim(both ' ' from b), substring(c from 1 for 2), position('a' in b)",
        "select date_add(a, interval (1) day), now(6), current_timestamp(3), utc_date(), curdate()",
        "values row(1, 2)",
        "create table d.t (a int(11), b varchar(5), c enum('x'), primary key (a), key k (b), unique u(c))",
        "create table t (a datetime(6) default now(6), b geometry, check (a > f(1))) partition by hash (a)",
        "create index i on d.t (a(5), b)",
        "create view v (a, b) as select 1, 2",
        "alter table t add index i (a), add constraint c foreign key k (b) references d.u (c)",
        "load data infile 'f' into table t (a, b)",
        "select exists (select 1), any_value from t where a > all (select 2)",
        "select * from t limit 5",
        "select a.b, a.c from t a where (a.d) = 1",
        "delete from t where id in (1, 2)",
        "explain select now()",
    ] {
        assert_eq!(effects(sql.as_bytes(), DEFAULT), [], "{sql}");
    }
}

#[test]
fn what_is_native_depends_on_the_server() {
    let server = |mariadb, version| SqlMode { server: Server { mariadb, version }, ..DEFAULT };
    for (call, on_mariadb, on_mysql) in [
        ("nvl2(1, 2, 3)", false, true),
        ("uuid_to_bin(a)", true, false),
        ("system(a)", true, false),
        ("`if`(a, b, c)", true, true),
        ("count (a)", true, true),
        ("rank()", false, false),
        ("rank ()", true, false),
        ("coalesce (a)", false, false),
        ("`coalesce`(a)", false, true),
        ("md5(a)", false, true),
        ("f(a)", true, true),
    ] {
        let sql = format!("select {call}");
        let stored = |mode| matches!(&effects(sql.as_bytes(), mode)[..], [Effect::StoredFunction { .. }]);
        assert_eq!((stored(MARIADB), stored(MYSQL)), (on_mariadb, on_mysql), "{call}");
        // Of a server that is not known both may be true.
        assert_eq!(stored(DEFAULT), on_mariadb || on_mysql, "{call}");
    }
    let stored = |sql: &[u8], mode| !effects(sql, mode).is_empty();
    assert!(stored(b"select kdf(a)", MARIADB) && !stored(b"select KDF(a)", server(true, 110402)));
    assert!(!stored(b"select md5(a)", server(false, 80036)));
    assert!(stored(b"select to_vector(a)", server(false, 80036)) && !stored(b"select to_vector(a)", MYSQL));
}

#[test]
fn names_of_other_character_sets_are_left_open_where_bytes_look_like_quotes() {
    // The second byte of the character looks like the closing quote.
    let sql = b"create temporary table `\xBF``` (a int)";
    let [Effect::CreateTemporary(_)] = &*effects(sql, DEFAULT) else { panic!("one table") };
    let unclear = Effect::Unclear(crate::parser::Hazards::TEMPORARY_TABLE);
    assert_eq!(effects(b"create temporary table `\xBF`` (a int)", GBK), [unclear]);
}

#[test]
fn sequences_are_seen() {
    check(
        DEFAULT,
        &[
            ("select next value for s", "SequenceNext"),
            ("select next, value, next value, previous value for s from t", ""),
        ],
    );
    check(MARIADB, &[("select nextval(s)", "SequenceNext")]);
    // MySQL has no function of the name.
    check(MYSQL, &[("select nextval(s)", "SequenceNext; StoredFunction")]);
}

#[test]
fn hostile_texts_take_linear_time() {
    for piece in [
        "/*!",
        "/*+",
        "set statement ",
        "(",
        "get_lock(",
        "@@session.",
        "f(",
        "a.",
        "set @a=",
        "with a (",
        "rename ",
    ] {
        effects(piece.repeat(100_000).as_bytes(), DEFAULT);
    }
}
