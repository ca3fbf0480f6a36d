//! The name that a misspelt one was probably meant to be.

/// The candidate closest to `word`, if one is close enough to be worth a question.
///
/// Close enough is a third of the word's length in edits, or a candidate that only adds a unit at the end
/// (`queue_timeout` for `queue_timeout_ms`).
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let budget = (word.chars().count() / 3).max(1);
    candidates
        .map(|candidate| {
            let unit_missing = candidate.strip_prefix(word).is_some_and(|rest| rest.starts_with('_'));
            (if unit_missing { 1 } else { edits(word, candidate) }, candidate)
        })
        .filter(|(distance, _)| *distance <= budget)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance: insertions, deletions and replacements from `a` to `b`, ignoring case.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.to_lowercase().chars().collect();
    // `row` holds the distances from the part of `a` read so far to every prefix of `b`.
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.to_lowercase().chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        for (pair, to) in row.windows(2).zip(&b) {
            let [diagonal, above] = *pair else { continue };
            left = (diagonal + usize::from(from != *to)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
