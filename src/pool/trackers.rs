//! What links have the server report, and what the server is asked for that.
//!
//! Athena has to know of every change of a link's session. A MariaDB reports all variables for `*`. On a MySQL that adds
//! `statement_id` to every OK packet, so the variables are listed there: those that the server itself lists, which it is
//! asked for once.

use std::borrow::Cow;
use std::rc::Rc;

use crate::protocol::capability::Capabilities;
use crate::protocol::response::OkPacket;
use crate::protocol::session_track::{Tracker, Trackers as Told};
use crate::protocol::tracked::{Tracked, TrackedKinds, TrackedNames};

use super::base::Base;
use super::conversation::Conversation;
use super::error::LinkError;
use super::link::{SmallReply, read_reply};

/// The session's own values of what chooses. A MariaDB takes the last for a comment, and has no such variable.
pub(super) const SELECT_TRACKED: &str = "SELECT @@session_track_schema, @@session_track_state_change, \
    @@session_track_transaction_info, HEX(@@session_track_system_variables)/*!50706 ,@@session_track_gtids*/ LIMIT 1";

/// The same statement on both families of servers. What it asks for is what keeps sessions apart.
const SET_TRACKERS: &str = "SET SESSION session_track_schema=ON, session_track_state_change=ON, \
                            session_track_transaction_info=_latin1'CHARACTERISTICS'";

/// What a MySQL is told besides: a MariaDB tells by a variable, `last_gtid`.
const SET_GTIDS: &str = ", session_track_gtids=OWN_GTID";

/// The same on a MariaDB, whose query cache is left aside by connections that track transactions: those that use it go without.
/// What a reply tells of transactions then is the flags of its status; the rest is known by the statements' texts.
const SET_TRACKERS_BY_CACHE: &str = "SET SESSION session_track_schema=ON, session_track_state_change=ON, \
     session_track_transaction_info=IF(@@query_cache_type = 'OFF', 'CHARACTERISTICS', 'OFF')";

/// What the server reports of transactions once that is set.
pub(super) const SELECT_TRANSACTION_INFO: &str = "SELECT @@session_track_transaction_info LIMIT 1";

/// The variable that a MySQL changes with every statement.
const STATEMENT_ID: &[u8] = b"statement_id";

/// What a MySQL is asked for the names of the variables of its sessions. The first table is that of newer servers.
const SELECT_NAMES: [&str; 2] = [
    "SELECT JSON_ARRAYAGG(VARIABLE_NAME) FROM performance_schema.variables_metadata WHERE VARIABLE_SCOPE <> 'GLOBAL'",
    "SELECT JSON_ARRAYAGG(VARIABLE_NAME) FROM performance_schema.session_variables",
];

/// Variables of a session that can't be set there, or change with every statement; and the one with the list itself, which is
/// Athena's own on a link, and long.
const NOT_LISTED: [&str; 10] = [
    "error_count",
    "external_user",
    "gtid_owned",
    "max_allowed_packet",
    "max_user_connections",
    "net_buffer_length",
    "proxy_user",
    "session_track_system_variables",
    "statement_id",
    "warning_count",
];

