//! Sessions that keep a link only for what it can be asked, and give it up when somebody needs one.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::net::Poker;

/// Those of a pool, the first to come first.
#[derive(Default)]
pub struct OnCall(RefCell<VecDeque<Rc<Call>>>);

struct Call {
    called: Cell<bool>,
    poker: Poker,
}

/// A session's place among them, for as long as it lives.
pub struct Called<'a> {
    list: &'a OnCall,
    call: Rc<Call>,
}

impl OnCall {
    /// Has the session behind `poker` woken when its link is needed.
    pub fn enter(&self, poker: Poker) -> Called<'_> {
        let call = Rc::new(Call { called: Cell::new(false), poker });
        self.0.borrow_mut().push_back(call.clone());
        Called { list: self, call }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Somebody needs a link.
    pub(super) fn call_one(&self) {
        if let Some(call) = self.0.borrow_mut().pop_front() {
            call.called.set(true);
            call.poker.poke();
        }
    }
}

impl Called<'_> {
    /// Whether this session is to give up its link.
    pub fn is_called(&self) -> bool {
        self.call.called.get()
    }
}

impl Drop for Called<'_> {
    fn drop(&mut self) {
        self.list.0.borrow_mut().retain(|call| !Rc::ptr_eq(call, &self.call));
    }
}
