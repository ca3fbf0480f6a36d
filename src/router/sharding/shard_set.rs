//! Some of a table's shards, or of the copies of a global one.

/// The number of the first copy: each cluster has one at most, and they follow each other as these do.
const FIRST_COPY: u32 = 256;

/// Of shards and copies.
const NUMBERS: u32 = 320;

/// The number that stands for the copy on a cluster.
pub fn copy_at(cluster: usize) -> u32 {
    u32::try_from(cluster).map_or(NUMBERS, |cluster| FIRST_COPY.saturating_add(cluster))
}

/// The cluster whose copy a number stands for; `None` for that of a shard.
pub fn cluster_of_copy(number: u32) -> Option<usize> {
    number.checked_sub(FIRST_COPY).map(|cluster| cluster as usize)
}

/// A set of shards, which are numbered from 0 to 255, or of copies, from 256 to 319.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ShardSet([u64; 5]);

impl ShardSet {
    pub const EMPTY: Self = Self([0; 5]);

    /// The first `shards` of them.
    pub fn full(shards: u32) -> Self {
        Self::span(0, shards)
    }

    pub fn of(shard: u32) -> Self {
        let mut set = Self::EMPTY;
        set.insert(shard);
        set
    }

    /// Those from `first` to the one before `end`.
    pub fn span(first: u32, end: u32) -> Self {
        let mut set = Self::EMPTY;
        (first..end.min(FIRST_COPY)).for_each(|shard| set.insert(shard));
        set
    }

    pub fn insert(&mut self, shard: u32) {
        if let Some(word) = self.0.get_mut(shard as usize / 64) {
            *word |= 1 << (shard % 64);
        }
    }

    pub fn contains(&self, shard: u32) -> bool {
        self.0.get(shard as usize / 64).is_some_and(|word| word >> (shard % 64) & 1 == 1)
    }

    pub fn union(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] | other.0[at]))
    }

    pub fn intersect(self, other: Self) -> Self {
        Self(std::array::from_fn(|at| self.0[at] & other.0[at]))
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::EMPTY
    }

    /// The one that is in it, if there is just one.
    pub fn single(&self) -> Option<u32> {
        self.iter().next().filter(|_| self.len() == 1)
    }

    /// From the first one.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<> {
        let set = *self;
        (0..NUMBERS).filter(move |shard| set.contains(*shard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_is_put_into_it() {
        let set = ShardSet::of(0).union(ShardSet::of(63)).union(ShardSet::of(64)).union(ShardSet::of(255));
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!((set.len(), set.single(), set.is_empty()), (4, None, false));
        assert_eq!(set.intersect(ShardSet::full(64)).iter().collect::<Vec<_>>(), [0, 63]);
        assert_eq!(set.intersect(ShardSet::span(64, 255)).single(), Some(64));
        assert_eq!(ShardSet::full(256).len(), 256);
        assert_eq!(ShardSet::of(NUMBERS), ShardSet::EMPTY);
        assert_eq!((ShardSet::EMPTY.single(), ShardSet::full(0)), (None, ShardSet::EMPTY));
        assert!(!set.contains(NUMBERS) && !set.contains(1));
    }

    #[test]
    fn copies_are_no_shards() {
        let set = ShardSet::of(copy_at(0)).union(ShardSet::of(copy_at(63)));
        assert_eq!(set.iter().map(cluster_of_copy).collect::<Vec<_>>(), [Some(0), Some(63)]);
        assert_eq!(set.intersect(ShardSet::full(1000)), ShardSet::EMPTY);
        assert_eq!((cluster_of_copy(255), ShardSet::of(copy_at(64))), (None, ShardSet::EMPTY));
    }
}
