//! The names that no stored function can be called by, because a server reads them in another way: native functions,
//! and words of the grammar that a parenthesis may follow.
//!
//! Measured on MariaDB 10.11.19 and MySQL 9.7.4: each word that either server's program contains was called with nine
//! arguments, and is here unless the answer was error 1305 or 1630, that there is no such function. Words that are only
//! in MySQL since 9.0 and are no functions are left out: a link that is kept for one of them is no harm.

use foldhash::HashMap;
use std::sync::LazyLock;

use crate::parser::server::Server;

/// Longer names are no native functions.
const NAME_LEN_MAX: usize = 64;

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::parser) enum Spelling {
    /// `f(`
    Plain,
    /// `f (`
    Apart,
    /// `` `f`( ``
    Quoted,
}

/// In which spellings a name is never a stored function's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Native {
    Never,
    /// Only with the parenthesis at once behind it, unless the mode is IGNORE_SPACE.
    Adjacent,
    /// Not in quotes.
    Unquoted,
    Always,
}

use Native::{Adjacent, Always, Never, Unquoted};

/// Whether the server calls no stored function by this name in this spelling. What is not known of it, or which one it
/// is, counts as a stored function.
pub(in crate::parser) fn is_never_stored(name: &[u8], spelling: Spelling, server: Server) -> bool {
    let mut lower = [0; NAME_LEN_MAX];
    let Some(lower) = lower.get_mut(..name.len()) else { return false };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    let needed = match spelling {
        Spelling::Plain => Adjacent,
        Spelling::Apart => Unquoted,
        Spelling::Quoted => Always,
    };
    std::str::from_utf8(lower).is_ok_and(|name| native(name, server) >= needed)
}

fn native(name: &str, server: Server) -> Native {
    let (mariadb, mysql) = NAMES.get(name).copied().unwrap_or((Never, Never));
    match server {
        Server { version: 0, .. } if HASHES.contains(&name) || NEW_ON_MYSQL.contains(&name) => Never,
        Server { version: 0, .. } => mariadb.min(mysql),
        Server { mariadb: true, version } => {
            let newer = NEW_ON_MARIADB.iter().find(|(newer, since)| *newer == name && *since <= version);
            if newer.is_some() { Always } else { mariadb }
        }
        Server { version, .. } if version < MYSQL_9 && NEW_ON_MYSQL.contains(&name) => Never,
        Server { version, .. } if version < MYSQL_9_6 && HASHES.contains(&name) => Always,
        Server { .. } => mysql,
    }
}

const MYSQL_9: u32 = 90000;
const MYSQL_9_6: u32 = 90600;

/// Functions of MySQL until they became a component's.
const HASHES: [&str; 3] = ["md5", "sha", "sha1"];

const NEW_ON_MYSQL: [&str; 12] = [
    "current_role_in",
    "current_user_in",
    "etag",
    "from_vector",
    "get_jdv_property_key_value",
    "internal_get_dd_column_extra",
    "internal_use_terminology_previous",
    "json_duality_object",
    "string_to_vector",
    "to_vector",
    "vector_dim",
    "vector_to_string",
];

/// What MariaDB has got after the version that was measured, and since when.
const NEW_ON_MARIADB: [(&str, u32); 13] = [
    ("format_pico_time", 110002),
    ("json_array_intersect", 110200),
    ("json_key_value", 110200),
    ("json_object_filter_keys", 110200),
    ("json_object_to_array", 110200),
    ("json_schema_valid", 110101),
    ("kdf", 110300),
    ("uuid_v4", 110700),
    ("uuid_v7", 110700),
    ("vec_distance_cosine", 110700),
    ("vec_distance_euclidean", 110700),
    ("vec_fromtext", 110700),
    ("vec_totext", 110700),
];

static NAMES: LazyLock<HashMap<&str, (Native, Native)>> = LazyLock::new(|| {
    let lists = LISTS.iter();
    lists
        .flat_map(|(mariadb, mysql, names)| names.split_whitespace().map(|name| (name, (*mariadb, *mysql))))
        .collect()
});

