use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Instant;

use super::*;

const ALICE: Key = Key { user: 0, shard: 0, class: 0 };
const BOB: Key = Key { user: 1, shard: 0, class: 0 };

fn limits(max_concurrent: usize, queue_size: usize) -> Limits {
    Limits { max_concurrent, queue_size }
}

fn queued(entry: Entry) -> Ticket {
    match entry {
        Entry::Queued(ticket) => ticket,
        other => panic!("queued expected, not {other:?}"),
    }
}

#[test]
fn slices_add_up_and_differ_by_at_most_one() {
    for cores in 1..70 {
        for total in 0..300 {
            let parts: Vec<usize> = (0..cores).map(|core| slice(total, cores, core)).collect();
            assert_eq!(parts.iter().sum::<usize>(), total);
            let (least, most) = (parts.iter().min().unwrap(), parts.iter().max().unwrap());
            assert!(most - least <= 1);
            assert!(total < cores || *least >= 1);
        }
    }
    assert_eq!(slice(10, 0, 0), 0);
    assert_eq!(slice(10, 4, 4), 0);
}

#[test]
fn permits_are_handed_over_in_the_order_of_arrival() {
    let mut limiter = Limiter::alone(limits(1, 2));
    assert_eq!(limiter.enter(ALICE, || 'a'), Entry::Admitted);
    let _ = queued(limiter.enter(ALICE, || 'b'));
    let _ = queued(limiter.enter(ALICE, || 'c'));
    assert_eq!(limiter.enter(ALICE, || unreachable!()), Entry::Refused);
    assert_eq!((limiter.running(), limiter.queued()), (1, 2));
    assert_eq!(limiter.leave(ALICE, Instant::now), Some('b'));
    assert_eq!((limiter.running(), limiter.queued()), (1, 1));
    assert_eq!(limiter.leave(ALICE, Instant::now), Some('c'));
    assert_eq!(limiter.leave(ALICE, Instant::now), None);
    assert_eq!((limiter.running(), limiter.queued(), limiter.keys()), (0, 0, 0));
}

#[test]
fn keys_do_not_touch_each_other() {
    let mut limiter = Limiter::alone(limits(1, 0));
    assert_eq!(limiter.enter(ALICE, || ()), Entry::Admitted);
    assert_eq!(limiter.enter(Key { shard: 1, ..ALICE }, || ()), Entry::Admitted);
    assert_eq!(limiter.enter(BOB, || ()), Entry::Admitted);
    assert_eq!(limiter.enter(BOB, || ()), Entry::Refused);
    assert_eq!(limiter.leave(ALICE, Instant::now), None);
    assert_eq!(limiter.enter(BOB, || ()), Entry::Refused);
    assert_eq!((limiter.running(), limiter.keys()), (2, 2));
}

#[test]
fn a_ticket_cancels_once_whatever_stands_in_its_slot_later() {
    let mut limiter = Limiter::alone(limits(1, 5));
    limiter.enter(ALICE, || 0);
    let [a, b, _] = [1, 2, 3].map(|n| queued(limiter.enter(ALICE, || n)));
    assert_eq!(limiter.cancel(b), Cancelled::Waiting);
    let d = queued(limiter.enter(ALICE, || 4));
    assert_eq!(limiter.cancel(b), Cancelled::Admitted, "its slot may be another's, the ticket is over");
    assert_eq!(limiter.standing(b), Standing::Over);
    assert_eq!(limiter.standing(d), Standing::Waits(&mut 4));
    assert_eq!(limiter.leave(ALICE, Instant::now), Some(1));
    assert_eq!(limiter.cancel(a), Cancelled::Admitted);
    assert_eq!(limiter.leave(ALICE, Instant::now), Some(3));
    assert_eq!(limiter.cancel(d), Cancelled::Waiting);
    assert_eq!(limiter.leave(ALICE, Instant::now), None);
    assert_eq!(limiter.keys(), 0);
}

#[test]
fn without_permits_all_wait_and_without_places_all_are_refused() {
    let mut limiter = Limiter::alone(limits(0, 1));
    let waits = queued(limiter.enter(ALICE, || ()));
    assert_eq!(limiter.enter(ALICE, || ()), Entry::Refused);
    assert_eq!(limiter.cancel(waits), Cancelled::Waiting);
    let mut closed = Limiter::alone(limits(0, 0));
    assert_eq!(closed.enter(ALICE, || ()), Entry::Refused);
    assert_eq!((limiter.keys(), closed.keys()), (0, 0), "a refused key leaves nothing behind");
}

/// Small, seeded and good enough to choose steps with (xorshift64).
pub(super) struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// What a limiter should be, written without its structures.
#[derive(Default)]
struct Model {
    running: HashMap<Key, usize>,
    waiting: HashMap<Key, VecDeque<(Ticket, u32)>>,
}

