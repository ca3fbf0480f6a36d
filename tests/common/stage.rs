//! A MariaDB with Athena in front of it, and what can be counted there.

use std::fmt;
use std::time::Duration;

use athena_perf::lab::{APP_USER, Lab, Server, ServerOptions};
use athena_perf::proxy::{Athena, AthenaConfig, sum_metric};

use super::wire::{self, Connection, Login, Plugin};
use super::{TestResult, eventually};

/// Closing a socket, a link or a statement of a dead client takes a moment, but not more than this.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);

/// A server that has just started may be slower than Athena's default, on a busy machine.
const CONNECT_TIMEOUT_MS: &str = "20000";

/// Runs `test` on a MariaDB, and on a MySQL where there is one.
pub fn on_each_server(
    name: &str,
    configure: impl Fn(AthenaConfig) -> AthenaConfig,
    test: impl Fn(&Stage) -> TestResult,
) -> TestResult {
    let stage = Stage::start_with(name, &configure)?;
    test(&stage)?;
    drop(stage);
    match Stage::start_on_mysql(name, &configure)? {
        Some(stage) => test(&stage).map_err(|error| format!("on MySQL: {error}").into()),
        None => Ok(()),
    }
}

/// A server with Athena in front of it. Dropped in this order: proxy, server, files.
#[derive(Debug)]
pub struct Stage {
    pub athena: Athena,
    pub server: Server,
    pub lab: Lab,
}

impl Stage {
    /// With Athena's defaults, but for the time in which a link has to be logged in.
    pub fn start(name: &str) -> TestResult<Self> {
        Self::start_with(name, |config| config)
    }

    /// With what `configure` makes of the configuration.
    pub fn start_with(name: &str, configure: impl FnOnce(AthenaConfig) -> AthenaConfig) -> TestResult<Self> {
        let lab = Lab::new(name)?;
        let server = lab.server(ServerOptions::default())?;
        Self::start_on(lab, server, configure)
    }

    /// The same in front of a real MySQL; `None` where there is none.
    pub fn start_on_mysql(
        name: &str,
        configure: impl FnOnce(AthenaConfig) -> AthenaConfig,
    ) -> TestResult<Option<Self>> {
        let lab = Lab::new(name)?;
        let Some(server) = lab.mysql_server(ServerOptions::default())? else { return Ok(None) };
        Self::start_on(lab, server, configure).map(Some)
    }

    /// In front of a server that was chosen otherwise.
    pub fn start_on(
        lab: Lab,
        server: Server,
        configure: impl FnOnce(AthenaConfig) -> AthenaConfig,
    ) -> TestResult<Self> {
        let config = AthenaConfig::new(server.port()).set("pool", "connect_timeout_ms", CONNECT_TIMEOUT_MS);
        let config = configure(config);
        let athena = Athena::start(env!("CARGO_BIN_EXE_athena").as_ref(), lab.folder(), &config)?;
        Ok(Self { athena, server, lab })
    }

    /// A client of Athena, logged in as the application.
    pub fn connect(&self) -> wire::Result<Connection> {
        Connection::open(self.athena.port())
    }

    /// A client of Athena with a login of its own.
    pub fn login(&self, login: &Login) -> wire::Result<Connection> {
        Connection::login(self.athena.port(), login)
    }

    /// A connection to the server itself. A MySQL asks for the password of an account that has not logged in before, which
    /// is given.
    pub fn direct(&self, login: &Login) -> wire::Result<Connection> {
        Connection::login(self.server.port(), &login.clone().by(Plugin::CachingSha2Rsa))
    }

    /// Fails unless another client, written by others, is served.
    pub fn assert_serves(&self) -> TestResult {
        assert_eq!(self.athena.client().run("SELECT 1")?, "1");
        Ok(())
    }

    /// The errors of one kind that Athena itself answered.
    pub fn errors(&self, kind: &str) -> TestResult<f64> {
        Ok(self.athena.metric("athena_errors_total", &[("kind", kind)])?)
    }

    /// Connections that the server has from the application: Athena's links, if nobody else is there.
    pub fn server_connections(&self) -> TestResult<f64> {
        let sql = format!("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER = '{APP_USER}'");
        Ok(self.server.sql(&sql)?.parse()?)
    }

    /// Counts once two counts agree: nothing is on its way any more.
    pub fn settled_census(&self) -> Census {
        let mut last = None;
        eventually("the counts settle", SETTLE_TIMEOUT, || {
            let census = self.census()?;
            let settled = last.as_ref() == Some(&census);
            last = Some(census);
            if settled { Ok(census) } else { Err(census.to_string()) }
        })
    }

    /// Fails unless the counts come back to `before`.
    pub fn assert_back_to(&self, before: Census) {
        eventually("the counts come back", SETTLE_TIMEOUT, || {
            let now = self.census()?;
            if now == before { Ok(()) } else { Err(format!("{now}, before: {before}")) }
        });
    }

    fn census(&self) -> Result<Census, String> {
        let server_connections = self.server_connections().map_err(|error| error.to_string())?;
        let page = self.athena.metrics().map_err(|error| error.to_string())?;
        let gauge = |name: &str| whole(sum_metric(&page, name, &[]));
        let links_in = |state: &str| whole(sum_metric(&page, "athena_links", &[("state", state)]));
        let (connections, links) = (gauge("athena_connections"), gauge("athena_links"));
        Ok(Census {
            connections,
            links_in_use: links_in("busy") + links_in("bound") + links_in("connecting"),
            links_unknown: whole(server_connections) - links,
            permits: gauge("athena_rate_limit_running"),
            queued: gauge("athena_rate_limit_queued"),
            other_fds: gauge("process_open_fds") - connections - links,
        })
    }
}

/// What a client must not leave behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Clients.
    connections: i64,
    /// Links that are not idle.
    links_in_use: i64,
    /// Connections that the server has beyond the links that Athena knows of.
    links_unknown: i64,
    /// Statements that hold a permit of the rate limit.
    permits: i64,
    /// Statements that wait for one.
    queued: i64,
    /// File descriptors that belong neither to a client nor to a link; the number of idle links may change.
    other_fds: i64,
}

impl fmt::Display for Census {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// Counts are small whole numbers.
fn whole(count: f64) -> i64 {
    count as i64
}
