//! Which link fits whom.

use super::identity::{Fit, Want};
use super::link::Link;

pub(super) fn fit(want: &Want, link: &Link) -> Fit {
    match link.carries.as_ref() {
        carries if link.is_settled() && carries != Some(&want.state) => Fit::No,
        carries => want.fit(&link.identity, link.schema.as_ref(), link.login, carries),
    }
}

/// Takes the most recently used of the links that fit as they are, else the least recently used of those that can be
/// brought to fit: those that were used lately fit somebody who is at work.
#[expect(clippy::vec_box, reason = "as they lie idle in the pool")]
pub(super) fn take_fitting(idle: &mut Vec<Box<Link>>, want: &Want) -> Option<Box<Link>> {
    let (mut switch, mut newer) = (None, None);
    for (at, link) in idle.iter().enumerate().rev() {
        match fit(want, link) {
            Fit::Exact if at + 1 == idle.len() => return idle.pop(),
            Fit::Exact => return Some(idle.remove(at)),
            Fit::Switch => switch = Some(at),
            Fit::Newer if newer.is_none() => newer = Some(at),
            Fit::Newer | Fit::No => {}
        }
    }
    switch.or(newer).map(|at| idle.remove(at))
}
