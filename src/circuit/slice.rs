//! The numbers of a process split between its cores.

/// The part of `total` that belongs to `core` of `cores` (counted from 0). The parts add up to exactly `total` and
/// differ by at most one, so each is at least 1 if `total` is at least `cores`; with a smaller total the last cores
/// get 0. A core outside of `0..cores` has no part.
pub fn slice(total: usize, cores: usize, core: usize) -> usize {
    if core >= cores {
        return 0;
    }
    total / cores + usize::from(core < total % cores)
}
