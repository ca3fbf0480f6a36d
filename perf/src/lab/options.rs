//! What can be chosen about a server.

/// Options of one server; the default is a small server without a binary log.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    pub(super) buffer_pool_mib: u32,
    pub(super) max_connections: u32,
    pub(super) binlog: bool,
    pub(super) extra: Vec<String>,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self { buffer_pool_mib: 128, max_connections: 1000, binlog: false, extra: Vec::new() }
    }
}

impl ServerOptions {
    /// The size of InnoDB's buffer pool in MiB (128 unless said).
    #[must_use]
    pub fn buffer_pool_mib(mut self, mib: u32) -> Self {
        self.buffer_pool_mib = mib;
        self
    }

    /// `max_connections` of the server (1000 unless said).
    #[must_use]
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.max_connections = connections;
        self
    }

    /// Whether the server writes a binary log (with GTIDs).
    #[must_use]
    pub fn binlog(mut self, on: bool) -> Self {
        self.binlog = on;
        self
    }

    /// Adds an argument of the server program, for example `--wait-timeout=3`. Later ones win.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.extra.push(argument.into());
        self
    }
}
