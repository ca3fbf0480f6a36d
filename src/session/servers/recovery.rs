//! What a crash has left: branches that are prepared, and that nobody will ever end.
//!
//! The name of a branch says which server decides. There the decision is written down or not; if it is not, its absence is, which
//! keeps it from coming later: whoever is first has the name's row. So it does no harm if the session that prepared the branch is
//! still about to decide, nor if several Athenas do this for the same servers.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use crate::metrics::label::CrossShard;
use crate::net::Timer;
use crate::pool::Told;

use super::super::context::{Cluster, Context, Phase};
use super::branches::{PREFIX, mark, xid};
use super::commit::DECISIONS;

/// Between two looks for branches that are in doubt.
const INTERVAL: Duration = Duration::from_secs(1);

/// A branch that was seen so many times in a row is not in the middle of its commit.
const SIGHTS: u32 = 3;

/// Looks between two times at which old decisions are deleted.
const LOOKS_UNTIL_OLD: u64 = 600;

/// `ER_DUP_ENTRY`: somebody else has decided.
pub(super) const DUPLICATE: u16 = 1062;

const TABLE: [&str; 2] = [
    "CREATE DATABASE IF NOT EXISTS athena",
    "CREATE TABLE IF NOT EXISTS athena.xa_decisions (gtrid VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY, \
     committed TINYINT NOT NULL, decided_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE=InnoDB",
];

/// What was decided on a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    Commit,
    RollBack,
}

/// A prepared branch, as its server tells of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct InDoubt {
    at: usize,
    gtrid: String,
    /// The mark of its cluster.
    branch: String,
}

/// What writes a decision down, if there is none yet.
pub(super) fn recording(gtrid: &str, decision: Decision) -> String {
    let committed = u8::from(decision == Decision::Commit);
    format!("INSERT INTO {DECISIONS} (gtrid, committed) VALUES ('{gtrid}', {committed})")
}

/// What the server that decides has on a transaction; if it has nothing, that it was given up. `None` while it can't be asked.
pub(super) async fn decision(cluster: &Cluster, gtrid: &str) -> Option<Decision> {
    match ask(cluster, &recording(gtrid, Decision::RollBack)).await? {
        Told::Ok => Some(Decision::RollBack),
        Told::Err(err) if err.code == DUPLICATE => {
            let sql = format!("SELECT committed FROM {DECISIONS} WHERE gtrid = '{gtrid}'");
            let Told::Table(table) = ask(cluster, &sql).await? else { return None };
            match table.rows.first()?.first()?.as_deref()? {
                b"1" => Some(Decision::Commit),
                _ => Some(Decision::RollBack),
            }
        }
        _ => None,
    }
}

/// Makes the table of decisions of a cluster, where it is not there and the account may.
///
/// # Errors
/// The server's words, if it has said anything.
pub(super) async fn have_decisions(ctx: &Context, at: usize) -> Result<(), Option<Vec<u8>>> {
    let bit = 1u64.checked_shl(u32::try_from(at).unwrap_or(u32::MAX)).unwrap_or(0);
    if ctx.with_decisions.get() & bit != 0 {
        return Ok(());
    }
    let cluster = &ctx.clusters[at];
    let is_there = format!("SELECT 1 FROM {DECISIONS} LIMIT 0");
    if !matches!(ask(cluster, &is_there).await, Some(Told::Table(_))) {
        for sql in TABLE {
            match ask(cluster, sql).await {
                Some(Told::Err(err)) => return Err(Some(err.message)),
                Some(_) => {}
                None => return Err(None),
            }
        }
    }
    ctx.with_decisions.set(ctx.with_decisions.get() | bit);
    Ok(())
}

/// Asks the primary of a cluster; `None` where there is none, or no answer.
async fn ask(cluster: &Cluster, sql: &str) -> Option<Told> {
    cluster.primary()?.errand(None, sql).await.ok()
}

/// Ends what is in doubt on the servers of shards, for as long as the core lives; one core does. All have to forget the decisions
/// of their own sessions.
pub async fn recover(ctx: Rc<Context>) {
    let at = |cluster: &Cluster| cluster.tables.as_ref().is_some_and(|tables| tables.branches);
    if !ctx.clusters.iter().any(at) {
        return;
    }
    let timer = Timer::new(&ctx.core.timers);
    let mut recovery = Recovery::default();
    while ctx.phase() != Phase::Ending {
        forget_decisions(&ctx).await;
        if ctx.core_index() == 0 {
            recovery.look(&ctx).await;
        }
        timer.sleep(INTERVAL).await;
    }
}

/// Deletes decisions of which all branches are committed.
async fn forget_decisions(ctx: &Context) {
    let mut by_cluster: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (at, gtrid) in ctx.decisions.take() {
        by_cluster.entry(at).or_default().push(format!("'{gtrid}'"));
    }
    for (at, gtrids) in by_cluster {
        let sql = format!("DELETE FROM {DECISIONS} WHERE gtrid IN ({})", gtrids.join(","));
        // Those that stay are deleted when they are old.
        ask(&ctx.clusters[at], &sql).await;
    }
}