/// The variables that can be set in a session of a MySQL, of 5.7 to 9.7, for a server that does not list its own.
const USUAL_NAMES: &str = "auto_increment_increment,auto_increment_offset,autocommit,avoid_temporal_upgrade,big_tables,\
    binlog_direct_non_transactional_updates,binlog_format,binlog_row_image,binlog_row_value_options,\
    binlog_rows_query_log_events,binlog_transaction_compression,binlog_transaction_compression_level_zstd,\
    block_encryption_mode,bulk_insert_buffer_size,character_set_client,character_set_connection,\
    character_set_database,character_set_filesystem,character_set_results,character_set_server,\
    collation_connection,collation_database,collation_server,completion_type,connection_memory_chunk_size,\
    connection_memory_limit,cte_max_recursion_depth,date_format,datetime_format,debug,\
    default_collation_for_utf8mb4,default_storage_engine,default_table_encryption,default_tmp_storage_engine,\
    default_week_format,div_precision_increment,enable_cascade_triggers,enable_secondary_engine_statistics,\
    end_markers_in_json,eq_range_index_dive_limit,explain_format,explain_json_format_version,\
    explicit_defaults_for_timestamp,external_table_secondary_storage_engine,external_table_storage_engine,\
    foreign_key_checks,generated_random_password_length,global_connection_memory_tracking,group_concat_max_len,\
    group_replication_consistency,gtid_next,histogram_generation_max_mem_size,identity,immediate_server_version,\
    information_schema_stats_expiry,innodb_ddl_buffer_size,innodb_ddl_threads,innodb_ft_enable_stopword,\
    innodb_ft_user_stopword_table,innodb_lock_wait_timeout,innodb_parallel_read_threads,innodb_strict_mode,\
    innodb_table_locks,innodb_tmpdir,insert_id,interactive_timeout,internal_tmp_disk_storage_engine,\
    internal_tmp_mem_storage_engine,join_buffer_size,keep_files_on_create,last_insert_id,lc_messages,\
    lc_time_names,lock_wait_timeout,long_query_time,low_priority_updates,max_delayed_threads,max_error_count,\
    max_execution_time,max_heap_table_size,max_insert_delayed_threads,max_join_size,max_length_for_sort_data,\
    max_points_in_geometry,max_seeks_for_key,max_sort_length,max_sp_recursion_depth,max_statement_time,\
    max_tmp_tables,min_examined_row_limit,multi_range_count,myisam_sort_buffer_size,myisam_stats_method,\
    ndb_use_transactions,net_read_timeout,net_retry_count,net_write_timeout,new,old_alter_table,\
    optimizer_max_subgraph_pairs,optimizer_prune_level,optimizer_search_depth,optimizer_switch,optimizer_trace,\
    optimizer_trace_features,optimizer_trace_limit,optimizer_trace_max_mem_size,optimizer_trace_offset,\
    original_commit_timestamp,original_server_version,parser_max_mem_size,preload_buffer_size,\
    print_identified_with_as_hex,profiling,profiling_history_size,pseudo_replica_mode,pseudo_slave_mode,\
    pseudo_thread_id,query_alloc_block_size,query_cache_type,query_cache_wlock_invalidate,query_prealloc_size,\
    rand_seed1,rand_seed2,range_alloc_block_size,range_optimizer_max_mem_size,rbr_exec_mode,read_buffer_size,\
    read_rnd_buffer_size,require_row_format,restrict_fk_on_non_standard_key,resultset_metadata,\
    secondary_engine_cost_threshold,select_into_buffer_size,select_into_disk_sync,select_into_disk_sync_delay,\
    session_track_gtids,session_track_schema,session_track_state_change,session_track_transaction_info,\
    set_operations_buffer_size,show_create_table_skip_secondary_engine,show_create_table_verbosity,\
    show_gipk_in_create_table_and_information_schema,show_old_temporals,sort_buffer_size,sql_auto_is_null,\
    sql_big_selects,sql_buffer_result,sql_generate_invisible_primary_key,sql_log_bin,sql_log_off,sql_mode,\
    sql_notes,sql_quote_show_create,sql_require_primary_key,sql_safe_updates,sql_select_limit,sql_warnings,\
    terminology_use_previous,time_format,time_zone,timestamp,tmp_table_size,transaction_alloc_block_size,\
    transaction_allow_batching,transaction_isolation,transaction_prealloc_size,transaction_read_only,\
    transaction_write_set_extraction,tx_isolation,tx_read_only,unique_checks,updatable_views_with_limit,\
    use_secondary_engine,wait_timeout,windowing_use_high_precision,xa_detach_on_prepare";

/// Whether a statement is about GTIDs, too: a MySQL does not take that in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gtids {
    With,
    Without,
}

/// The statements that set what links report, made once for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reports {
    pub(super) mariadb: bool,
    usual: Rc<str>,
    /// See [`SET_TRACKERS_BY_CACHE`].
    by_cache: Rc<str>,
}

impl Reports {
    /// Of a server that has not been asked for more.
    pub(super) fn of_family(mariadb: bool) -> Reports {
        Reports::of_names(mariadb, if mariadb { "*" } else { USUAL_NAMES })
    }

