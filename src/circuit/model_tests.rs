//! The ledger, its messages and the limiters of some cores as one system, driven by seeds: whatever the order in which
//! messages arrive, statements end, waiters give up and limits change, the sum holds and everybody gets on.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::tests::Random;
use super::*;

const KEY: Key = Key { user: 0, shard: 0, class: 0 };

struct Core {
    limiter: Limiter<usize>,
    /// Statements that run.
    running: usize,
    /// Who waits: its ticket, its number, and when it came.
    waiting: Vec<(Ticket, usize, u64)>,
    up: VecDeque<(Resource, Report)>,
    down: VecDeque<(Resource, Order)>,
    ended: bool,
}

struct System {
    ledger: Ledger<Resource>,
    limits: Limits,
    /// What the sums may be at most: after a limit has become smaller, what was out then, until that has come back.
    ceilings: [usize; 2],
    cores: Vec<Core>,
    now: Instant,
    step: u64,
    /// When there were last more statements than places.
    last_full: u64,
    numbers: usize,
    admitted: u64,
    refused: u64,
}

impl System {
    fn new(cores: usize, limits: Limits) -> Self {
        let core = || Core {
            limiter: Limiter::of_ledger(),
            running: 0,
            waiting: Vec::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            ended: false,
        };
        Self {
            ledger: Ledger::new(cores),
            limits,
            ceilings: [limits.max_concurrent, limits.places()],
            cores: (0..cores).map(|_| core()).collect(),
            now: Instant::now(),
            step: 0,
            last_full: 0,
            numbers: 0,
            admitted: 0,
            refused: 0,
        }
    }

    fn limit(&self, of: &Resource) -> Limit {
        of.limit(&[self.limits], 0)
    }

    fn enter(&mut self, at: usize) {
        let number = self.numbers;
        self.numbers += 1;
        let core = &mut self.cores[at];
        match core.limiter.enter(KEY, || number) {
            Entry::Admitted => core.running += 1,
            Entry::Queued(ticket) => core.waiting.push((ticket, number, self.step)),
            Entry::Refused => panic!("only the ledger refuses"),
        }
        self.collect(at);
    }

    fn leave(&mut self, at: usize) {
        let core = &mut self.cores[at];
        if core.running == 0 {
            return;
        }
        core.running -= 1;
        let now = self.now;
        if let Some(number) = core.limiter.leave(KEY, || now) {
            self.let_in(at, number);
        }
        self.collect(at);
    }

    fn let_in(&mut self, at: usize, number: usize) {
        let core = &mut self.cores[at];
        assert_eq!(core.waiting.first().map(|waiter| waiter.1), Some(number), "in the order of arrival");
        core.waiting.remove(0);
        core.running += 1;
        self.admitted += 1;
    }

    fn cancel(&mut self, at: usize, which: usize) {
        let core = &mut self.cores[at];
        if core.waiting.is_empty() {
            return;
        }
        let (ticket, ..) = core.waiting.remove(which % core.waiting.len());
        assert_eq!(core.limiter.cancel(ticket), Cancelled::Waiting);
        assert_eq!(core.limiter.cancel(ticket), Cancelled::Admitted, "a ticket ends once");
        self.collect(at);
    }

    fn tidy(&mut self, at: usize) {
        self.cores[at].limiter.tidy(self.now);
        self.collect(at);
    }

    fn collect(&mut self, at: usize) {
        let core = &mut self.cores[at];
        core.up.extend(core.limiter.take_reports());
    }

    fn deliver_up(&mut self, at: usize) {
        let Some((of, report)) = self.cores[at].up.pop_front() else { return };
        let limit = self.limit(&of);
        for (core, order) in self.ledger.report(at, of, limit, report) {
            self.cores[core].down.push_back((of, order));
        }
    }

    fn deliver_down(&mut self, at: usize) {
        let core = &mut self.cores[at];
        let Some((of, order)) = core.down.pop_front() else { return };
        let mut woken = Vec::new();
        core.limiter.order(of, order, self.now, |number| woken.push(*number));
        for number in woken {
            let core = &mut self.cores[at];
            let place = core.waiting.iter().position(|waiter| waiter.1 == number).unwrap();
            let (ticket, _, since) = core.waiting[place];
            match core.limiter.standing(ticket) {
                Standing::Over => self.let_in(at, number),
                Standing::Refused => {
                    assert!(self.last_full >= since, "refused although there was always a place");
                    core.waiting.remove(place);
                    self.refused += 1;
                }
                Standing::Waits(_) => panic!("woken for nothing"),
            }
        }
        self.collect(at);
    }

