//! `docs/METRICS.md` describes exactly what is exposed: every family has its row, and no row describes a family that
//! is gone; so have the values of the labels that have a table of their own.

use std::collections::HashSet;

use athena::metrics::label::{
    BoundReason, BreakerState, CatchUp, ClosedReason, Direction, ErrorKind, Label, LinkState,
    RateLimitReason, RefusedReason, RetryReason, RouteReason, Target,
};
use athena::metrics::names;

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/METRICS.md"));

/// The words in back quotes at the start of the page's table rows.
fn rows() -> HashSet<&'static str> {
    PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(word, _)| word).collect()
}

#[test]
fn every_family_has_its_row_and_every_row_its_family() {
    let exposed: HashSet<&str> = names().collect();
    let described: HashSet<&str> = rows()
        .into_iter()
        .filter(|word| word.starts_with("athena_") || word.starts_with("process_"))
        .collect();
    let missing: Vec<_> = exposed.difference(&described).collect();
    let stale: Vec<_> = described.difference(&exposed).collect();
    assert!(missing.is_empty() && stale.is_empty(), "not described: {missing:?}; not exposed: {stale:?}");
}

#[test]
fn every_label_value_is_explained() {
    fn check<L: Label>() {
        for value in L::ALL {
            let quoted = format!("`{}`", value.name());
            assert!(PAGE.contains(&quoted), "{quoted} is not explained");
        }
    }
    check::<Target>();
    check::<RouteReason>();
    check::<CatchUp>();
    check::<RetryReason>();
    check::<RateLimitReason>();
    check::<RefusedReason>();
    check::<ErrorKind>();
    check::<BreakerState>();
    check::<Direction>();
    check::<LinkState>();
    check::<BoundReason>();
    check::<ClosedReason>();
}
