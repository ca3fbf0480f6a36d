//! Cells of one core: numbers that its parts change without atomics.

use std::cell::Cell;
use std::marker::PhantomData;
use std::time::Duration;

use super::label::Label;

/// A number that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Cell<u64>);

impl Counter {
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, n: u64) {
        self.0.set(self.0.get().wrapping_add(n));
    }

    /// Takes over a total that another part of the core counts for itself.
    pub fn set_total(&self, total: u64) {
        self.0.set(total);
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A number of things that exist right now.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Cell<u64>);

impl Gauge {
    pub fn inc(&self) {
        self.0.set(self.0.get().saturating_add(1));
    }

    /// Stays at zero rather than wrap: a wrong gauge must not look like 2^64.
    pub fn dec(&self) {
        self.0.set(self.0.get().saturating_sub(1));
    }

    pub fn set(&self, value: u64) {
        self.0.set(value);
    }

    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// A duration that is right now, kept as nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct Age(Cell<u64>);

impl Age {
    pub fn set(&self, age: Duration) {
        self.0.set(nanos(age));
    }

    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }
}

/// The longest of the durations seen, kept as nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct Peak(Cell<u64>);

impl Peak {
    pub fn raise(&self, seen: Duration) {
        self.0.set(self.0.get().max(nanos(seen)));
    }

    pub fn get(&self) -> Duration {
        Duration::from_nanos(self.0.get())
    }
}

/// One `C` for each value of the label `L`. `N` is `L::ALL.len()`, which a field's type states as a constant.
#[derive(Debug, Clone)]
pub struct ByLabel<L, C, const N: usize> {
    cells: [C; N],
    label: PhantomData<L>,
}

impl<L: Label, C: Default, const N: usize> Default for ByLabel<L, C, N> {
    fn default() -> Self {
        const { assert!(N == L::ALL.len(), "one cell for each value of the label") };
        Self { cells: std::array::from_fn(|_| C::default()), label: PhantomData }
    }
}

impl<L: Label, C, const N: usize> ByLabel<L, C, N> {
    /// The cell of this label value.
    pub fn of(&self, label: L) -> &C {
        &self.cells[label.index()]
    }

    /// Every label value with its cell, in the order of `L::ALL`.
    pub fn iter(&self) -> impl Iterator<Item = (L, &C)> {
        L::ALL.iter().copied().zip(&self.cells)
    }
}

/// Nanoseconds of a duration; the few that don't fit (584 years) become the largest.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
