//! Variances of parts as one, by the formula of Chan, Golub and LeVeque ("Updating Formulae and a Pairwise Algorithm for Computing
//! Sample Variances", 1979). A server goes by one value after the other: the last digits of its result depend on the order of
//! its rows, and those of this one on the parts.

use crate::router::sharding::Deviation;

/// What is known of some values.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Variance {
    pub count: f64,
    pub mean: f64,
    /// The mean of the squared differences from the mean.
    pub variance: f64,
}

impl Variance {
    /// Adds the values of another part.
    pub fn add(&mut self, other: Variance) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = other;
            return;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        let squares = self.variance * self.count
            + other.variance * other.count
            + apart * apart * (self.count * other.count / count);
        let mean = self.mean + apart * (other.count / count);
        *self = Variance { count, mean, variance: squares / count };
    }

    /// `None` is NULL: there are too few values.
    pub fn finish(self, kind: Deviation) -> Option<f64> {
        let least = if kind.sample { 2.0 } else { 1.0 };
        if self.count < least {
            return None;
        }
        let variance = match kind.sample {
            true => self.variance * self.count / (self.count - 1.0),
            false => self.variance,
        };
        Some(if kind.root { variance.sqrt() } else { variance })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Deviation; 4] = [
        Deviation { sample: false, root: false },
        Deviation { sample: false, root: true },
        Deviation { sample: true, root: false },
        Deviation { sample: true, root: true },
    ];

    fn of(values: &[f64]) -> Variance {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        Variance { count, mean, variance: squares / count }
    }

    #[test]
    fn parts_have_the_variance_of_all() {
        let values: Vec<f64> =
            (0..100u32).map(|number| f64::from(number * number % 37) * 1.25 - 7.0).collect();
        let whole = of(&values);
        for size in [1, 3, 50, 99, 100] {
            let mut parts = Variance::default();
            values.chunks(size).for_each(|part| parts.add(of(part)));
            parts.add(Variance::default());
            for kind in ALL {
                let [ours, theirs] =
                    [parts, whole].map(|variance| variance.finish(kind).expect("enough values"));
                assert!((ours - theirs).abs() < 1e-12 * theirs, "{size} {kind:?}: {ours} {theirs}");
            }
        }
    }

    #[test]
    fn one_part_is_as_it_is() {
        let mut variance = Variance::default();
        variance.add(Variance { count: 3.0, mean: 0.1, variance: 0.7 });
        assert_eq!(variance.finish(ALL[0]), Some(0.7));
    }

    #[test]
    fn few_values_have_none() {
        for kind in ALL {
            assert_eq!(Variance::default().finish(kind), None);
            let one = of(&[3.0]).finish(kind);
            assert_eq!(one, if kind.sample { None } else { Some(0.0) });
        }
    }
}
