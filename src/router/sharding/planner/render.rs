//! The text of a statement for one shard.

use super::super::plan::{Action, Edit, Piece, Plan};
use super::super::rules::{physical, quote};
use crate::parser::Sketch;

/// Writes a piece that is made of the values of a statement.
pub type Fill<'f> = dyn Fn(&Piece, &mut Vec<u8>) + 'f;

impl Plan {
    /// Puts the text of one shard behind what is in `out`. `fill` writes the pieces that are made of values.
    pub fn text(
        &self,
        edits: &[Edit],
        sql: &[u8],
        sketch: &Sketch,
        shard: u32,
        fill: &Fill<'_>,
        out: &mut Vec<u8>,
    ) {
        let changes = edits.iter().map(|edit| Change { edit: Some(edit), tokens: span(edit), blanks: false });
        write(changes.collect(), sql, sketch, shard, fill, out);
    }

    /// What an edit puts into the text of a shard; what is made of values is left out.
    pub fn pieces(&self, edit: &Edit, shard: u32) -> Vec<u8> {
        let mut out = Vec::new();
        edit.with.iter().for_each(|piece| write_piece(piece, shard, &|_, _| (), &mut out));
        out
    }

    /// The same for an INSERT of which a shard gets only some rows: those for whose numbers `keep` holds. Ids of a sequence are
    /// in it.
    pub fn insert_text(
        &self,
        sql: &[u8],
        sketch: &Sketch,
        shard: u32,
        keep: impl Fn(usize) -> bool,
        fill: &Fill<'_>,
        out: &mut Vec<u8>,
    ) {
        let whole = |edit| Change { edit: Some(edit), tokens: span(edit), blanks: false };
        let mut changes: Vec<_> = self.edits.iter().map(whole).collect();
        if let Action::Insert { rows, ids, .. } = self.action.explained() {
            changes.extend(ids.iter().flat_map(|ids| &ids.edits).map(whole));
            let last_kept = (0..rows.len()).rev().find(|row| keep(*row));
            for (at, row) in rows.iter().enumerate().filter(|(at, _)| !keep(*at)) {
                // With the comma behind it, or with that before it where no kept row follows.
                let next = rows.get(at + 1).map(|next| next.tokens.start);
                let before =
                    at.checked_sub(1).and_then(|before| rows.get(before)).map(|before| before.tokens.end);
                // Without the blanks behind it: so texts for as many rows are mostly the same one.
                let blanks = last_kept.is_some_and(|last| last > at);
                let tokens = match blanks {
                    true => (row.tokens.start, next.unwrap_or(row.tokens.end)),
                    false => (before.unwrap_or(row.tokens.start), row.tokens.end),
                };
                changes.retain(|change| change.tokens.0 < tokens.0 || change.tokens.1 > tokens.1);
                changes.push(Change { edit: None, tokens, blanks });
            }
        }
        changes.sort_by_key(|change| change.tokens);
        write(changes, sql, sketch, shard, fill, out);
    }
}

/// Tokens that give way to an edit's pieces, or to nothing.
struct Change<'e> {
    edit: Option<&'e Edit>,
    tokens: (u32, u32),
    /// What stands behind them and is no token gives way, too.
    blanks: bool,
}

fn span(edit: &Edit) -> (u32, u32) {
    (edit.tokens.start, edit.tokens.end)
}

fn write(
    changes: Vec<Change<'_>>,
    sql: &[u8],
    sketch: &Sketch,
    shard: u32,
    fill: &Fill<'_>,
    out: &mut Vec<u8>,
) {
    // Behind the last token there may be a comment that goes on to the end of the text.
    let end = sketch.tokens.last().map_or(sql.len(), |token| token.end as usize);
    let start_of = |token: u32| sketch.tokens.get(token as usize).map_or(end, |token| token.start as usize);
    let mut done = 0;
    for Change { edit, tokens: (start, end), blanks } in changes {
        let from = start_of(start);
        out.extend_from_slice(sql.get(done..from).unwrap_or_default());
        for piece in edit.map(|edit| edit.with.as_slice()).unwrap_or_default() {
            write_piece(piece, shard, fill, out);
        }
        let last =
            end.checked_sub(1).filter(|_| end > start).and_then(|last| sketch.tokens.get(last as usize));
        let behind = last.map_or(from, |last| if blanks { start_of(end) } else { last.end as usize });
        done = behind.max(done);
    }
    out.extend_from_slice(sql.get(done..).unwrap_or_default());
}

fn write_piece(piece: &Piece, shard: u32, fill: &Fill<'_>, out: &mut Vec<u8>) {
    match piece {
        Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
        Piece::Table(table) => out.extend_from_slice(quote(&physical(table, shard)).as_bytes()),
        Piece::Sum(_) | Piece::Parameter(_) | Piece::Groups | Piece::Id(_) => fill(piece, out),
    }
}