    fn of_names(mariadb: bool, names: &str) -> Reports {
        let gtids = if mariadb { "" } else { SET_GTIDS };
        let statement = |set: &str| format!("{set}{gtids}, session_track_system_variables='{names}'").into();
        Reports { mariadb, usual: statement(SET_TRACKERS), by_cache: statement(SET_TRACKERS_BY_CACHE) }
    }
}

/// How the trackers of a link are set.
#[derive(Debug, Clone)]
pub(super) struct Trackers {
    reports: Reports,
    /// By [`SET_TRACKERS_BY_CACHE`].
    by_cache: bool,
    /// The server has been told to report on transactions at the login.
    pub transactions: bool,
}

impl Trackers {
    /// Of a link whose server takes this statement.
    pub fn new(reports: Reports) -> Trackers {
        Trackers { reports, by_cache: false, transactions: true }
    }

    pub fn reports(&self) -> &Reports {
        &self.reports
    }

    /// The statement that has the server report what Athena needs.
    pub fn statement(&self) -> &str {
        if self.by_cache { &self.reports.by_cache } else { &self.reports.usual }
    }

    /// The same for a server with a query cache.
    pub fn statement_by_cache(&self) -> &str {
        &self.reports.by_cache
    }

    /// The server has a query cache.
    pub fn go_by_cache(&mut self) {
        self.by_cache = true;
    }

    /// The same for a link whose session has asked for this: a MySQL reports `statement_id` to those only who want it.
    pub fn statement_for(&self, tracked: &Tracked, gtids: Gtids) -> Cow<'_, str> {
        let statement = self.statement_with_gtids(tracked);
        match gtids {
            Gtids::With => statement,
            Gtids::Without => statement.replace(SET_GTIDS, "").into(),
        }
    }

    fn statement_with_gtids(&self, tracked: &Tracked) -> Cow<'_, str> {
        match !self.reports.mariadb && tracked.variables.tells_of(STATEMENT_ID) {
            true => format!("{SET_TRACKERS}{SET_GTIDS}, session_track_system_variables='*'").into(),
            false => self.statement().into(),
        }
    }

    /// See [`sets_nothing`]; of a MySQL there is nothing to be learned.
    pub fn asks_order(&self, names: &TrackedNames) -> Option<String> {
        if self.reports.mariadb { sets_nothing(names) } else { None }
    }

    /// The statement that has the server report what a session has asked for, and nothing else.
    pub fn statement_of(&self, tracked: &Tracked, gtids: Gtids) -> String {
        let on = |kind| if tracked.kinds.contains(kind) { "ON" } else { "OFF" };
        let transaction_info = if tracked.kinds.contains(TrackedKinds::TRANSACTION_CHARACTERISTICS) {
            "CHARACTERISTICS"
        } else if tracked.kinds.contains(TrackedKinds::TRANSACTION_STATE) {
            "STATE"
        } else {
            "OFF"
        };
        let (schema, state_change) = (on(TrackedKinds::SCHEMA), on(TrackedKinds::STATE_CHANGE));
        let mut sql = format!(
            "SET SESSION session_track_schema={schema}, session_track_state_change={state_change}, \
             session_track_transaction_info=_latin1'{transaction_info}'"
        );
        if !self.reports.mariadb && gtids == Gtids::With {
            sql += ", session_track_gtids=";
            sql += match () {
                () if tracked.kinds.contains(TrackedKinds::ALL_GTIDS) => "ALL_GTIDS",
                () if tracked.kinds.contains(TrackedKinds::GTIDS) => "OWN_GTID",
                () => "OFF",
            };
        }
        sql += &set_variables(&tracked.variables);
        if tracked.variables.value().is_none() {
            sql += ", session_track_system_variables=NULL";
        }
        sql
    }
}

/// The assignment behind others, in a form that no mode of the server changes.
fn set_variables(variables: &TrackedNames) -> String {
    let mut sql = ", session_track_system_variables=X'".to_owned();
    for byte in variables.told() {
        use std::fmt::Write;
        let _ = write!(sql, "{byte:02X}");
    }
    sql + "'"
}

