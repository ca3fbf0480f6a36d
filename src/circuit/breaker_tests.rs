use std::time::{Duration, Instant};

use super::breaker::{Attempt, Breaker, Stance};
use crate::config;

const OPEN: Duration = Duration::from_millis(1000);
const OPEN_MAX: Duration = Duration::from_millis(4000);
const WINDOW: Duration = Duration::from_millis(8000);

const BY_ROW: config::Breaker = config::Breaker {
    failures: 3,
    failure_ratio_percent: 0,
    window: WINDOW,
    window_calls: 10,
    open: OPEN,
    open_max: OPEN_MAX,
};
const BY_RATIO: config::Breaker = config::Breaker { failures: 0, failure_ratio_percent: 50, ..BY_ROW };

/// A breaker and a clock that goes where the test says.
struct Bench {
    breaker: Breaker,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(settings: config::Breaker) -> Self {
        Self::seeded(settings, 7)
    }

    fn seeded(settings: config::Breaker, seed: u64) -> Self {
        let now = Instant::now();
        Self { breaker: Breaker::new(settings, seed, now), start: now, now }
    }

    fn after(&mut self, ms: u64) -> &mut Self {
        self.now += Duration::from_millis(ms);
        self
    }

    fn fail(&mut self) -> Attempt {
        let attempt = self.breaker.begin(self.now);
        if attempt != Attempt::Refused {
            self.breaker.failed(attempt, self.now);
        }
        attempt
    }

    fn stance(&self) -> Stance {
        self.breaker.stance(self.now)
    }

    fn is_open(&self) -> bool {
        matches!(self.stance(), Stance::Open(_))
    }

    /// Fails until it opens, then lets its time pass.
    fn half_open(&mut self) {
        while !self.is_open() {
            self.fail();
        }
        self.now += OPEN;
    }
}

#[test]
fn it_opens_on_failures_in_a_row_and_a_success_begins_anew() {
    let mut bench = Bench::new(BY_ROW);
    for _ in 0..2 {
        assert_eq!([bench.fail(), bench.fail()], [Attempt::Usual; 2]);
        assert_eq!(bench.stance(), Stance::Closed);
        bench.breaker.worked(bench.now);
    }
    for _ in 0..3 {
        bench.fail();
    }
    let Stance::Open(left) = bench.stance() else { panic!("{:?}", bench.stance()) };
    assert!(left <= OPEN && left >= OPEN * 3 / 4, "{left:?}");
    assert_eq!(bench.fail(), Attempt::Refused);
    // That links go on working does not close it: what is wanted is new ones.
    bench.breaker.worked(bench.now);
    assert!(bench.is_open());
}

#[test]
fn one_attempt_at_a_time_decides() {
    let mut bench = Bench::new(BY_ROW);
    bench.half_open();
    assert_eq!(bench.stance(), Stance::HalfOpen);
    assert_eq!(bench.breaker.begin(bench.now), Attempt::Probe);
    assert_eq!(bench.breaker.begin(bench.now), Attempt::Refused);
    // An attempt from before it opened says nothing new.
    bench.breaker.failed(Attempt::Usual, bench.now);
    assert_eq!(bench.stance(), Stance::HalfOpen);
    bench.breaker.opened(bench.now);
    assert_eq!(bench.stance(), Stance::Closed);
    // What was counted before is forgotten.
    assert_eq!([bench.fail(), bench.fail()], [Attempt::Usual; 2]);
    assert_eq!(bench.stance(), Stance::Closed);
}

#[test]
fn failed_probes_double_the_time_up_to_its_bound() {
    let mut bench = Bench::new(BY_ROW);
    bench.half_open();
    for full in [2000, 4000, 4000, 4000] {
        assert_eq!(bench.fail(), Attempt::Probe);
        let Stance::Open(left) = bench.stance() else { panic!("{:?}", bench.stance()) };
        let full = Duration::from_millis(full);
        assert!(left <= full && left >= full * 3 / 4, "{left:?} of {full:?}");
        bench.now += left;
    }
    assert_eq!(bench.breaker.begin(bench.now), Attempt::Probe);
    bench.breaker.answered(Attempt::Probe, bench.now);
    assert_eq!(bench.stance(), Stance::Closed, "a server that refuses a login is there");
    bench.half_open();
    assert_eq!(bench.stance(), Stance::HalfOpen, "the first time is the short one again");
}

#[test]
fn a_probe_that_is_given_up_makes_room_for_the_next() {
    let mut bench = Bench::new(BY_ROW);
    bench.half_open();
    assert_eq!(bench.breaker.begin(bench.now), Attempt::Probe);
    bench.breaker.abandoned(Attempt::Probe, bench.now);
    assert_eq!(bench.breaker.begin(bench.now), Attempt::Probe);
}

#[test]
fn cores_that_open_together_try_at_different_times() {
    let lefts: std::collections::HashSet<Duration> = (1..9)
        .map(|seed| {
            let mut bench = Bench::seeded(BY_ROW, u64::wrapping_mul(seed, 0x9E37_79B9_7F4A_7C15));
            while !bench.is_open() {
                bench.fail();
            }
            match bench.stance() {
                Stance::Open(left) => left,
                other => panic!("{other:?}"),
            }
        })
        .collect();
    assert!(lefts.len() > 4, "{lefts:?}");
}