#[derive(Default)]
struct Recovery {
    looks: u64,
    /// Those of which it was said that they do not do as they should.
    complained: BTreeSet<usize>,
    /// How often each branch was seen, one look after the other.
    seen: BTreeMap<InDoubt, u32>,
}

impl Recovery {
    async fn look(&mut self, ctx: &Context) {
        let (mut listed, mut complete) = (Vec::new(), true);
        for (at, cluster) in ctx.clusters.iter().enumerate() {
            self.look_for_table(ctx, at).await;
            match self.in_doubt(at, cluster).await {
                Some(branches) => listed.extend(branches),
                None => complete = false,
            }
        }
        self.seen.retain(|branch, _| listed.contains(branch));
        for branch in &listed {
            let sights = self.seen.entry(branch.clone()).or_default();
            *sights += 1;
            if *sights >= SIGHTS {
                end(ctx, branch).await;
            }
        }
        self.looks += 1;
        if complete && self.looks.is_multiple_of(LOOKS_UNTIL_OLD) {
            forget_old(ctx, &listed).await;
        }
    }

    async fn look_for_table(&mut self, ctx: &Context, at: usize) {
        if let Err(Some(why)) = have_decisions(ctx, at).await {
            self.complain(at, &ctx.clusters[at], &format!("{DECISIONS} can't be made"), &why);
        }
    }

    /// The branches that are prepared on a cluster's primary; `None` without an answer.
    async fn in_doubt(&mut self, at: usize, cluster: &Cluster) -> Option<Vec<InDoubt>> {
        match ask(cluster, "XA RECOVER").await? {
            Told::Table(table) => {
                let row = |row: &Vec<Option<Vec<u8>>>| -> Option<InDoubt> {
                    let number = |at: usize| -> Option<usize> {
                        std::str::from_utf8(row.get(at)?.as_deref()?).ok()?.parse().ok()
                    };
                    let data = std::str::from_utf8(row.get(3)?.as_deref()?).ok()?;
                    let (gtrid, branch) = data.split_at_checked(number(1)?)?;
                    let is_ours = number(0)? == 1 && gtrid.starts_with(PREFIX);
                    is_ours.then(|| InDoubt { at, gtrid: gtrid.to_owned(), branch: branch.to_owned() })
                };
                Some(table.rows.iter().filter_map(row).collect())
            }
            Told::Err(err) => {
                self.complain(
                    at,
                    cluster,
                    "XA RECOVER is refused (on a MySQL it takes XA_RECOVER_ADMIN)",
                    &err.message,
                );
                None
            }
            Told::Ok => None,
        }
    }

    /// Once for each cluster: whoever is called by it finds the reason there.
    fn complain(&mut self, at: usize, cluster: &Cluster, what: &str, why: &[u8]) {
        if self.complained.insert(at) {
            let (cluster, why) = (&cluster.name, String::from_utf8_lossy(why));
            tracing::error!(target: "athena::recovery", %cluster, %why, "{what}: transactions on several servers need it");
        }
    }
}

/// Ends a branch as was decided.
async fn end(ctx: &Context, branch: &InDoubt) {
    let Some((_, decides)) = branch.gtrid.rsplit_once('-') else { return };
    let cluster = &ctx.clusters[branch.at];
    // That of an Athena with other servers.
    let Some(deciding) = ctx.clusters.iter().find(|cluster| mark(&cluster.name) == decides) else { return };
    if mark(&cluster.name) != branch.branch {
        return;
    }
    let Some(decision) = decision(deciding, &branch.gtrid).await else { return };
    let (word, outcome) = match decision {
        Decision::Commit => ("COMMIT", CrossShard::RecoveredCommitted),
        Decision::RollBack => ("ROLLBACK", CrossShard::RecoveredRolledBack),
    };
    if let Some(Told::Ok) = ask(cluster, &format!("XA {word} {}", xid(&branch.gtrid, &cluster.name))).await {
        ctx.metrics.cross_shard.of(outcome).inc();
        tracing::warn!(target: "athena::recovery", cluster = %cluster.name, gtrid = branch.gtrid, ?decision, "a branch that was in doubt has ended");
    }
}

/// Deletes decisions that are old, but for those on branches that are still there.
async fn forget_old(ctx: &Context, listed: &[InDoubt]) {
    let names: Vec<_> = listed.iter().map(|branch| format!("'{}'", branch.gtrid)).collect();
    let but =
        if names.is_empty() { String::new() } else { format!(" AND gtrid NOT IN ({})", names.join(",")) };
    let sql = format!("DELETE FROM {DECISIONS} WHERE decided_at < NOW() - INTERVAL 1 DAY{but}");
    for cluster in &ctx.clusters {
        ask(cluster, &sql).await;
    }
}
