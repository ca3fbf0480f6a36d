//! Texts made of pieces of the golden statements: planning does not fail, and what a shard gets names no sharded table.

use super::super::plan::*;
use super::super::rules::GLOBAL;
use super::golden_tests::{GOLDEN, Shop, Shown};
use super::plan;

const TEXTS: u32 = 20_000;
const SHARD: u32 = 3;

/// xorshift, the same in all runs.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % limit.max(1)
    }
}

/// All texts that a shard gets by a plan.
fn texts(shown: &Shown<'_>, plan: &Plan) -> Vec<String> {
    let sql = shown.sql.as_bytes();
    let mut all = Vec::new();
    let mut edited = |edits: &[Edit]| {
        let mut text = Vec::new();
        let fill = |piece: &Piece, out: &mut Vec<u8>| {
            out.extend_from_slice(if matches!(piece, Piece::Groups) { b"(SELECT 7)" } else { b"7" });
        };
        plan.text(edits, sql, &shown.sketch, SHARD, &fill, &mut text);
        all.push(String::from_utf8(text).unwrap());
    };
    edited(&plan.edits);
    match plan.action.explained() {
        Action::Read { scatter: Ok(scatter), .. } => {
            edited(&scatter.edits);
            if let Some(finish) = &scatter.finish {
                edited(&finish.described);
                finish.query.iter().for_each(|query| edited(query));
            }
        }
        Action::Insert { rows, .. } => {
            for odd in 0..2.min(rows.len()) {
                let mut text = Vec::new();
                plan.insert_text(sql, &shown.sketch, SHARD, |row| row % 2 == odd, &|_, _| (), &mut text);
                all.push(String::from_utf8(text).unwrap());
            }
        }
        _ => {}
    }
    all
}

/// Plans a text, and reads again what a shard gets.
fn check(sql: &str) -> bool {
    let shown = Shown::new(sql);
    let Verdict::Sharded(planned) = plan(sql, &shown.sketch, &Shop) else { return false };
    if let Action::Unlisted { behind, .. } = planned.action {
        let (before, behind) = sql.split_at(shown.sketch.tokens[behind as usize].end as usize);
        return check(&format!("{before} (user_id, n){behind}"));
    }
    for text in texts(&shown, &planned) {
        let verdict = plan(&text, &Shown::new(&text).sketch, &Shop);
        let is_global =
            matches!(&verdict, Verdict::Sharded(plan) if plan.rule == GLOBAL && plan.edits.is_empty());
        assert!(verdict == Verdict::Home || is_global, "{sql}\nis for a shard: {text}\n{verdict:?}");
    }
    true
}

fn statements(golden: &str) -> Vec<String> {
    let lines = golden.lines().filter(|line| !line.starts_with([' ', '#']) && !line.is_empty());
    lines.map(|line| line.replace("\\n", "\n")).collect()
}

#[test]
fn a_shard_gets_no_logical_names() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let sharded = statements(&golden).iter().filter(|sql| check(sql)).count();
    assert!(sharded > 500, "{sharded}");
}

#[test]
fn soup_is_planned_or_refused() {
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let pieces: Vec<Vec<String>> = statements(&golden)
        .iter()
        .map(|sql| {
            let sketch = Shown::new(sql).sketch;
            let text = |at: u32| String::from_utf8(sketch.text(sql.as_bytes(), at).to_vec()).unwrap();
            (0..u32::try_from(sketch.tokens.len()).unwrap()).map(text).collect()
        })
        .filter(|tokens: &Vec<String>| (3..80).contains(&tokens.len()))
        .collect();
    let mut random = Random(0x5EED_CAFE);
    let mut sharded = 0;
    for _ in 0..TEXTS {
        let mut tokens = pieces[random.below(pieces.len())].clone();
        for _ in 0..1 + random.below(3) {
            let (at, other) = (random.below(tokens.len()), &pieces[random.below(pieces.len())]);
            let from = random.below(other.len());
            let piece = &other[from..(from + 1 + random.below(6)).min(other.len())];
            match random.below(5) {
                0 => _ = tokens.splice(at..at, piece.iter().cloned()),
                1 => _ = tokens.splice(at.., other[from..].iter().cloned()),
                2 => _ = tokens.splice(at..(at + piece.len()).min(tokens.len()), piece.iter().cloned()),
                3 => tokens[at].clone_from(&piece[0]),
                _ if tokens.len() > 2 => _ = tokens.remove(at),
                _ => {}
            }
        }
        sharded += usize::from(check(&tokens.join(" ")));
    }
    assert!(sharded > 1000, "{sharded}");
}
