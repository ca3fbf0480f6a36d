//! The command byte that begins each request of a client.
//!
//! Protocol section: "Command Phase".

macro_rules! commands {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $name:literal;)*) => {
        /// A `COM_*` command.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Command {
            $($(#[$doc])* $variant = $code,)*
        }

        impl Command {
            /// Every command, in the order of their codes.
            pub const ALL: &'static [Command] = &[$(Command::$variant,)*];

            /// The command with this code, if there is one.
            pub fn from_byte(code: u8) -> Option<Command> {
                match code {
                    $($code => Some(Command::$variant),)*
                    _ => None,
                }
            }

            /// A short lower-case name, fit for the label of a metric.
            pub fn name(self) -> &'static str {
                match self {
                    $(Command::$variant => $name,)*
                }
            }
        }
    };
}

commands! {
    Sleep = 0x00, "sleep";
    /// Has no reply: the server closes.
    Quit = 0x01, "quit";
    InitDb = 0x02, "init_db";
    Query = 0x03, "query";
    FieldList = 0x04, "field_list";
    CreateDb = 0x05, "create_db";
    DropDb = 0x06, "drop_db";
    Refresh = 0x07, "refresh";
    Shutdown = 0x08, "shutdown";
    Statistics = 0x09, "statistics";
    ProcessInfo = 0x0A, "process_info";
    Connect = 0x0B, "connect";
    ProcessKill = 0x0C, "process_kill";
    Debug = 0x0D, "debug";
    Ping = 0x0E, "ping";
    Time = 0x0F, "time";
    DelayedInsert = 0x10, "delayed_insert";
    ChangeUser = 0x11, "change_user";
    BinlogDump = 0x12, "binlog_dump";
    TableDump = 0x13, "table_dump";
    ConnectOut = 0x14, "connect_out";
    RegisterSlave = 0x15, "register_slave";
    StmtPrepare = 0x16, "stmt_prepare";
    StmtExecute = 0x17, "stmt_execute";
    /// Has no reply.
    StmtSendLongData = 0x18, "stmt_send_long_data";
    /// Has no reply.
    StmtClose = 0x19, "stmt_close";
    StmtReset = 0x1A, "stmt_reset";
    SetOption = 0x1B, "set_option";
    StmtFetch = 0x1C, "stmt_fetch";
    Daemon = 0x1D, "daemon";
    BinlogDumpGtid = 0x1E, "binlog_dump_gtid";
    ResetConnection = 0x1F, "reset_connection";
    Clone = 0x20, "clone";
    SubscribeGroupReplicationStream = 0x21, "subscribe_group_replication_stream";
    /// MariaDB only.
    StmtBulkExecute = 0xFA, "stmt_bulk_execute";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip_and_gaps_are_unknown() {
        for &command in Command::ALL {
            assert_eq!(Command::from_byte(command as u8), Some(command));
            assert!(command.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
        for gap in [0x22, 0x7F, 0xF9, 0xFB, 0xFF] {
            assert_eq!(Command::from_byte(gap), None);
        }
        assert_eq!(Command::from_byte(0x17).map(Command::name), Some("stmt_execute"));
    }
}
