//! Logging: `tracing` to standard error, through a thread of its own.
//!
//! A core that logs puts a finished line into a bounded queue and goes on. If the writer can't keep up (a terminal
//! that was stopped, a full disk behind a pipe), lines are dropped and counted, and the log says how many as soon as
//! it moves again. A slow log never slows a query.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, OnceLock};

use tracing::Subscriber;
use tracing::field::Field;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// The environment variable that goes before the configured level.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

/// Lines that wait for the writer; at some 200 bytes a line that is less than 2 MiB.
const LINES_MAX: usize = 8 * 1024;

/// The target of what the log says about itself.
const TARGET: &str = "athena::log";

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Time (UTC, RFC 3339), level, target, message, fields.
    Text,
    /// One JSON object a line, with the same parts.
    Json,
}

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{origin}: {filter:?} is not a log filter: {error}")]
    Filter { origin: &'static str, filter: String, error: ParseError },
    #[error("logging was set up before: {0}")]
    Installed(#[from] TryInitError),
}

/// Keeps the writer alive. When it is dropped, what was logged is written out, for at most about a second.
#[must_use = "dropping the guard ends the log"]
pub struct Guard {
    _writer: WorkerGuard,
    dropped: ErrorCounter,
}

impl Guard {
    /// The count of lines dropped because the writer could not keep up. It may outlive the guard.
    pub fn losses(&self) -> Losses {
        Losses(self.dropped.clone())
    }
}

/// See [`Guard::losses`].
pub struct Losses(ErrorCounter);

impl Losses {
    /// Lines dropped so far.
    pub fn lines(&self) -> u64 {
        self.0.dropped_lines() as u64
    }
}

/// Sets up the log of the process. `level` is a level (`info`) or a filter of `tracing-subscriber`
/// (`info,athena::pool=debug`); the environment's [`FILTER_VARIABLE`] replaces it unless it is empty.
///
/// # Errors
/// A filter that can't be read, or a log that exists already.
pub fn init(level: &str, format: Format) -> Result<Guard, LogError> {
    let from_environment = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.trim().is_empty());
    let filter = match &from_environment {
        Some(filter) => parse(FILTER_VARIABLE, filter)?,
        None => parse("[log] level", level)?,
    };
    let (writer, guard) = writer(io::stderr());
    subscriber(filter, format, io::stderr().is_terminal(), writer).try_init()?;
    Ok(guard)
}

fn parse(origin: &'static str, filter: &str) -> Result<EnvFilter, LogError> {
    EnvFilter::builder().parse(filter).map_err(|error| LogError::Filter {
        origin,
        filter: filter.to_owned(),
        error,
    })
}

fn subscriber<W>(
    filter: EnvFilter,
    format: Format,
    colours: bool,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer);
    match format {
        Format::Text => {
            let fields = debug_fn(write_field).delimited(" ");
            Box::new(builder.with_ansi(colours).fmt_fields(fields).finish())
        }
        Format::Json => Box::new(builder.json().flatten_event(true).finish()),
    }
}

/// A field of a line of text. What clients and servers send is among them (names, errors): it must not begin a line of its
/// own, nor tell a terminal anything.
fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    for character in format!("{value:?}").chars() {
        match character.is_control() {
            true => write!(writer, "{}", character.escape_default())?,
            false => writer.write_char(character)?,
        }
    }
    Ok(())
}