    fn revise(&mut self, limits: Limits) {
        self.limits = limits;
        for (ceiling, of) in self.ceilings.iter_mut().zip([Resource::Permits(KEY), Resource::Places(KEY)]) {
            *ceiling = of.limit(&[limits], 0).max.max(self.ledger.granted(&of));
        }
        for (of, core, order) in self.ledger.revise(|of| of.limit(&[limits], 0)) {
            self.cores[core].down.push_back((of, order));
        }
    }

    /// What holds at every moment.
    fn check(&mut self) {
        for (number, of) in [Resource::Permits(KEY), Resource::Places(KEY)].into_iter().enumerate() {
            let granted = self.ledger.granted(&of);
            let mut found = 0;
            for core in &self.cores {
                if core.ended {
                    assert!(core.down.is_empty(), "an order to a core that has ended");
                    continue;
                }
                let (permits, places) = core.limiter.held(KEY);
                found += if number == 0 { permits } else { places };
                found +=
                    core.up.iter().filter(|(what, _)| *what == of).map(|(_, r)| r.returned).sum::<usize>();
                found +=
                    core.down.iter().filter(|(what, _)| *what == of).map(|(_, o)| o.granted).sum::<usize>();
            }
            assert_eq!(found, granted, "none is lost, none is there twice");
            assert!(granted <= self.ceilings[number], "{granted} of {}", self.ceilings[number]);
            self.ceilings[number] = self.limit(&of).max.max(granted.min(self.ceilings[number]));
        }
        for core in &self.cores {
            assert_eq!((core.limiter.running(), core.limiter.queued()), (core.running, core.waiting.len()));
        }
        let running: usize = self.cores.iter().map(|core| core.running).sum();
        assert!(running <= self.ceilings[0]);
        let there = running + self.cores.iter().map(|core| core.waiting.len()).sum::<usize>();
        if there > self.limits.places() {
            self.last_full = self.step;
        }
    }

    fn random_step(&mut self, random: &mut Random, stalled: Option<usize>) {
        self.step += 1;
        let at = random.below(self.cores.len());
        if Some(at) == stalled {
            return;
        }
        match random.below(16) {
            0..=7 | 15 if self.cores[at].ended => {}
            0..=3 => self.enter(at),
            4..=6 => self.leave(at),
            7 => self.cancel(at, random.0 as usize),
            8..=10 => self.deliver_up(at),
            11..=13 => self.deliver_down(at),
            14 => self.now += Duration::from_micros(random.below(4000) as u64),
            _ => self.tidy(at),
        }
    }

    /// A core ends; its clients are gone before.
    fn retire(&mut self, at: usize) {
        while self.cores[at].running > 0 || !self.cores[at].waiting.is_empty() {
            self.cancel(at, 0);
            self.leave(at);
        }
        let core = &mut self.cores[at];
        (core.limiter, core.ended) = (Limiter::of_ledger(), true);
        core.down.clear();
        // What it has said last may still arrive.
        for (of, core, order) in self.ledger.retire(at) {
            self.cores[core].down.push_back((of, order));
        }
    }

    /// Everything arrives and every statement ends: nobody waits any more.
    fn finish(&mut self) {
        let waiting = |system: &Self| system.cores.iter().map(|core| core.waiting.len()).sum::<usize>();
        let mut turns = 0;
        while waiting(self) > 0 {
            turns += 1;
            assert!(turns < 4000, "{} wait in vain", waiting(self));
            for at in 0..self.cores.len() {
                self.step += 1;
                self.deliver_up(at);
                self.deliver_down(at);
                self.leave(at);
                self.check();
            }
            self.now += Duration::from_millis(1);
        }
    }
}

impl<T> Limiter<T> {
    fn held(&self, key: Key) -> (usize, usize) {
        self.shares(key).map_or((0, 0), |(permits, places)| (permits.held(), places.held()))
    }
}

