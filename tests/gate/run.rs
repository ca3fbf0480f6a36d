//! A run: threads with some sessions each, which say the same on both sides until something differs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use athena_perf::proxy::http_get;

use crate::ballast::Ballast;
use crate::common::random::Random;
use crate::common::{TestResult, join};
use crate::grammar::Grammar;
use crate::pair::{Difference, Pair, Sides};
use crate::schema;
use crate::step::Step;
use crate::voice::Voice;

/// Sessions of a thread. More threads than free links: some wait for one.
pub const SESSIONS_PER_THREAD: usize = 4;
/// Sessions of a thread that may keep a link at a time.
pub const TOKENS_PER_THREAD: usize = 1;
/// After so many statements of a thread its sessions begin anew: a trace has no more of them.
const ROUND: usize = 3000;

/// What was chosen about a run.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub seed: u64,
    pub statements: u64,
    pub sessions: usize,
}

impl Plan {
    pub fn threads(&self) -> usize {
        self.sessions.div_ceil(SESSIONS_PER_THREAD)
    }
}

/// A step that was sent.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place among those of all threads.
    pub order: u64,
    pub session: usize,
    pub step: Step,
    /// Its session may keep a link meanwhile.
    pub token: bool,
}

impl Entry {
    /// How a step is marked whose session may keep a link.
    fn mark(&self) -> char {
        if self.token { '*' } else { ' ' }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}{} {}", self.session, self.mark(), self.step)
    }
}

/// A difference, and all that was said before.
#[derive(Debug)]
pub struct Finding {
    pub difference: Difference,
    pub thread: usize,
    pub round: usize,
    /// Of all threads, in order; the last is where it differs.
    pub trace: Vec<Entry>,
}

impl Finding {
    /// The last steps of the session that found the difference.
    pub fn own_steps(&self, count: usize) -> String {
        let Some(last) =
            self.trace.iter().rev().find(|entry| entry.session / SESSIONS_PER_THREAD == self.thread)
        else {
            return String::new();
        };
        let own: Vec<_> = self.trace.iter().filter(|entry| entry.session == last.session).collect();
        let shown = &own[own.len().saturating_sub(count)..];
        shown.iter().map(|entry| format!("  {}{}\n", entry.mark(), entry.step)).collect()
    }

    /// What each session said last: where no link came free, one of those without a token keeps one.
    pub fn last_steps(&self) -> String {
        let mut last = BTreeMap::new();
        for entry in &self.trace {
            last.insert(entry.session, entry);
        }
        last.values().map(|entry| format!("  {entry}\n")).collect()
    }
}

/// What a run did.
#[derive(Debug, Default)]
pub struct Tally {
    pub steps: AtomicU64,
    pub errors: AtomicU64,
    pub reconnects: AtomicU64,
    pub with_token: AtomicU64,
}

struct Run<'a> {
    sides: Sides,
    plan: Plan,
    grammar: &'a Grammar,
    tally: &'a Tally,
    stopped: AtomicBool,
    traces: Vec<Mutex<Vec<Entry>>>,
}

/// Runs a plan to its end, or to the first difference.
///
/// # Errors
/// When the servers can't be used, or Athena keeps links without a reason.
pub fn run(sides: Sides, plan: Plan, grammar: &Grammar, tally: &Tally) -> TestResult<Option<Finding>> {
    let traces = (0..plan.threads()).map(|_| Mutex::default()).collect();
    let run = &Run { sides, plan, grammar, tally, stopped: AtomicBool::new(false), traces };
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..plan.threads()).map(|thread| scope.spawn(move || run.thread(thread))).collect();
        threads.into_iter().map(join).collect()
    });
    // An error of one thread may be what the difference of another brought about.
    let mut error = None;
    for result in results {
        match result {
            Ok(Some(finding)) => return Ok(Some(finding)),
            Ok(None) => {}
            Err(failure) => error = error.or(Some(failure)),
        }
    }
    error.map_or(Ok(None), Err)
}

