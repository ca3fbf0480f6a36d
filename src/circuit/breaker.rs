//! Whether it is worth while to try a connection to an instance.

use std::time::{Duration, Instant};

use crate::config;
use crate::metrics::label::BreakerState;

/// Parts of the window: what is older than all of them is forgotten a part at a time.
const PARTS: usize = 8;

/// The breaker of one instance on one core.
///
/// ```text
///          failures in a row, or too great a part of the calls
/// Closed ──────────────────────────────────────────────────────▶ Open ◀──────────┐
///   ▲                                                              │ its time    │ it fails: for
///   │                                                              ▼ is over     │ twice as long
///   └──────────────────── it succeeds ──────────────────────── HalfOpen ─────────┘
///                                                         (one attempt at a time)
/// ```
///
/// A success is a link that was opened or came back from a statement. A failure is an attempt to open one that found no
/// server, or a link that the server has closed under a statement. Links that break together are one failure: a link counts
/// only if it was opened after the last one broke. So whoever ends many connections of a server that is well opens nothing.
#[derive(Debug)]
pub struct Breaker {
    settings: config::Breaker,
    state: State,
    /// Failures since the last success.
    in_a_row: usize,
    window: Window,
    /// When a link last broke.
    broke: Option<Instant>,
    /// Spreads the times of cores that opened together.
    random: u64,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    /// `turn` counts the openings in a row, from 0.
    Open {
        until: Instant,
        turn: u32,
    },
    HalfOpen {
        turn: u32,
    },
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stance {
    Closed,
    /// No attempt is made for this long.
    Open(Duration),
    /// It waits for somebody who needs a link, or for the outcome of that attempt.
    HalfOpen,
}

/// The answer to whoever wants to open a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    Usual,
    /// The one whose outcome decides.
    Probe,
    /// Not now.
    Refused,
}

impl Breaker {
    /// `seed` is any number that other cores don't have.
    pub fn new(settings: config::Breaker, seed: u64, now: Instant) -> Self {
        let window = Window::new(settings.window, now);
        Self { settings, state: State::Closed, in_a_row: 0, window, broke: None, random: seed | 1 }
    }

    /// Where it stands. Open for a time that is over is half open.
    pub fn stance(&self, now: Instant) -> Stance {
        match self.state {
            State::Closed => Stance::Closed,
            State::Open { until, .. } if now < until => Stance::Open(until - now),
            State::Open { .. } | State::HalfOpen { .. } => Stance::HalfOpen,
        }
    }

    /// The same for the metrics: a time that is over counts as long as nobody tries.
    pub fn state(&self) -> BreakerState {
        match self.state {
            State::Closed => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether [`Breaker::begin`] would allow an attempt.
    pub fn may_begin(&self, now: Instant) -> bool {
        match self.state {
            State::Closed => true,
            State::Open { until, .. } => now >= until,
            State::HalfOpen { .. } => false,
        }
    }

    /// Somebody wants to open a link. Whoever may has to tell the outcome.
    pub fn begin(&mut self, now: Instant) -> Attempt {
        match self.state {
            State::Closed => Attempt::Usual,
            State::Open { until, turn } if now >= until => {
                self.state = State::HalfOpen { turn };
                Attempt::Probe
            }
            State::Open { .. } | State::HalfOpen { .. } => Attempt::Refused,
        }
    }

    /// A link was opened: whatever was before, the server is there.
    pub fn opened(&mut self, now: Instant) {
        self.close(now);
        self.worked(now);
    }

    /// The server has answered, if only to refuse the login: that says nothing against it.
    pub fn answered(&mut self, attempt: Attempt, now: Instant) {
        if attempt == Attempt::Probe {
            self.close(now);
        }
    }

    /// A link came back from a statement. This alone closes nothing: what is wanted is new links.
    #[inline]
    pub fn worked(&mut self, now: Instant) {
        self.in_a_row = 0;
        self.window.count(now, false);
    }

    /// An attempt found no server.
    pub fn failed(&mut self, attempt: Attempt, now: Instant) {
        match self.state {
            State::Closed => self.count_failure(now),
            State::HalfOpen { turn } if attempt == Attempt::Probe => self.open(turn.saturating_add(1), now),
            State::HalfOpen { .. } | State::Open { .. } => {}
        }
    }

    /// An attempt was given up, by nobody's fault.
    pub fn abandoned(&mut self, attempt: Attempt, now: Instant) {
        if let (Attempt::Probe, State::HalfOpen { turn }) = (attempt, self.state) {
            self.state = State::Open { until: now, turn };
        }
    }

    /// The server has closed a link under a statement.
    pub fn broke(&mut self, opened: Instant, now: Instant) {
        if self.broke.is_some_and(|before| opened <= before) {
            return;
        }
        self.broke = Some(now);
        if matches!(self.state, State::Closed) {
            self.count_failure(now);
        }
    }

    fn count_failure(&mut self, now: Instant) {
        self.in_a_row += 1;
        self.window.count(now, true);
        let Window { calls, failures, .. } = self.window;
        let (in_a_row, percent) = (self.settings.failures, self.settings.failure_ratio_percent);
        let too_many = in_a_row > 0 && self.in_a_row >= in_a_row;
        let too_great_a_part =
            percent > 0 && calls >= self.settings.window_calls && failures * 100 >= calls * percent;
        if too_many || too_great_a_part {
            self.open(0, now);
        }
    }

    fn open(&mut self, turn: u32, now: Instant) {
        let first = self.settings.open;
        let full = first.saturating_mul(1 << turn.min(20)).min(self.settings.open_max.max(first));
        // Up to a quarter less, so that cores that opened together don't all try together.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let less = full / 4 * u32::try_from(self.random % 256).unwrap_or(0) / 256;
        self.state = State::Open { until: now + (full - less), turn };
    }

    fn close(&mut self, now: Instant) {
        if !matches!(self.state, State::Closed) {
            self.state = State::Closed;
            self.in_a_row = 0;
            self.window = Window::new(self.settings.window, now);
        }
    }
}

/// The calls of the last while.
#[derive(Debug)]
struct Window {
    part: Duration,
    /// Calls and failures of each part; the current one is first.
    parts: [(usize, usize); PARTS],
    /// When the current part ends.
    ends: Instant,
    /// The sums of the parts.
    calls: usize,
    failures: usize,
}

impl Window {
    fn new(span: Duration, now: Instant) -> Self {
        let part = (span / PARTS as u32).max(Duration::from_micros(1));
        Self { part, parts: [(0, 0); PARTS], ends: now + part, calls: 0, failures: 0 }
    }

    #[inline]
    fn count(&mut self, now: Instant, failure: bool) {
        if now >= self.ends {
            self.roll(now);
        }
        let [(calls, failures), ..] = &mut self.parts;
        *calls += 1;
        self.calls += 1;
        if failure {
            *failures += 1;
            self.failures += 1;
        }
    }

    #[inline(never)]
    fn roll(&mut self, now: Instant) {
        let over = now.saturating_duration_since(self.ends).as_nanos() / self.part.as_nanos().max(1);
        let steps = usize::try_from(over).map_or(PARTS, |over| over.saturating_add(1).min(PARTS));
        self.parts.rotate_right(steps);
        self.parts.iter_mut().take(steps).for_each(|part| *part = (0, 0));
        self.calls = self.parts.iter().map(|(calls, _)| calls).sum();
        self.failures = self.parts.iter().map(|(_, failures)| failures).sum();
        self.ends = match steps == PARTS {
            true => now + self.part,
            false => self.ends + self.part * u32::try_from(steps).unwrap_or(1),
        };
    }
}
