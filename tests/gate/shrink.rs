//! Makes a finding small: the trace is said again, and again with less in it, as long as something differs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use athena_perf::lab::Server;

use crate::ballast::Ballast;
use crate::common::TestResult;
use crate::common::wire::{Connection, Login, Result, capability as cap};
use crate::pair::{Difference, Pair, Sides};
use crate::run::{Entry, Finding, SESSIONS_PER_THREAD};
use crate::schema;

/// Who uses links between every two steps of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Nobody,
    /// A session that has set nothing.
    Plain,
    /// One that has set all sorts of things.
    Stateful,
}

/// What the stateful one has set.
const STATE: [&str; 5] = [
    "SET NAMES latin1",
    "SET @a = 'another', @b = 'session', @c = 'has', @p = 'these', @f = 1, @trigger_ran = 77",
    "SET sql_mode = 'ANSI', time_zone = '+09:00', sql_select_limit = 99, lc_time_names = 'ja_JP', group_concat_max_len = 9",
    "USE sbtest",
    "SELECT LAST_INSERT_ID(4711)",
];
const OTHERS_SAY: &str = "SELECT CAST('other' AS SIGNED), LAST_INSERT_ID(4711)";

/// Where traces are said again.
pub struct Again<'a> {
    pub servers: [&'a Server; 2],
    /// Starts Athena with so many links, and gives its port.
    pub start: &'a dyn Fn(usize) -> TestResult<u16>,
    pub sides: Sides,
    pub deadline: Instant,
}

/// How a trace is said again.
#[derive(Debug, Clone, Copy)]
struct Way {
    others: Others,
    free_links: usize,
}

/// A trace that differs at its last entry.
struct Small {
    way: Way,
    trace: Vec<Entry>,
    difference: Difference,
}

impl Again<'_> {
    /// The finding in as few steps as it gets until the deadline, to be read.
    pub fn shrink(&self, finding: &Finding, free_links: usize) -> TestResult<String> {
        let own = finding.trace.last().map_or(0, |entry| entry.session);
        let of_session = |entry: &&Entry| entry.session == own;
        let of_thread = |entry: &&Entry| entry.session / SESSIONS_PER_THREAD == finding.thread;
        let session: Vec<_> = finding.trace.iter().filter(of_session).cloned().collect();
        let thread: Vec<_> = finding.trace.iter().filter(of_thread).cloned().collect();
        let way = |others, free_links| Way { others, free_links };
        let trials = [
            (&session, way(Others::Plain, 1)),
            (&session, way(Others::Stateful, 1)),
            (&session, way(Others::Nobody, 1)),
            (&thread, way(Others::Nobody, 1)),
            (&thread, way(Others::Plain, 1)),
            (&finding.trace, way(Others::Nobody, free_links)),
        ];
        let checkout = finding.difference.is_checkout();
        for (trace, way) in trials {
            let said_again = self.differs(trace, way, checkout)?;
            if let Some((length, difference)) = said_again {
                let small = Small { way, trace: trace[..length].to_vec(), difference };
                return Ok(show(&self.smaller(small, checkout)?));
            }
            if Instant::now() > self.deadline {
                break;
            }
        }
        let tail = thread[thread.len().saturating_sub(60)..].to_vec();
        let way = way(Others::Nobody, free_links);
        let small = Small { way, trace: tail, difference: finding.difference.clone() };
        Ok(format!(
            "It does not differ again when it is said again; the end of what was said:\n{}",
            show(&small)
        ))
    }

    fn smaller(&self, mut small: Small, checkout: bool) -> TestResult<Small> {
        // The end alone.
        let mut length = 1;
        while length < small.trace.len() && self.has_time() {
            let end = small.trace[small.trace.len() - length..].to_vec();
            if self.attempt(&mut small, end, checkout)? {
                break;
            }
            length *= 2;
        }
        // Without one session, or another.
        let sessions: BTreeSet<_> = small.trace.iter().map(|entry| entry.session).collect();
        for session in sessions {
            let rest = small.trace.iter().filter(|entry| entry.session != session).cloned().collect();
            if self.has_time() {
                self.attempt(&mut small, rest, checkout)?;
            }
        }
        // Without pieces, which get shorter.
        let mut piece = small.trace.len().div_ceil(2);
        while piece > 0 && self.has_time() {
            let mut end = small.trace.len();
            while end > 0 && self.has_time() {
                let start = end.saturating_sub(piece);
                let rest = [&small.trace[..start], &small.trace[end.min(small.trace.len())..]].concat();
                self.attempt(&mut small, rest, checkout)?;
                end = start.min(small.trace.len());
            }
            piece /= 2;
        }
        Ok(small)
    }

    fn has_time(&self) -> bool {
        Instant::now() < self.deadline
    }

    /// Takes the shorter trace in place of `small` if that differs, too.
    fn attempt(&self, small: &mut Small, shorter: Vec<Entry>, checkout: bool) -> TestResult<bool> {
        if shorter.is_empty() {
            return Ok(false);
        }
        let differs = self.differs(&shorter, small.way, checkout)?;
        if let Some((length, difference)) = &differs {
            small.trace = shorter[..*length].to_vec();
            small.difference = difference.clone();
        }
        Ok(differs.is_some())
    }

    /// Whether a trace differs, and does not without Athena: what is left of one may ask for the time, or for a random
    /// number.
    fn differs(&self, trace: &[Entry], way: Way, checkout: bool) -> TestResult<Option<(usize, Difference)>> {
        let port = (self.start)(way.free_links + tokens(trace))?;
        let Some(found) = self.say(trace, way, checkout, port)? else { return Ok(None) };
        let without = self.say(&trace[..found.0], way, false, self.sides.behind)?;
        Ok(Some(found).filter(|_| without.is_none()))
    }

    /// Says a trace with new connections and new schemas; gives the number of steps up to a difference.
    ///
    /// A shorter trace may end with a link kept that the whole one gives back: no link in time only counts where that is
    /// what was found.
    fn say(
        &self,
        trace: &[Entry],
        way: Way,
        checkout: bool,
        port: u16,
    ) -> TestResult<Option<(usize, Difference)>> {
        let sides = Sides { athena: port, metrics: None, ..self.sides };
        self.forget_xa()?;
        let mut sessions = BTreeMap::new();
        for number in trace.iter().map(|entry| entry.session).collect::<BTreeSet<_>>() {
            for port in [sides.behind, sides.direct] {
                schema::create(port, number, sides.mysql)?;
            }
            match Pair::connect(sides, number) {
                Ok(pair) => drop(sessions.insert(number, (pair, false))),
                Err(error) => return Ok(checkout.then(|| (0, Difference::no_link(&error)))),
            }
        }
        let holders = Ballast::new(port, tokens(trace))
            .and_then(|ballast| Ok((ballast, Other::new(port, way.others)?)));
        let (mut ballast, mut other) = match holders {
            Ok(holders) => holders,
            Err(error) => return Ok(checkout.then(|| (0, Difference::no_link(&error)))),
        };
        for (index, entry) in trace.iter().enumerate() {
            let (pair, token) = sessions.get_mut(&entry.session).expect("connected");
            let moved = match (*token, entry.token) {
                (false, true) => ballast.take().map(drop),
                (true, false) => ballast.give_back(),
                _ => Ok(()),
            };
            *token = entry.token;
            let difference = match moved.and_then(|()| other.speak()) {
                Ok(()) => pair.run(&entry.step)?.1,
                Err(error) => Some(Difference::no_link(&error)),
            };
            match difference {
                Some(difference) if difference.is_checkout() != checkout => return Ok(None),
                Some(difference) => return Ok(Some((index + 1, difference))),
                None => {}
            }
        }
        Ok(None)
    }

    /// Ends what traces without their end have left prepared.
    fn forget_xa(&self) -> TestResult {
        for server in self.servers {
            for line in server.sql("XA RECOVER")?.lines() {
                if let Some(name) = line.split('\t').nth(3) {
                    // That it has been rolled back already is told as an error.
                    let _ = server.sql(&format!("XA ROLLBACK '{name}'"));
                }
            }
        }
        Ok(())
    }
}