/// By the row that answers [`SELECT_TRACKED`]. `before` is what the session had asked for, which holds for a value of NULL.
pub(super) fn tracked(row: &[Option<Vec<u8>>], before: &TrackedNames) -> Option<Tracked> {
    let [Some(schema), Some(state_change), Some(transaction_info), names, gtids @ ..] = row else {
        return None;
    };
    let variables = match names {
        Some(hex) => TrackedNames::of_value(&bytes(hex)?),
        None => before.with_null(),
    };
    let gtids = gtids.iter().flatten().next().map_or(&b""[..], |gtids| gtids);
    let kinds = TrackedKinds::of_variables(schema, state_change, transaction_info, gtids);
    Some(Tracked { kinds, variables: Rc::new(variables) })
}

fn bytes(hex: &[u8]) -> Option<Vec<u8>> {
    hex.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// What is found out of a server once: the order in which it tells of the variables of `default`, or what a MySQL has to be
/// asked for. Leaves the trackers set, by what is then in `trackers`.
pub(super) async fn learn(
    conversation: &mut Conversation<'_>,
    trackers: &mut Trackers,
    default: TrackedNames,
    query: impl Fn(&str) -> Vec<u8>,
) -> Result<TrackedNames, LinkError> {
    if trackers.reports.mariadb {
        return learn_order(conversation, trackers, default, query).await;
    }
    for sql in SELECT_NAMES {
        conversation.send(0, &query(sql));
    }
    let mut names = None;
    // The second table has variables that no session can set, which cost the server time.
    for only_usual in [false, true] {
        conversation.expect_reply();
        if let (SmallReply::Row(row), None) = (read_reply(conversation).await?, &names) {
            names = row.into_iter().next().flatten().and_then(|json| list(&json, only_usual));
        }
    }
    if default.tells_of(STATEMENT_ID) {
        names = Some("*".to_owned());
    }
    let Some(names) = names else { return Ok(default) };
    let reports = Reports::of_names(false, &names);
    conversation.send(0, &query(&reports.usual));
    conversation.expect_reply();
    if let SmallReply::Ok(_) = read_reply(conversation).await? {
        trackers.reports = reports;
    }
    Ok(default)
}

/// The names in a JSON array that are of use, as a value of the variable; `None` if these are no names.
fn list(json: &[u8], only_usual: bool) -> Option<String> {
    let mut names: Vec<&str> = std::str::from_utf8(json).ok()?.split('"').skip(1).step_by(2).collect();
    names.retain(|name| {
        !NOT_LISTED.contains(name) && (!only_usual || USUAL_NAMES.split(',').any(|usual| usual == *name))
    });
    let plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
    names.sort_unstable();
    (names.iter().all(plain) && !names.is_empty()).then(|| names.join(","))
}

/// A MariaDB tells in an order of its own, which is the same for the same list: it shows where variables are set to the
/// values that they have.
async fn learn_order(
    conversation: &mut Conversation<'_>,
    trackers: &Trackers,
    default: TrackedNames,
    query: impl Fn(&str) -> Vec<u8>,
) -> Result<TrackedNames, LinkError> {
    let Some(sets) = sets_nothing(&default) else { return Ok(default) };
    let list = format!("SET SESSION session_track_schema=ON{}", set_variables(&default));
    for sql in [&list, &sets, trackers.statement()] {
        conversation.send(0, &query(sql));
    }
    conversation.expect_reply();
    read_reply(conversation).await?;
    conversation.expect_reply();
    let told = conversation.receive().await?.payload;
    conversation.expect_reply();
    if let SmallReply::Err(_) = read_reply(conversation).await? {
        return Err(LinkError::Closed);
    }
    Ok(in_order(default, &told))
}

/// Puts the variables in the order of an OK packet.
pub(super) fn in_order(variables: TrackedNames, payload: &[u8]) -> TrackedNames {
    let Ok(ok) = OkPacket::parse(payload, Capabilities::SESSION_TRACK) else { return variables };
    let names: Vec<&[u8]> = Told::new(ok.session_state)
        .filter_map(|tracker| match tracker {
            Ok(Tracker::SystemVariable { name, .. }) => Some(name),
            _ => None,
        })
        .collect();
    variables.in_order(&names)
}

/// A statement that changes nothing and has the server tell of several of these variables; `None` if there is nothing to
/// be learned of it.
fn sets_nothing(names: &TrackedNames) -> Option<String> {
    let names: Vec<&[u8]> = names.names().filter(|name| Base::can_be_set_again(name)).collect();
    let sets = names.iter().map(|name| {
        let name = String::from_utf8_lossy(name);
        format!("{name}=@@session.{name}, ")
    });
    // A character set brings its default collation.
    let kept = "collation_connection=@@session.collation_connection";
    (names.len() > 1).then(|| format!("SET {}{kept}", sets.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &[u8]) -> Tracked {
        Tracked { kinds: TrackedKinds::SCHEMA, variables: Rc::new(TrackedNames::of_value(value)) }
    }

    #[test]
    fn a_mysql_lists_variables() {
        let json = br#"["sql_mode", "statement_id", "autocommit", "validate_password.policy"]"#;
        assert_eq!(list(json, false).as_deref(), Some("autocommit,sql_mode,validate_password.policy"));
        assert_eq!(list(json, true).as_deref(), Some("autocommit,sql_mode"));
        for none in [&b"[]"[..], b"", br#"["a'b"]"#, b"\xff"] {
            assert_eq!(list(none, false), None);
        }
    }

    #[test]
    fn a_session_has_its_own_trackers_and_athena_has_hers() {
        let maria = Trackers::new(Reports::of_family(true));
        assert!(maria.statement().ends_with("session_track_system_variables='*'"));
        assert_eq!(maria.statement_for(&asked(b"*"), Gtids::With), maria.statement());
        assert!(
            maria
                .statement_of(&asked(b"ab"), Gtids::With)
                .ends_with("session_track_system_variables=X'6162'")
        );
        let mysql = Trackers::new(Reports::of_family(false));
        assert_eq!(mysql.statement_for(&asked(b"sql_mode"), Gtids::With), mysql.statement());
        assert!(mysql.statement_for(&asked(b"Statement_Id"), Gtids::With).ends_with("variables='*'"));
        assert!(mysql.statement_for(&asked(b"*"), Gtids::With).ends_with("variables='*'"));
        assert!(mysql.statement_of(&asked(b"*"), Gtids::With).ends_with("variables=X'2A'"));
        assert!(!mysql.statement_for(&asked(b"*"), Gtids::Without).contains("gtids"));
        assert!(!mysql.statement_of(&asked(b"*"), Gtids::Without).contains("gtids"));
        assert!(mysql.statement_of(&asked(b"*"), Gtids::With).contains("session_track_gtids=OFF"));
        let null = Tracked {
            kinds: TrackedKinds::SCHEMA,
            variables: Rc::new(TrackedNames::of_value(b"ab").with_null()),
        };
        assert!(
            mysql
                .statement_of(&null, Gtids::With)
                .ends_with("session_track_system_variables=X'6162', session_track_system_variables=NULL")
        );
    }

    #[test]
    fn what_a_session_has_asked_for_is_read() {
        let row = |names: Option<&str>| {
            [Some("1"), Some("0"), Some("OFF"), names].map(|value| value.map(|text| text.as_bytes().to_vec()))
        };
        let before = TrackedNames::of_value(b"sql_mode");
        let now = tracked(&row(Some("2A")), &before).expect("a row");
        assert_eq!(now, asked(b"*"));
        assert_eq!(
            tracked(&row(None), &before).map(|now| (*now.variables).clone()),
            Some(before.with_null())
        );
        assert_eq!(tracked(&row(Some("XY")), &before), None);
        assert_eq!(tracked(&[], &before), None);
    }

    #[test]
    fn the_order_of_variables_is_learned_where_several_can_be_set() {
        let sets = |names: &[u8]| sets_nothing(&TrackedNames::of_value(names));
        let expected = "SET sql_mode=@@session.sql_mode, time_zone=@@session.time_zone, \
                        collation_connection=@@session.collation_connection";
        assert_eq!(sets(b"time_zone,sql_mode,timestamp").as_deref(), Some(expected));
        assert_eq!(sets(b"*"), None);
        assert_eq!(sets(b"time_zone,tx_isolation"), None);
    }
}
