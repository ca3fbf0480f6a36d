//! Comments in which a client tells Athena where a text should run.
//!
//! `/* athena:primary */`, `-- athena:replica`, `# athena:replica`: in any comment of the text, in any place and any
//! case. A comment says nothing else, so that a word about Athena in a comment is no hint.

use super::facts::Hazards;

const PREFIX: &[u8] = b"athena:";

/// What a comment, given without its marks, asks for.
pub(super) fn hint(comment: &[u8]) -> Hazards {
    let comment = comment.trim_ascii();
    let Some((prefix, name)) = comment.split_at_checked(PREFIX.len()) else { return Hazards::empty() };
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return Hazards::empty();
    }
    match name.trim_ascii_start() {
        name if name.eq_ignore_ascii_case(b"primary") => Hazards::HINT_PRIMARY,
        name if name.eq_ignore_ascii_case(b"replica") => Hazards::HINT_REPLICA,
        _ => Hazards::HINT_UNKNOWN,
    }
}