/// The one that uses links between steps.
struct Other(Option<Connection>);

impl Other {
    fn new(port: u16, others: Others) -> Result<Self> {
        if others == Others::Nobody {
            return Ok(Self(None));
        }
        let mut connection = Connection::login(port, &Login::app().with(cap::MULTI_STATEMENTS))?;
        if others == Others::Stateful {
            STATE.iter().try_for_each(|sql| connection.run(sql))?;
        }
        Ok(Self(Some(connection)))
    }

    fn speak(&mut self) -> Result<()> {
        self.0.as_mut().map_or(Ok(()), |connection| connection.run(OTHERS_SAY))
    }
}

/// How many sessions of a trace may keep a link at once.
fn tokens(trace: &[Entry]) -> usize {
    let mut holding = BTreeSet::new();
    let counts = trace.iter().map(|entry| {
        if entry.token {
            holding.insert(entry.session);
        } else {
            holding.remove(&entry.session);
        }
        holding.len()
    });
    counts.max().unwrap_or_default()
}

fn show(small: &Small) -> String {
    let mut text = String::new();
    let others = match small.way.others {
        Others::Nobody => String::new(),
        Others::Plain => format!(", and between every two steps another session says {OTHERS_SAY}"),
        Others::Stateful => {
            let state = STATE.join("; ");
            format!(
                ", and between every two steps another session, which has said {state}, says {OTHERS_SAY}"
            )
        }
    };
    let links = small.way.free_links;
    let _ = writeln!(text, "{links} link(s) beside those of sessions marked with *{others}:");
    for entry in &small.trace {
        let _ = writeln!(text, "  {entry}");
    }
    let _ = write!(text, "expected:\n{}found:\n{}", small.difference.expected, small.difference.found);
    text
}

/// When a shrinking that begins now has to end.
pub fn deadline(seconds: u64) -> Instant {
    Instant::now() + Duration::from_secs(seconds)
}