impl Model {
    fn step(&mut self, limiter: &mut Limiter<u32>, limits: Limits, random: &mut Random, step: u32) {
        let key = Key { user: random.below(3) as u32, shard: random.below(2) as u32, class: 0 };
        let running = self.running.entry(key).or_default();
        let waiting = self.waiting.entry(key).or_default();
        match random.below(5) {
            0..=2 => match limiter.enter(key, || step) {
                Entry::Admitted => {
                    assert!(*running < limits.max_concurrent && waiting.is_empty());
                    *running += 1;
                }
                Entry::Queued(ticket) => {
                    assert!(*running == limits.max_concurrent && waiting.len() < limits.queue_size);
                    waiting.push_back((ticket, step));
                }
                Entry::Refused => {
                    assert!(*running == limits.max_concurrent && waiting.len() == limits.queue_size);
                }
            },
            3 if *running > 0 => {
                let next = limiter.leave(key, Instant::now);
                assert_eq!(next, waiting.pop_front().map(|(_, step)| step), "first come, first served");
                if next.is_none() {
                    *running -= 1;
                }
            }
            4 if !waiting.is_empty() => {
                let at = random.below(waiting.len());
                let (ticket, _) = waiting.remove(at).unwrap();
                assert_eq!(limiter.cancel(ticket), Cancelled::Waiting);
                assert_eq!(limiter.cancel(ticket), Cancelled::Admitted);
            }
            _ => {}
        }
    }

    fn check(&self, limiter: &Limiter<u32>) {
        assert_eq!(limiter.running(), self.running.values().sum::<usize>());
        assert_eq!(limiter.queued(), self.waiting.values().map(VecDeque::len).sum::<usize>());
        let used = self.running.iter().filter(|(key, n)| **n > 0 || !self.waiting[*key].is_empty()).count();
        assert_eq!(limiter.keys(), used);
    }
}

#[test]
fn any_sequence_of_steps_agrees_with_the_model() {
    for seed in 1..=200 {
        let mut random = Random(seed);
        let limits = limits(random.below(4), random.below(6));
        let (mut limiter, mut model) = (Limiter::alone(limits), Model::default());
        for step in 0..500 {
            model.step(&mut limiter, limits, &mut random, step);
            model.check(&limiter);
        }
    }
}

#[derive(Default)]
struct Flag(AtomicUsize);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll<F: Future + Unpin>(future: &mut F, flag: &Arc<Flag>) -> Poll<F::Output> {
    let waker = Waker::from(flag.clone());
    pin!(future).poll(&mut Context::from_waker(&waker))
}

fn admitted(answer: Poll<Result<Permit, QueueFull>>) -> Permit {
    match answer {
        Poll::Ready(Ok(permit)) => permit,
        Poll::Ready(Err(QueueFull)) => panic!("refused"),
        Poll::Pending => panic!("still waiting"),
    }
}

#[test]
fn a_dropped_permit_wakes_the_first_who_waits() {
    let gate = Gate::alone(limits(1, 2));
    let flags: [Arc<Flag>; 3] = Default::default();
    let [mut a, mut b, mut c] = [gate.enter(ALICE), gate.enter(ALICE), gate.enter(ALICE)];
    let permit = admitted(poll(&mut a, &flags[0]));
    assert!(poll(&mut b, &flags[1]).is_pending());
    assert!(poll(&mut c, &flags[0]).is_pending());
    assert!(poll(&mut c, &flags[2]).is_pending(), "the last waker counts");
    assert!(matches!(poll(&mut gate.enter(ALICE), &flags[0]), Poll::Ready(Err(QueueFull))));
    drop(permit);
    assert_eq!(flags.each_ref().map(|flag| flag.0.load(Ordering::Relaxed)), [0, 1, 0]);
    assert_eq!((gate.running(), gate.queued()), (1, 1), "handed over, not free in between");
    drop(admitted(poll(&mut b, &flags[1])));
    assert_eq!(flags.each_ref().map(|flag| flag.0.load(Ordering::Relaxed)), [0, 1, 1]);
    drop(admitted(poll(&mut c, &flags[2])));
    assert!(poll(&mut a, &flags[0]).is_pending(), "an answered admission makes no second permit");
    drop((a, b, c));
    assert_eq!((gate.running(), gate.queued()), (0, 0));
}

#[test]
fn a_dropped_admission_leaves_the_queue_and_passes_on_what_it_was_handed() {
    let gate = Gate::alone(limits(1, 3));
    let flag = Arc::<Flag>::default();
    let last = Arc::<Flag>::default();
    let permit = admitted(poll(&mut gate.enter(ALICE), &flag));
    let [mut gone, mut late, mut next] = [gate.enter(ALICE), gate.enter(ALICE), gate.enter(ALICE)];
    assert!(poll(&mut gone, &flag).is_pending());
    assert!(poll(&mut late, &flag).is_pending());
    assert!(poll(&mut next, &last).is_pending());
    drop(gone);
    assert_eq!(gate.queued(), 2);
    drop(permit);
    assert_eq!(last.0.load(Ordering::Relaxed), 0, "late has been handed the permit");
    drop(late);
    assert_eq!(last.0.load(Ordering::Relaxed), 1);
    drop(admitted(poll(&mut next, &last)));
    assert_eq!((gate.running(), gate.queued()), (0, 0));
    drop(gate.enter(ALICE));
    assert_eq!(gate.running(), 0, "what was never polled never asked");
}
