//! Some of a table's shards.

/// A set of shards, which are numbered from 0 to 255.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ShardSet([u64; 4]);

impl ShardSet {
    pub const EMPTY: Self = Self([0; 4]);

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
        (first..end.min(256)).for_each(|shard| set.insert(shard));
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
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a | e, b | f, c | g, d | h])
    }

    pub fn intersect(self, other: Self) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (self.0, other.0);
        Self([a & e, b & f, c & g, d & h])
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
        (0..256).filter(move |shard| set.contains(*shard))
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
        assert_eq!(ShardSet::of(256), ShardSet::EMPTY);
        assert_eq!((ShardSet::EMPTY.single(), ShardSet::full(0)), (None, ShardSet::EMPTY));
        assert!(!set.contains(256) && !set.contains(1));
    }
}