impl Run<'_> {
    fn thread(&self, thread: usize) -> TestResult<Option<Finding>> {
        let result = self.rounds(thread);
        if !matches!(result, Ok(None)) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        result.map_err(|error| format!("seed {}, thread {thread}: {error}", self.plan.seed).into())
    }

    fn rounds(&self, thread: usize) -> TestResult<Option<Finding>> {
        let mut ballast = match Ballast::new(self.sides.athena, TOKENS_PER_THREAD) {
            Ok(ballast) => ballast,
            Err(error) => {
                let difference = Difference::no_link(&error);
                return Ok(Some(Finding { difference, thread, round: 0, trace: self.trace() }));
            }
        };
        for round in 0.. {
            if self.is_over() {
                break;
            }
            if let Some(mut difference) = self.round(thread, round, &mut ballast)? {
                if let (true, Some(port)) = (difference.is_checkout(), self.sides.metrics) {
                    difference.found += &links(port)?;
                }
                return Ok(Some(Finding { difference, thread, round, trace: self.trace() }));
            }
        }
        Ok(None)
    }

    fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
            || self.tally.steps.load(Ordering::Relaxed) >= self.plan.statements
    }

    fn round(&self, thread: usize, round: usize, ballast: &mut Ballast) -> TestResult<Option<Difference>> {
        let first = thread * SESSIONS_PER_THREAD;
        let numbers = first..self.plan.sessions.min(first + SESSIONS_PER_THREAD);
        let mut random = Random::new(self.plan.seed ^ ((thread as u64) << 48) ^ ((round as u64 + 1) << 24));
        self.own(thread).clear();
        let mut sessions = Vec::new();
        for number in numbers {
            for port in [self.sides.behind, self.sides.direct] {
                schema::create(port, number, self.sides.mysql)?;
            }
            match Pair::connect(self.sides, number) {
                Ok(pair) => sessions.push((Voice::new(number, round * 1000), pair, number)),
                Err(error) => return Ok(Some(Difference::no_link(&error))),
            }
        }
        let mut speaking = 0;
        for _ in 0..ROUND {
            if self.is_over() {
                break;
            }
            // Half of the time one goes on, so that some find their link as they left it.
            if random.below(2) == 0 && !sessions[speaking].0.has_to_go_on() {
                speaking = random.below(sessions.len());
            }
            let (voice, pair, number) = &mut sessions[speaking];
            let step = match voice.next(self.grammar, &mut random, ballast) {
                Ok(step) => step,
                Err(error) => return Ok(Some(Difference::no_link(&error))),
            };
            if let Some(difference) = self.say(thread, *number, voice, pair, step)? {
                return Ok(Some(difference));
            }
        }
        for (voice, pair, number) in &mut sessions {
            loop {
                let step = match voice.farewell(self.grammar, &mut random, ballast) {
                    Ok(Some(step)) => step,
                    Ok(None) => break,
                    Err(error) => return Ok(Some(Difference::no_link(&error))),
                };
                if let Some(difference) = self.say(thread, *number, voice, pair, step)? {
                    return Ok(Some(difference));
                }
            }
        }
        Ok(None)
    }

    fn say(
        &self,
        thread: usize,
        session: usize,
        voice: &mut Voice,
        pair: &mut Pair,
        step: Step,
    ) -> TestResult<Option<Difference>> {
        let order = self.tally.steps.fetch_add(1, Ordering::Relaxed);
        let token = voice.has_token();
        self.tally.with_token.fetch_add(u64::from(token), Ordering::Relaxed);
        self.own(thread).push(Entry { order, session, step: step.clone(), token });
        let (reply, difference) = pair.run(&step)?;
        if reply.is_error() {
            self.tally.errors.fetch_add(1, Ordering::Relaxed);
        }
        self.tally.reconnects.fetch_add(u64::from(step == Step::Reconnect), Ordering::Relaxed);
        let prepared = if let Step::Prepare { slot, .. } = &step { pair.has(*slot) } else { false };
        voice.heard(&step, &reply, prepared);
        Ok(difference)
    }

    fn own(&self, thread: usize) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.traces[thread].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What all threads have said in their last rounds.
    fn trace(&self) -> Vec<Entry> {
        let mut all: Vec<_> = (0..self.traces.len()).flat_map(|thread| self.own(thread).clone()).collect();
        all.sort_by_key(|entry| entry.order);
        all
    }
}

/// Who keeps Athena's links.
fn links(metrics: u16) -> TestResult<String> {
    let page = http_get(metrics, "/metrics")?;
    let about_links = |line: &&str| line.starts_with("athena_links") && line.contains('{');
    let lines = page.lines().filter(about_links).filter(|line| !line.ends_with(" 0"));
    Ok(lines.map(|line| format!("    {line}\n")).collect())
}