/// On MariaDB, on MySQL, and the names of which that holds.
#[rustfmt::skip]
const LISTS: &[(Native, Native, &str)] = &[
    (
        Always,
        Always,
        "abs acos addtime aes_decrypt aes_encrypt asin atan atan2 benchmark bin bit_count bit_length ceil ceiling
char_length character_length coercibility compress concat concat_ws connection_id conv convert_tz cos cot
crc32 date_format datediff dayname dayofmonth dayofweek dayofyear degrees elt exp export_set extractvalue
field find_in_set floor found_rows from_base64 from_days from_unixtime get_lock greatest hex ifnull
inet6_aton inet6_ntoa inet_aton inet_ntoa instr is_free_lock is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6
is_used_lock isnull json_array json_array_append json_array_insert json_contains json_contains_path
json_depth json_extract json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve
json_object json_overlaps json_pretty json_quote json_remove json_replace json_search json_set json_type
json_unquote json_valid last_day last_insert_id lcase least length ln load_file locate log log10 log2 lower
lpad ltrim make_set makedate maketime master_pos_wait mbrcontains mbrdisjoint mbrequals mbrintersects
mbroverlaps mbrtouches mbrwithin monthname name_const nullif oct octet_length ord period_add period_diff pi
pow power quote radians rand random_bytes regexp_instr regexp_replace regexp_substr release_all_locks
release_lock reverse round rpad rtrim sec_to_time sha2 sign sin sleep soundex space sqrt st_area st_asbinary
st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains st_convexhull st_crosses
st_difference st_dimension st_disjoint st_distance st_distance_sphere st_endpoint st_envelope st_equals
st_exteriorring st_geomcollfromtext st_geomcollfromwkb st_geometrycollectionfromtext
st_geometrycollectionfromwkb st_geometryfromtext st_geometryfromwkb st_geometryn st_geometrytype
st_geomfromgeojson st_geomfromtext st_geomfromwkb st_interiorringn st_intersection st_intersects st_isclosed
st_isempty st_issimple st_length st_linefromtext st_linefromwkb st_linestringfromtext st_linestringfromwkb
st_mlinefromtext st_mlinefromwkb st_mpointfromtext st_mpointfromwkb st_mpolyfromtext st_mpolyfromwkb
st_multilinestringfromtext st_multilinestringfromwkb st_multipointfromtext st_multipointfromwkb
st_multipolygonfromtext st_multipolygonfromwkb st_numgeometries st_numinteriorrings st_numpoints st_overlaps
st_pointfromtext st_pointfromwkb st_pointn st_polyfromtext st_polyfromwkb st_polygonfromtext
st_polygonfromwkb st_srid st_startpoint st_symdifference st_touches st_union st_within st_x st_y str_to_date
strcmp substring_index subtime tan time_format time_to_sec timediff to_base64 to_days to_seconds ucase
uncompress uncompressed_length unhex unix_timestamp updatexml upper uuid uuid_short version weekday
weekofyear yearweek",
    ),
    (
        Always,
        Unquoted,
        "coalesce collation contains database format geometrycollection json_value linestring microsecond mod
multilinestring multipoint multipolygon password polygon quarter row_count schema schemas srid week",
    ),
    (
        Always,
        Never,
        "add_months binlog_gtid_pos chr column_check column_exists column_json column_list concat_operator_oracle
crc32c decode decode_histogram decode_oracle des_decrypt des_encrypt encode encrypt glength json_compact
json_detailed json_equals json_exists json_loose json_normalize json_query lengthb lpad_oracle ltrim_oracle
master_gtid_wait mbrequal md5 natural_sort_key nvl nvl2 old_password overlaps replace_oracle rpad_oracle
rtrim_oracle sformat sha sha1 st_boundary st_isring st_pointonsurface st_relate substr_oracle sys_guid
to_char within wsrep_last_seen_gtid wsrep_last_written_gtid wsrep_sync_wait_upto_gtid",
    ),
    (
        Unquoted,
        Always,
        "current_role",
    ),
    (
        Unquoted,
        Unquoted,
        "accessible add all alter analyze and any as asc ascii asensitive avg backup before begin between bigint
binary binlog bit blob bool boolean both by byte cache call cascade case change char character charset check
checksum close code collate column comment commit compressed condition constraint continue convert create
cross current_date current_time current_timestamp current_user cursor databases date datetime day day_hour
day_microsecond day_minute day_second deallocate dec decimal declare default delayed delete desc describe
deterministic distinct distinctrow div do double drop dual each else elseif enclosed end enum escaped except
exclude execute exists exit explain false fetch fixed float float4 float8 flush following follows for force
foreign from fulltext function get get_format global grant group handler having help high_priority host hour
hour_microsecond hour_minute hour_second if ignore in index infile inner inout insensitive insert install
int int1 int2 int3 int4 int8 integer intersect interval into is iterate join json key keys kill language
last_value leading leave left like limit linear lines load local localtime localtimestamp lock long longblob
longtext loop low_priority match maxvalue medium mediumblob mediumint mediumtext middleint minute
minute_microsecond minute_second modifies month names national natural nchar no no_write_to_binlog not null
number numeric nvarchar offset on open optimize option optionally options or order others out outer outfile
over owner parser partition port precedes preceding precision prepare primary procedure purge range read
read_write reads real recursive references regexp release remove rename repair repeat replace replica
replicas require reset resignal restore restrict return returning revoke right rlike role rollback row
row_number rows savepoint second second_microsecond security select sensitive separator serial server
session set show shutdown signal signed slave smallint socket some soname sounds spatial specific sql
sql_big_result sql_calc_found_rows sql_small_result sql_tsi_day sql_tsi_hour sql_tsi_minute sql_tsi_month
sql_tsi_second sql_tsi_year sqlexception sqlstate sqlwarning ssl start starting stats_auto_recalc
stats_persistent stats_sample_pages stop stored straight_join table terminated text then ties time timestamp
timestampadd timestampdiff tinyblob tinyint tinytext to trailing trigger true truncate unbounded undo
unicode uninstall union unique unlock unsigned update upgrade usage use user using utc_date utc_time
utc_timestamp value values varbinary varchar varcharacter varying weight_string when where while window with
wrapper write xa xor year year_month zerofill",
    ),
    (
        Unquoted,
        Adjacent,
        "sysdate",
    ),
    (
        Unquoted,
        Never,
        "checkpoint clob column_add column_create column_delete column_get delete_domain_id do_domain_ids examined id
ignore_domain_ids ignored lastval master_demote_to_replica master_demote_to_slave
master_ssl_verify_server_cert nextval page_checksum parse_vcol_expr period portion raw ref_system_id rownum
setval slaves varchar2",
    ),
    (
        Adjacent,
        Unquoted,
        "cume_dist dense_rank first_value lag lead nth_value ntile percent_rank rank",
    ),
    (
        Adjacent,
        Adjacent,
        "adddate bit_and bit_or bit_xor cast count curdate curtime date_add date_sub extract group_concat
json_arrayagg json_objectagg max mid min now position session_user std stddev stddev_pop stddev_samp subdate
substr substring sum system_user trim var_pop var_samp variance",
    ),
    (
        Adjacent,
        Never,
        "median percentile_cont percentile_disc trim_oracle",
    ),
    (
        Never,
        Always,
        "any_value asynchronous_connection_failover_reset bin_to_uuid can_access_column can_access_database
can_access_event can_access_resource_group can_access_routine can_access_table can_access_trigger
can_access_user can_access_view convert_cpu_id_mask convert_interval_to_user_interval current_role_in
current_user_in etag format_bytes format_pico_time from_vector get_dd_column_privileges
get_dd_create_options get_dd_index_private_data get_dd_index_sub_part_length get_dd_property_key_value
get_dd_schema_options get_dd_tablespace_private_data get_jdv_property_key_value gtid_subset gtid_subtract
icu_version innodb_redo_log_sharp_checkpoint innodb_set_open_files_limit internal_auto_increment
internal_avg_row_length internal_check_time internal_checksum internal_data_free internal_data_length
internal_dd_char_length internal_get_comment_or_error internal_get_dd_column_extra
internal_get_enabled_role_json internal_get_hostname internal_get_mandatory_roles_json
internal_get_partition_nodegroup internal_get_username internal_get_view_warning_or_error
internal_index_column_cardinality internal_index_length internal_is_enabled_role internal_is_mandatory_role
internal_keys_disabled internal_max_data_length internal_table_rows internal_tablespace_autoextend_size
internal_tablespace_data_free internal_tablespace_extent_size internal_tablespace_extra
internal_tablespace_free_extents internal_tablespace_id internal_tablespace_initial_size
internal_tablespace_logfile_group_name internal_tablespace_logfile_group_number
internal_tablespace_maximum_size internal_tablespace_row_format internal_tablespace_status
internal_tablespace_total_extents internal_tablespace_type internal_tablespace_version internal_update_time
internal_use_terminology_previous is_uuid is_visible_dd_object json_schema_valid
json_schema_validation_report json_storage_free json_storage_size mbrcoveredby mbrcovers
ps_current_thread_id ps_thread_id regexp_like remove_dd_property_key roles_graphml source_pos_wait
st_buffer_strategy st_frechetdistance st_geohash st_geomcollfromtxt st_hausdorffdistance st_isvalid
st_latfromgeohash st_latitude st_lineinterpolatepoint st_lineinterpolatepoints st_longfromgeohash
st_longitude st_makeenvelope st_numinteriorring st_pointatdistance st_pointfromgeohash st_simplify st_swapxy
st_transform st_validate statement_digest statement_digest_text string_to_vector to_vector uuid_to_bin
validate_password_strength vector_dim vector_to_string version_with_update wait_for_executed_gtid_set",
    ),
    (
        Never,
        Unquoted,
        "account action active admin after against aggregate algorithm always array
assign_gtids_to_anonymous_transactions at attribute authentication auto_increment auto_refresh
auto_refresh_source autoextend_size avg_row_length block btree buckets cascaded catalog_name chain
challenge_response changed channel cipher class_origin client clone column_format column_name columns
committed compact completion component compression concurrent connection consistent constraint_catalog
constraint_name constraint_schema context cpu cube current cursor_name data datafile default_auth definer
definition delay_key_write description diagnostics directory disable discard disk dumpfile duplicate dynamic
empty enable encryption ends enforced engine engine_attribute engines error errors escape event events every
exchange expansion expire export extended extent_size factor failed_login_attempts fast faults fields file
file_block_size files filter finish first found full general generated geomcollection geometry
get_source_public_key grants group_replication grouping groups gtid_only hash histogram history hosts
identified ignore_server_ids import inactive indexes initial initial_size initiate insert_method instance
invisible invoker io io_after_gtids io_before_gtids io_thread ipc isolation issuer json_table key_block_size
keyring last lateral leaves less level list locked locks logfile logs masking master
max_connections_per_hour max_queries_per_hour max_rows max_size max_updates_per_hour max_user_connections
member memory merge message_text migrate min_rows mode modify mutex mysql_errno name ndb ndbcluster nested
network_namespace never new next no_wait nodegroup none nowait nulls of off oj old one only optimizer_costs
optional ordinality organization pack_keys page partial partitioning partitions password_lock_time path
persist persist_only phase plugin plugin_dir plugins point policy preserve prev privilege_checks_user
privileges process processlist profile profiles proxy query quick random read_only rebuild recover
redo_buffer_size redundant reference registration relay relay_log_file relay_log_pos relay_thread relaylog
reload reorganize repeatable replicate_do_db replicate_do_table replicate_ignore_db replicate_ignore_table
replicate_rewrite_db replicate_wild_do_table replicate_wild_ignore_table replication require_row_format
require_table_primary_key_check resource respect restart resume retain returned_sqlstate returns reuse
rollup rotate routine row_format rtree schedule schema_name secondary secondary_engine
secondary_engine_attribute secondary_load secondary_unload serializable share simple skip slow snapshot
source source_auto_position source_bind source_compression_algorithms source_connect_retry
source_connection_auto_failover source_delay source_heartbeat_period source_host source_log_file
source_log_pos source_password source_port source_public_key_path source_retry_count source_ssl
source_ssl_ca source_ssl_capath source_ssl_cert source_ssl_cipher source_ssl_crl source_ssl_crlpath
source_ssl_key source_ssl_verify_server_cert source_tls_ciphersuites source_tls_version source_user
source_zstd_compression_level sql_after_gtids sql_after_mts_gaps sql_before_gtids sql_buffer_result
sql_no_cache sql_thread sql_tsi_quarter sql_tsi_week stacked starts status storage stream strict_load string
subclass_origin subject subpartition subpartitions super suspend swaps switches system table_checksum
table_name tables tablespace temporary temptable than thread_priority tls transaction triggers type types
uncommitted undefined undo_buffer_size undofile unknown unregister until uri use_frm user_resources validate
validation variables vcpu vector verify_key_constraints view virtual visible wait warnings without work x509
xid xml zone",
    ),
    (
        Never,
        Adjacent,
        "json_duality_object st_collect",
    ),
];
