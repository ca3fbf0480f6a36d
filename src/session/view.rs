//! What a core knows of a cluster's servers, and who waits for news of them.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::router::{Choice, Suspicion, Topology};

/// Suspicions that wait to be looked into; more of them say nothing new.
pub const SUSPICIONS_MAX: usize = 256;

/// A cluster's servers as this core sees them. Copies are the same one.
#[derive(Clone)]
pub struct View(Rc<Inner>);

struct Inner {
    cluster: usize,
    topology: RefCell<Rc<Topology>>,
    last_primary: Cell<usize>,
    /// Counts the snapshots.
    version: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
    choice: RefCell<Choice>,
    suspicions: async_channel::Sender<Suspicion>,
}

impl View {
    /// `cluster` is the number of the cluster, and `suspicions` go to the control executor.
    pub fn new(cluster: usize, topology: Topology, suspicions: async_channel::Sender<Suspicion>) -> Self {
        Self(Rc::new(Inner {
            cluster,
            last_primary: Cell::new(topology.primary.unwrap_or(0)),
            topology: RefCell::new(Rc::new(topology)),
            version: Cell::new(0),
            waiting: RefCell::default(),
            choice: RefCell::default(),
            suspicions,
        }))
    }

    pub fn topology(&self) -> Rc<Topology> {
        self.0.topology.borrow().clone()
    }

    /// The member that takes writes; `None` while there is none.
    pub fn primary(&self) -> Option<usize> {
        self.0.topology.borrow().primary
    }

    /// The same; while there is none, the last one that there was.
    pub fn last_primary(&self) -> usize {
        self.0.last_primary.get()
    }

    /// How often the primary has changed.
    pub fn epoch(&self) -> u64 {
        self.0.topology.borrow().epoch
    }

    /// A member that can be asked for what all have: the primary, or while there is none one that answers.
    pub fn readable(&self) -> usize {
        let topology = self.topology();
        let other = || topology.members.iter().position(|member| member.is_up);
        topology.primary.or_else(other).unwrap_or_else(|| self.last_primary())
    }

    /// News. Whoever waits for some goes on.
    pub fn set(&self, topology: Topology) {
        if let Some(primary) = topology.primary {
            self.0.last_primary.set(primary);
        }
        self.0.topology.replace(Rc::new(topology));
        self.0.version.set(self.0.version.get() + 1);
        self.0.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Completes with the next news.
    pub fn news(&self) -> impl Future<Output = ()> {
        let (inner, version) = (self.0.clone(), self.0.version.get());
        std::future::poll_fn(move |cx| {
            if inner.version.get() != version {
                return Poll::Ready(());
            }
            let mut waiting = inner.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Has the control executor look after a member now.
    pub fn suspect(&self, member: usize) {
        // A full channel has the same in it; a closed one belongs to a process on its way out.
        let _ = self.0.suspicions.try_send(Suspicion { cluster: self.0.cluster, member });
    }

    /// What is remembered of earlier choices.
    pub fn choice(&self) -> std::cell::RefMut<'_, Choice> {
        self.0.choice.borrow_mut()
    }
}
