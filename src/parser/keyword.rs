//! The words that mean something to the scanner: statements, clauses, functions and system variables in one table.

macro_rules! keywords {
    ($($variant:ident = $word:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Keyword {
            $($variant,)*
        }

        /// In lower case.
        const WORDS: &[(&[u8], Keyword)] = &[$(($word, Keyword::$variant),)*];
    };
}

keywords! {
    // Statements, and the words near their beginning.
    Alter = b"alter", Analyze = b"analyze", Backup = b"backup", Begin = b"begin", Binlog = b"binlog",
    Cache = b"cache", Call = b"call", Chain = b"chain", Change = b"change", Character = b"character",
    Charset = b"charset", Check = b"check", Checksum = b"checksum", Clone = b"clone", Commit = b"commit", Connection = b"connection",
    Consistent = b"consistent", Count = b"count", Create = b"create", Data = b"data", Database = b"database",
    Deallocate = b"deallocate", Default = b"default", Delete = b"delete", Desc = b"desc",
    Describe = b"describe", Do = b"do", Drop = b"drop", Dumpfile = b"dumpfile", Errors = b"errors",
    Event = b"event", Except = b"except", Execute = b"execute", Explain = b"explain", Export = b"export",
    Extended = b"extended", Flush = b"flush",
    For = b"for", Format = b"format", Full = b"full", Function = b"function", Get = b"get", Global = b"global", Grant = b"grant",
    Handler = b"handler", Hard = b"hard", Help = b"help", Id = b"id", Import = b"import", In = b"in", Index = b"index",
    Infile = b"infile", Insert = b"insert", Install = b"install", Instance = b"instance", Intersect = b"intersect", Into = b"into",
    Kill = b"kill", Like = b"like", Limit = b"limit", Load = b"load", Local = b"local", Lock = b"lock", Names = b"names", Next = b"next",
    No = b"no", Not = b"not", Offset = b"offset", Only = b"only", Optimize = b"optimize", Outfile = b"outfile", Package = b"package",
    Partitions = b"partitions",
    Password = b"password", Persist = b"persist", PersistOnly = b"persist_only", Prepare = b"prepare",
    Previous = b"previous", Privileges = b"privileges", Procedure = b"procedure", Processlist = b"processlist", Profile = b"profile", Profiles = b"profiles",
    Purge = b"purge", Query = b"query", Read = b"read", Release = b"release", Rename = b"rename", Repair = b"repair",
    Replace = b"replace", Reset = b"reset", Resignal = b"resignal", Resource = b"resource",
    Restart = b"restart", Returning = b"returning", Revoke = b"revoke", Role = b"role", Rollback = b"rollback",
    Savepoint = b"savepoint", Schema = b"schema", Select = b"select", Sequence = b"sequence",
    Server = b"server", Session = b"session", Set = b"set", Share = b"share", Show = b"show",
    Shutdown = b"shutdown", Signal = b"signal", Soft = b"soft", Start = b"start", Statement = b"statement", Status = b"status", Stop = b"stop",
    Table = b"table", Tables = b"tables", Tablespace = b"tablespace", Temporary = b"temporary", To = b"to",
    Transaction = b"transaction", Trigger = b"trigger", Truncate = b"truncate", Uninstall = b"uninstall", Union = b"union",
    Unlock = b"unlock", Update = b"update", Use = b"use", User = b"user", Value = b"value",
    Values = b"values", Variables = b"variables", View = b"view", Warnings = b"warnings", With = b"with", Write = b"write", Xa = b"xa", Xml = b"xml",
    SqlCalcFoundRows = b"sql_calc_found_rows",
    // Functions.
    AsynchronousConnectionFailoverReset = b"asynchronous_connection_failover_reset",
    BinlogGtidPos = b"binlog_gtid_pos", DesDecrypt = b"des_decrypt", DesEncrypt = b"des_encrypt",
    InnodbRedoLogSharpCheckpoint = b"innodb_redo_log_sharp_checkpoint",
    InnodbSetOpenFilesLimit = b"innodb_set_open_files_limit", IsFreeLock = b"is_free_lock",
    IsUsedLock = b"is_used_lock", LoadFile = b"load_file", MasterGtidWait = b"master_gtid_wait",
    MasterPosWait = b"master_pos_wait", PsCurrentThreadId = b"ps_current_thread_id",
    PsThreadId = b"ps_thread_id", SourcePosWait = b"source_pos_wait", UuidShort = b"uuid_short",
    WaitForExecutedGtidSet = b"wait_for_executed_gtid_set",
    WaitUntilSqlThreadAfterGtids = b"wait_until_sql_thread_after_gtids",
    WsrepLastSeenGtid = b"wsrep_last_seen_gtid", WsrepLastWrittenGtid = b"wsrep_last_written_gtid",
    WsrepSyncWaitUptoGtid = b"wsrep_sync_wait_upto_gtid",
    ConnectionId = b"connection_id", CurrVal = b"currval", FoundRows = b"found_rows", GetLock = b"get_lock",
    LastInsertId = b"last_insert_id", LastVal = b"lastval", NextVal = b"nextval",
    ReleaseAllLocks = b"release_all_locks", ReleaseLock = b"release_lock", RowCount = b"row_count",
    ServiceGetReadLocks = b"service_get_read_locks", ServiceGetWriteLocks = b"service_get_write_locks",
    ServiceReleaseLocks = b"service_release_locks", SetVal = b"setval",
    // System variables.
    Autocommit = b"autocommit", ErrorCount = b"error_count", GtidNext = b"gtid_next",
    GtidSeqNo = b"gtid_seq_no", Identity = b"identity", InsertId = b"insert_id",
    PseudoReplicaMode = b"pseudo_replica_mode", PseudoSlaveMode = b"pseudo_slave_mode",
    PseudoThreadId = b"pseudo_thread_id", QueryCacheType = b"query_cache_type", RandSeed1 = b"rand_seed1", RandSeed2 = b"rand_seed2",
    SessionTrackGtids = b"session_track_gtids", SessionTrackSchema = b"session_track_schema", SessionTrackStateChange = b"session_track_state_change",
    SessionTrackSystemVariables = b"session_track_system_variables",
    SessionTrackTransactionInfo = b"session_track_transaction_info",
    SqlLogBin = b"sql_log_bin", Timestamp = b"timestamp", TransactionIsolation = b"transaction_isolation",
    TransactionReadOnly = b"transaction_read_only", TxIsolation = b"tx_isolation",
    TxReadOnly = b"tx_read_only", WarningCount = b"warning_count",
}

/// Slots of the hash table: several for each word, so that most other words meet an empty one at once.
const SLOTS: usize = 1024;
const EMPTY: u8 = u8::MAX;

/// Which word of [`WORDS`] has its home in a slot, or has moved there because its own was taken.
static TABLE: [u8; SLOTS] = {
    assert!(WORDS.len() < EMPTY as usize);
    let mut table = [EMPTY; SLOTS];
    let mut index = 0;
    while index < WORDS.len() {
        let word = WORDS[index].0;
        let mut slot = home(word.len(), word[0], word[1], word[word.len() - 1]);
        while table[slot] != EMPTY {
            slot = (slot + 1) % SLOTS;
        }
        table[slot] = index as u8;
        index += 1;
    }
    table
};

/// The bit 0x20 makes letters lower case.
const fn home(len: usize, first: u8, second: u8, last: u8) -> usize {
    let (first, second, last) = ((first | 0x20) as usize, (second | 0x20) as usize, (last | 0x20) as usize);
    (len * 67 + first * 37 + second * 11 + last * 151) % SLOTS
}

impl Keyword {
    /// The keyword that is this word, in any case.
    pub fn of(word: &[u8]) -> Option<Keyword> {
        let [first, second, ..] = *word else { return None };
        let mut slot = home(word.len(), first, second, *word.last()?);
        loop {
            let (text, keyword) = WORDS.get(usize::from(TABLE[slot]))?;
            if word.eq_ignore_ascii_case(text) {
                return Some(*keyword);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_any_case_and_no_other() {
        for (word, keyword) in WORDS {
            assert_eq!(Keyword::of(word), Some(*keyword));
            assert_eq!(Keyword::of(&word.to_ascii_uppercase()), Some(*keyword));
            assert_eq!(Keyword::of(&[word, &b"x"[..]].concat()), None);
        }
        for other in [&b""[..], b"a", b"ix", b"sbtest1", b"gelect", b"sel\xC5ct"] {
            assert_eq!(Keyword::of(other), None);
        }
    }

    #[test]
    fn words_are_near_their_homes() {
        let mut longest = 0;
        let mut run = 0;
        for entry in TABLE.iter().chain(&TABLE) {
            run = if *entry == EMPTY { 0 } else { run + 1 };
            longest = longest.max(run);
        }
        assert!(longest <= 8, "a run of {longest} slots");
    }
}