fn random_limits(random: &mut Random) -> Limits {
    Limits { max_concurrent: 1 + random.below(9), queue_size: random.below(12) }
}

#[test]
fn the_sum_never_exceeds_the_limit_none_is_lost_and_everybody_gets_on() {
    let (mut admitted, mut refused) = (0, 0);
    for seed in 1..=300 {
        let mut random = Random(seed);
        random.below(2);
        let mut system = System::new(1 + random.below(8), random_limits(&mut random));
        for _ in 0..6 {
            let stalled = (random.below(3) == 0).then(|| random.below(system.cores.len()));
            for _ in 0..200 {
                system.random_step(&mut random, stalled);
                system.check();
            }
            if random.below(3) == 0 {
                system.revise(random_limits(&mut random));
                system.check();
            }
            let at = random.below(system.cores.len());
            if system.cores.len() > 2 && random.below(8) == 0 && !system.cores[at].ended {
                system.retire(at);
                system.check();
            }
        }
        system.finish();
        (admitted, refused) = (admitted + system.admitted, refused + system.refused);
    }
    assert!(admitted > 10_000 && refused > 500, "{admitted} admitted after a wait, {refused} refused");
}

/// A core that runs dry gets what is idle elsewhere, all of it.
#[test]
fn all_permits_come_to_the_only_core_that_has_use_for_them() {
    for max_concurrent in [1, 3, 10] {
        let mut system = System::new(8, Limits { max_concurrent, queue_size: 200 });
        for at in 0..8 {
            system.enter(at);
        }
        system.finish();
        (0..8).for_each(|at| {
            while system.cores[at].running > 0 {
                system.leave(at)
            }
        });
        for _ in 0..200 {
            system.enter(3);
        }
        for _ in 0..40 {
            (0..8).for_each(|at| {
                system.deliver_up(at);
                system.deliver_down(at);
            });
            system.check();
        }
        assert_eq!(system.cores[3].running, max_concurrent);
    }
}

/// With fewer permits than cores, each core gets one in its turn, and keeps it for as long as that.
#[test]
fn permits_go_round_where_there_are_fewer_than_cores() {
    let mut system = System::new(8, Limits { max_concurrent: 1, queue_size: 1000 });
    for at in 0..8 {
        (0..25).for_each(|_| system.enter(at));
    }
    let mut served = [0u32; 8];
    // Each statement takes a quarter of a millisecond, and so does the way of a message.
    for _ in 0..4000 {
        for at in 0..8 {
            while !system.cores[at].up.is_empty() {
                system.deliver_up(at);
            }
        }
        for (at, served) in served.iter_mut().enumerate() {
            let running = system.cores[at].running;
            while !system.cores[at].down.is_empty() {
                system.deliver_down(at);
            }
            if running > 0 {
                *served += 1;
                system.leave(at);
                system.enter(at);
            }
            system.check();
        }
        system.now += Duration::from_micros(250);
    }
    let (least, most) = (served.iter().min().unwrap(), served.iter().max().unwrap());
    assert!(most - least <= most / 4, "{served:?}");
    let all: u32 = served.iter().sum();
    assert!(all > 3000, "{all} of 4000: the permit is on its way too often");
}

/// Parts follow how many could be used: two cores with as many waiters have as many permits, and one with three times as
/// many has three times as many.
#[test]
fn parts_follow_the_waiters() {
    for (first, second, parts) in [(50, 50, 6), (75, 25, 9)] {
        let mut system = System::new(2, Limits { max_concurrent: 12, queue_size: 1000 });
        (0..first).for_each(|_| system.enter(0));
        (0..second).for_each(|_| system.enter(1));
        let mut running = 0;
        for turn in 0..400 {
            for at in 0..2 {
                while !system.cores[at].up.is_empty() {
                    system.deliver_up(at);
                }
                while !system.cores[at].down.is_empty() {
                    system.deliver_down(at);
                }
                system.leave(at);
                system.enter(at);
                system.check();
            }
            system.now += Duration::from_millis(1);
            if turn >= 200 {
                running += system.cores[0].running;
            }
        }
        let mean = running as f64 / 200.0;
        assert!((mean - f64::from(parts)).abs() < 1.0, "{first} to {second} waiters: {mean} of 12 permits");
    }
}