/// A writer that never blocks, in front of a thread that writes to `output`.
fn writer<W: Write + Send + 'static>(
    output: W,
) -> (impl for<'a> MakeWriter<'a> + Send + Sync + 'static, Guard) {
    let dropped = Arc::new(OnceLock::new());
    let confessing = Confessing { output, dropped: dropped.clone(), reported: 0 };
    let (writer, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(LINES_MAX)
        .lossy(true)
        .thread_name("athena-log")
        .finish(confessing);
    // The counter exists only now that the writer does.
    let counter = dropped.get_or_init(|| writer.error_counter()).clone();
    (writer, Guard { _writer: guard, dropped: counter })
}

/// An output that says in the log itself when lines were dropped.
struct Confessing<W> {
    output: W,
    dropped: Arc<OnceLock<ErrorCounter>>,
    /// How many of them the log has been told.
    reported: usize,
}

impl<W: Write> Write for Confessing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    /// The writer's thread calls this when the queue has run empty, so there is room for one more line.
    fn flush(&mut self) -> io::Result<()> {
        let dropped = self.dropped.get().map_or(0, ErrorCounter::dropped_lines);
        let lines = dropped.saturating_sub(self.reported);
        if lines > 0 {
            self.reported = dropped;
            tracing::warn!(target: TARGET, lines, "log lines were dropped: the log could not be written fast enough");
        }
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// An output that keeps what it gets, once the gate in front of it is free.
    #[derive(Clone, Default)]
    struct Kept {
        bytes: Arc<Mutex<Vec<u8>>>,
        gate: Arc<Mutex<()>>,
    }

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            drop(self.gate.lock());
            self.bytes.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: &str, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let (writer, guard) = writer(kept.clone());
        let subscriber = subscriber(parse("test", filter).unwrap(), format, false, writer);
        tracing::subscriber::with_default(subscriber, log);
        drop(guard);
        String::from_utf8(kept.bytes.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_line_of_text_has_time_level_target_message_and_fields() {
        let text = logged(Format::Text, "info", || {
            tracing::info!(target: "athena::pool", address = "db:3306", links = 3, "link opened");
            tracing::debug!("not shown");
        });
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(time.ends_with('Z') && time.as_bytes().get(10) == Some(&b'T'), "{text}");
        assert_eq!(rest, " INFO athena::pool: link opened address=\"db:3306\" links=3\n");
    }

    #[test]
    fn nobody_writes_lines_of_their_own() {
        let user = "eve\n2026-01-01T00:00:00Z  INFO athena: all is well\u{1b}[2J\u{9b}1m";
        let text = logged(Format::Text, "info", || {
            let error = std::io::Error::other(format!("Access denied for user '{user}'"));
            tracing::info!(target: "athena::login", %error, %user, text = user, "refused");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(!text.trim_end().contains(char::is_control), "{text:?}");
        assert!(text.contains(r"'eve\n2026") && text.contains(r"\u{1b}[2J"), "{text}");
    }

    #[test]
    fn a_line_of_json_is_one_object() {
        let text = logged(Format::Json, "warn,athena::pool=debug", || {
            tracing::debug!(target: "athena::pool", links = 3, "link\nopened");
            tracing::info!(target: "athena::session", "not shown");
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "DEBUG");
        assert_eq!(line["target"], "athena::pool");
        assert_eq!(line["message"], "link\nopened");
        assert_eq!(line["links"], 3);
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn a_filter_that_cannot_be_read_names_its_origin() {
        let error = parse(FILTER_VARIABLE, "athena=loud").unwrap_err().to_string();
        assert!(error.starts_with("RUST_LOG: \"athena=loud\" is not a log filter"), "{error}");
    }

    #[test]
    fn a_stuck_writer_costs_lines_not_time_and_owns_up_to_it() {
        let kept = Kept::default();
        let (writer, guard) = writer(kept.clone());
        // The report comes from the writer's thread, which only a global subscriber reaches; what other tests log
        // meanwhile must stay out of the count.
        let filter = parse("test", &format!("stuck=info,{TARGET}=warn")).unwrap();
        let subscriber = subscriber(filter, Format::Text, false, writer);
        tracing::subscriber::set_global_default(subscriber).unwrap();
        let stuck = kept.gate.lock().unwrap();
        for n in 0..LINES_MAX + 500 {
            tracing::info!(target: "stuck", n, "line");
        }
        let dropped = guard.losses().lines();
        assert!((400..=500).contains(&dropped), "{dropped}");
        drop(stuck);
        let said = format!("fast enough lines={dropped}\n");
        let shown = || String::from_utf8_lossy(&kept.bytes.lock().unwrap()).contains(&said);
        for _ in 0..200 {
            if shown() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert!(shown());
        drop(guard);
    }
}