#[test]
fn it_opens_on_a_ratio_of_enough_calls() {
    let mut bench = Bench::new(BY_RATIO);
    for call in 0..9 {
        assert_eq!(bench.stance(), Stance::Closed, "{call} calls are too few");
        bench.after(100).fail();
    }
    bench.after(100).fail();
    assert!(bench.is_open());

    let mut bench = Bench::new(BY_RATIO);
    for _ in 0..100 {
        bench.breaker.worked(bench.now);
        bench.breaker.worked(bench.now);
        bench.after(10).fail();
    }
    assert_eq!(bench.stance(), Stance::Closed, "a third is less than half");
    // A window later these successes are forgotten.
    bench.after(9000);
    for _ in 0..10 {
        bench.fail();
    }
    assert!(bench.is_open());
}

#[test]
fn links_that_break_together_are_one_failure() {
    let mut bench = Bench::new(BY_ROW);
    let opened = bench.now;
    bench.after(100);
    for _ in 0..50 {
        let now = bench.after(1).now;
        bench.breaker.broke(opened, now);
    }
    assert_eq!(bench.stance(), Stance::Closed);
    // With the server gone the attempts that follow are failures of their own.
    bench.fail();
    assert_eq!(bench.stance(), Stance::Closed);
    bench.fail();
    assert!(bench.is_open());
}

/// A server that lets everybody in and falls at each statement.
#[test]
fn links_that_break_each_time_open_it_by_their_ratio() {
    let mut bench = Bench::new(config::Breaker { failures: 3, ..BY_RATIO });
    let mut rounds = 0;
    while bench.stance() == Stance::Closed {
        rounds += 1;
        assert!(rounds < 20);
        bench.after(10);
        assert_eq!(bench.breaker.begin(bench.now), Attempt::Usual);
        bench.breaker.opened(bench.now);
        let opened = bench.now;
        let now = bench.after(10).now;
        bench.breaker.broke(opened, now);
    }
    assert_eq!(rounds, 5, "half of ten calls");
}

#[test]
fn turned_off_it_never_opens() {
    let mut bench = Bench::new(config::Breaker { failures: 0, failure_ratio_percent: 0, ..BY_ROW });
    for _ in 0..10_000 {
        assert_eq!(bench.after(1).fail(), Attempt::Usual);
    }
}

/// Random steps, against what must hold of any breaker whatever its numbers.
#[test]
fn what_holds_after_any_steps() {
    for seed in 1..200u64 {
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let mut bench = Bench::seeded(config::Breaker { failures: 3, ..BY_RATIO }, seed);
        // Attempts under way, and failures since the last thing that went well.
        let (mut attempts, mut in_a_row): (Vec<Attempt>, usize) = (Vec::new(), 0);
        for step in 0..2000 {
            let now = bench.after(below(300)).now;
            let before = bench.stance();
            match below(6) {
                0 | 1 => {
                    let may_begin = bench.breaker.may_begin(now);
                    let attempt = bench.breaker.begin(now);
                    assert_eq!(may_begin, attempt != Attempt::Refused, "seed {seed}, step {step}");
                    let probing = attempts.contains(&Attempt::Probe);
                    let expected = match before {
                        Stance::Closed => Attempt::Usual,
                        Stance::HalfOpen if !probing => Attempt::Probe,
                        Stance::HalfOpen | Stance::Open(_) => Attempt::Refused,
                    };
                    assert_eq!(attempt, expected, "seed {seed}, step {step}");
                    if attempt != Attempt::Refused {
                        attempts.push(attempt);
                    }
                }
                2 if !attempts.is_empty() => {
                    let attempt = attempts.swap_remove(below(attempts.len() as u64) as usize);
                    bench.breaker.failed(attempt, now);
                    in_a_row += 1;
                    match (before, attempt) {
                        (Stance::HalfOpen, Attempt::Probe) => assert!(bench.is_open()),
                        (Stance::HalfOpen | Stance::Open(_), _) => assert_eq!(bench.stance(), before),
                        (Stance::Closed, _) => {
                            assert!(in_a_row < 3 || bench.is_open(), "seed {seed}, step {step}")
                        }
                    }
                }
                3 if !attempts.is_empty() => {
                    let attempt = attempts.swap_remove(below(attempts.len() as u64) as usize);
                    bench.breaker.opened(now);
                    in_a_row = 0;
                    assert_eq!(bench.stance(), Stance::Closed, "seed {seed}, step {step}");
                    if attempt != Attempt::Probe {
                        // The probe of before decides nothing any more.
                        attempts.iter_mut().for_each(|attempt| *attempt = Attempt::Usual);
                    }
                }
                4 if !attempts.is_empty() => {
                    let attempt = attempts.swap_remove(below(attempts.len() as u64) as usize);
                    bench.breaker.abandoned(attempt, now);
                    assert_eq!(bench.stance(), before, "seed {seed}, step {step}");
                }
                5 => {
                    bench.breaker.worked(now);
                    in_a_row = 0;
                    assert_eq!(bench.stance(), before, "seed {seed}, step {step}");
                }
                _ => {}
            }
            if let Stance::Open(left) = bench.stance() {
                assert!(left <= OPEN_MAX, "seed {seed}, step {step}");
            }
        }
        assert!(bench.now > bench.start);
    }
}
