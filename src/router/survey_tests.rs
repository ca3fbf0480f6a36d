//! Clusters over time: what is seen of each server, round by round, and who is the primary then.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::gtid::GtidSet;
use super::look::{Channel, Look, Part, Receives};
use super::primary::NoWrites;
use super::survey::{Event, Seen, Survey};
use super::topology::Unfit;
use crate::config::{Cluster, Config};

/// Between two rounds.
const ROUND: Duration = Duration::from_millis(500);

/// Servers on the ports from 3306 on: the one of `[backend]`, and replicas.
fn cluster(replicas: usize, more: &str) -> Cluster {
    let mut text =
        "[backend]\nhost = \"127.0.0.1\"\nport = 3306\nuser = \"app\"\npassword = \"\"\n".to_owned();
    text += "[server]\nlisten_port = 4000\n[health]\nfailures = 3\nrecoveries = 2\n";
    text += more;
    for replica in 0..replicas {
        text += &format!("\n[[backend.replicas]]\nhost = \"127.0.0.1\"\nport = {}\n", 3307 + replica);
    }
    let config =
        Config::parse(Path::new("a.toml"), &text, &|_| None).unwrap_or_else(|error| panic!("{error}"));
    config.clusters[0].clone()
}

/// A server in short.
///
/// ```text
/// !   nobody answers              ?   it lets nobody look
/// W   takes writes                r   read-only
/// >n  replicates from member n    ~n  would, but its source is away    x>n  the SQL thread has stopped
/// *   whom it follows is hidden
/// P S O  primary, secondary, offline of a group        G g  synced or not, of a Galera cluster
/// ```
fn seen(text: &str, executed: Option<u64>) -> Seen {
    let channel = |number: &str, receives, applies| {
        let port = 3306 + number.parse::<u16>().expect("a number");
        Channel { host: "127.0.0.1".to_owned(), port, receives, applies, behind: None }
    };
    let mut look = Look {
        is_writable: text.contains(['W', 'P', 'G', 'g']),
        executed: None,
        channels: Some(Vec::new()),
        group: None,
    };
    look.executed = executed.map(|number| {
        Arc::new(GtidSet::parse(format!("0-1-{number}").as_bytes(), true).expect("a position"))
    });
    let stopped = text.contains("x>");
    if let Some((_, source)) = text.split_once('>') {
        look.channels = Some(vec![channel(source, Receives::Yes, !stopped)]);
    }
    if let Some((_, source)) = text.split_once('~') {
        look.channels = Some(vec![channel(source, Receives::Tries, true)]);
    }
    if text.contains('*') {
        look.channels = None;
    }
    look.group = match text.chars().next() {
        Some('!') => return Seen::Failed("refused".to_owned()),
        Some('?') => return Seen::Refused("too many".to_owned()),
        Some('P') => Some(Part::Primary),
        Some('S') => Some(Part::Secondary),
        Some('O' | 'g') => Some(Part::Apart),
        Some('G') => Some(Part::Synced),
        _ => None,
    };
    Seen::Look(look, Duration::from_millis(1))
}

/// Rounds: what is seen of each server, in order; who is the primary after it, in which epoch; who may have reads.
type Rounds<'a> = &'a [(&'a str, Option<usize>, u64, &'a str)];

/// Plays rounds. Returns all that has happened.
fn play(rounds: Rounds<'_>) -> Vec<Event> {
    let members = rounds[0].0.split_whitespace().count();
    let mut now = Instant::now();
    let mut survey = Survey::new(&cluster(members - 1, ""), now);
    let mut events = Vec::new();
    for (round, (servers, primary, epoch, readers)) in rounds.iter().enumerate() {
        for (member, text) in servers.split_whitespace().enumerate() {
            events.extend(survey.take_in(member, seen(text, None), now));
            let topology = survey.topology();
            // There are never two, and one epoch has one.
            if let (Some(now), true) = (topology.primary, topology.epoch == *epoch) {
                assert_eq!(Some(now), primary.or(Some(now)), "round {round}, member {member}");
            }
        }
        let topology = survey.topology();
        assert_eq!((topology.primary, topology.epoch), (*primary, *epoch), "round {round}: {servers}");
        let fit = topology.members.iter().map(|member| if member.unfit.is_none() { '+' } else { '-' });
        assert_eq!(fit.collect::<String>(), *readers, "round {round}: {servers}");
        now += ROUND;
    }
    events
}

fn count(events: &[Event], is: impl Fn(&Event) -> bool) -> usize {
    events.iter().filter(|event| is(event)).count()
}

#[test]
fn a_planned_switch_over() {
    let events = play(&[
        ("W r>0 r>0", Some(0), 1, "+++"),
        // The old one forbids writes, the new one is freed and takes them.
        ("r r>0 r>0", None, 1, "-++"),
        ("r r r>0", None, 1, "--+"),
        ("r W r>0", Some(1), 2, "-++"),
        ("r>1 W r>1", Some(1), 2, "+++"),
        ("r>1 W r>1", Some(1), 2, "+++"),
    ]);
    assert!(events.contains(&Event::PrimaryLost { member: 0, why: NoWrites::ReadOnly }));
    let found = Event::PrimaryFound { member: 1, epoch: 2, is_new: true, after: ROUND * 2, others: vec![] };
    assert!(events.contains(&found), "{events:?}");
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { .. })), 0);
}

#[test]
fn the_primary_is_killed_and_another_promoted() {
    let events = play(&[
        ("W r>0 r>0", Some(0), 1, "+++"),
        // Two lost looks are nothing, three are enough.
        ("! r~0 r~0", Some(0), 1, "+++"),
        ("! r~0 r~0", Some(0), 1, "+++"),
        ("! r~0 r~0", None, 1, "-++"),
        ("! r~0 r~0", None, 1, "-++"),
        ("! W r~0", Some(1), 2, "-++"),
        ("! W r>1", Some(1), 2, "-++"),
        // It comes back and takes writes: nobody gives it any.
        ("W W r>1", Some(1), 2, "-++"),
        ("W W r>1", Some(1), 2, "-++"),
        ("W W r>1", Some(1), 2, "-++"),
        ("r>1 W r>1", Some(1), 2, "+++"),
        ("W W r>1", Some(1), 2, "-++"),
    ]);
    // Told once each time.
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { member: 0, primary: 1 })), 2);
}

#[test]
fn a_promotion_that_is_seen_before_the_death_waits_for_it() {
    let events = play(&[
        ("W r>0 r>0", Some(0), 1, "+++"),
        ("! W r~0", Some(0), 1, "+-+"),
        ("! W r~0", Some(0), 1, "+-+"),
        ("! W r~0", Some(1), 2, "-++"),
    ]);
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { .. })), 1);
}

#[test]
fn a_replica_that_takes_writes_and_replicates_is_never_promoted() {
    let events = play(&[
        ("W W>0 r>0", Some(0), 1, "+++"),
        ("! W~0 r~0", Some(0), 1, "+++"),
        ("! W~0 r~0", Some(0), 1, "+++"),
        ("! W~0 r~0", None, 1, "-++"),
        ("! W~0 r~0", None, 1, "-++"),
        // The one that it was comes back: it is the same, and nothing was dropped meanwhile.
        ("W W>0 r>0", None, 1, "-++"),
        ("W W>0 r>0", Some(0), 1, "+++"),
    ]);
    let again = Event::PrimaryFound { member: 0, epoch: 1, is_new: false, after: ROUND * 3, others: vec![] };
    assert!(events.contains(&again), "{events:?}");
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { .. })), 0);
    // Nor is one of which nobody knows whether it does, unless it was read-only before.
    play(&[
        ("W* W* r*", Some(0), 1, "+++"),
        ("! W* r*", Some(0), 1, "+++"),
        ("! W* r*", Some(0), 1, "+++"),
        ("! W* r*", None, 1, "-++"),
        ("! W* r*", None, 1, "-++"),
        ("! W* W*", Some(2), 2, "-++"),
    ]);
}

#[test]
fn in_a_ring_the_one_that_takes_writes_is_the_primary() {
    let events = play(&[
        ("W>1 r>0", Some(0), 1, "++"),
        ("! r~0", Some(0), 1, "++"),
        ("! r~0", Some(0), 1, "++"),
        ("! r~0", None, 1, "-+"),
        ("! W~0", Some(1), 2, "-+"),
        ("r>1 W~0", Some(1), 2, "-+"),
        ("r>1 W>0", Some(1), 2, "++"),
        // Both: who is it stays it.
        ("W>1 W>0", Some(1), 2, "++"),
        ("W>1 r>0", Some(0), 3, "++"),
    ]);
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { .. })), 0);
    play(&[("W>1 W>0", Some(0), 1, "++"), ("W>1 W>0", Some(0), 1, "++")]);
}

#[test]
fn lost_looks_change_nothing_and_promote_nobody() {
    play(&[
        ("W r>0", Some(0), 1, "++"),
        ("! r>0", Some(0), 1, "++"),
        ("W !", Some(0), 1, "++"),
        ("! !", Some(0), 1, "++"),
        ("! r>0", Some(0), 1, "++"),
        ("W r>0", Some(0), 1, "++"),
        // It lets nobody in any more: it is there.
        ("? r>0", Some(0), 1, "++"),
        ("? r>0", Some(0), 1, "++"),
        ("? r>0", Some(0), 1, "++"),
        ("? r>0", Some(0), 1, "++"),
        ("W ?", Some(0), 1, "++"),
    ]);
    // One that was seen to take writes, and is silent just when another is sought, is not taken.
    play(&[
        ("W W r>0", Some(0), 1, "+-+"),
        ("W ! r>0", Some(0), 1, "+-+"),
        ("r ! r>0", None, 1, "--+"),
        ("r W r>0", Some(1), 2, "-++"),
    ]);
    // Nobody lets anybody in from the start.
    play(&[
        ("? ?", None, 0, "--"),
        ("W ?", None, 0, "--"),
        ("W r>0", Some(0), 1, "+-"),
        ("W r>0", Some(0), 1, "++"),
    ]);
}

#[test]
fn two_writers_at_the_start() {
    // The one that others follow.
    let events = play(&[("W W r>1", Some(1), 1, "-++"), ("W W r>1", Some(1), 1, "-++")]);
    assert_eq!(
        count(&events, |event| matches!(event, Event::PrimaryFound { others, .. } if others == &[0])),
        1
    );
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { .. })), 0);
    // Or the first of the file.
    play(&[("W W", Some(0), 1, "+-")]);
    // None at all, until there is one.
    play(&[("r r>0", None, 0, "-+"), ("r r>0", None, 0, "-+"), ("W r>0", Some(0), 1, "++")]);
}

#[test]
fn nobody_is_the_primary_until_all_were_looked_at() {
    let now = Instant::now();
    let mut survey = Survey::new(&cluster(2, ""), now);
    survey.take_in(0, seen("W", None), now);
    survey.take_in(1, seen("W", None), now);
    assert_eq!(survey.topology().primary, None);
    assert_eq!(survey.topology().members[0].unfit, Some(Unfit::Unknown));
    survey.take_in(2, seen("r>1", None), now + ROUND);
    assert_eq!(survey.topology().primary, Some(1));
    assert_eq!(survey.without_primary(now + ROUND * 9), ROUND);
}

#[test]
fn group_replication_elects_and_is_followed() {
    play(&[
        ("P S S", Some(0), 1, "+++"),
        ("! S S", Some(0), 1, "+++"),
        // The group is faster than the looks.
        ("! P S", Some(0), 1, "+++"),
        ("! P S", Some(1), 2, "-++"),
        ("O P S", Some(1), 2, "-++"),
        ("O P S", Some(1), 2, "-++"),
        ("S P S", Some(1), 2, "+++"),
        // Its own choice of another.
        ("P S S", Some(0), 3, "+++"),
    ]);
    // Several may write: one is enough, and it stays.
    let events =
        play(&[("P P P", Some(0), 1, "+++"), ("O P P", Some(1), 2, "-++"), ("P P P", Some(1), 2, "+++")]);
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { .. })), 0);
}

#[test]
fn galera_has_one_writer_that_stays() {
    let events = play(&[
        ("G G G", Some(0), 1, "+++"),
        ("g G G", Some(1), 2, "-++"),
        ("G G G", Some(1), 2, "+++"),
        ("G g g", Some(0), 3, "+--"),
        ("g g g", None, 3, "---"),
        ("g G g", Some(1), 4, "-+-"),
    ]);
    assert_eq!(count(&events, |event| matches!(event, Event::TwoWriters { .. })), 0);
    assert!(events.contains(&Event::Unfit { member: 0, why: Unfit::Apart, lag: None }));
}

#[test]
fn reads_need_a_replica_that_applies() {
    let events = play(&[
        ("W r>0 r>0", Some(0), 1, "+++"),
        ("W rx>0 r>0", Some(0), 1, "+-+"),
        ("W r>0 r", Some(0), 1, "++-"),
        ("W r>0 r>0", Some(0), 1, "+++"),
    ]);
    assert!(events.contains(&Event::Unfit { member: 1, why: Unfit::NotReplicating, lag: None }));
    assert!(events.contains(&Event::Fit { member: 1, lag: None }));
}

#[test]
fn who_is_behind_is_taken_out_and_comes_back_when_it_is_well_below() {
    let cluster = cluster(1, "[routing]\nmax_replica_lag_ms = 4000\n");
    let start = Instant::now();
    let mut survey = Survey::new(&cluster, start);
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    // The second, what each has executed, and whether the replica may have reads, by what lag.
    for (second, primary, replica, lag, fit) in [
        (0, 10, 10, 0, true),
        (1, 11, 10, 0, true),
        (3, 12, 10, 2, true),
        (5, 13, 10, 4, true),
        (6, 14, 10, 5, false),
        (7, 15, 12, 2, true),
        (12, 16, 12, 7, false),
        (13, 16, 13, 7, false),
        (14, 16, 14, 7, false),
        (15, 17, 16, 0, true),
    ] {
        survey.take_in(0, seen("W", Some(primary)), at(second));
        survey.take_in(1, seen("r>0", Some(replica)), at(second));
        let member = survey.topology().members[1].clone();
        assert_eq!(member.lag, Some(Duration::from_secs(lag)), "second {second}");
        assert_eq!(member.unfit.is_none(), fit, "second {second}");
    }
    // The primary is gone: nobody gets further behind, and what was lost with it is nobody's lag.
    for second in 16..19 {
        survey.take_in(0, seen("!", None), at(second));
    }
    survey.take_in(1, seen("r~0", Some(16)), at(60));
    let topology = survey.topology();
    assert_eq!((topology.primary, topology.members[1].unfit), (None, None));
    assert_eq!(topology.members[1].lag, Some(Duration::from_secs(3)));
    // Configuration alone changes it, too.
    let mut drained = cluster.clone();
    drained.replicas[0].draining = true;
    assert_eq!(
        survey.revise(&drained),
        [Event::Unfit { member: 1, why: Unfit::Draining, lag: Some(Duration::from_secs(3)) }]
    );
}

#[test]
fn without_gtids_servers_count_and_who_gets_nothing_falls_behind() {
    let cluster = cluster(1, "[routing]\nmax_replica_lag_ms = 4000\n");
    let start = Instant::now();
    let mut survey = Survey::new(&cluster, start);
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let replica = |text, behind: Option<u64>| match seen(text, None) {
        Seen::Look(mut look, latency) => {
            look.channels.iter_mut().flatten().for_each(|one| one.behind = behind.map(Duration::from_secs));
            Seen::Look(look, latency)
        }
        other => other,
    };
    survey.take_in(0, seen("W", None), at(0));
    for (second, text, behind, lag, fit) in [
        (0, "r>0", Some(0), Some(0), true),
        (1, "r>0", Some(3), Some(3), true),
        (2, "r>0", Some(9), Some(9), false),
        (3, "r>0", Some(1), Some(1), true),
        (4, "r~0", None, Some(0), true),
        (9, "r~0", None, Some(5), false),
        (10, "r>0", Some(0), Some(0), true),
    ] {
        survey.take_in(1, replica(text, behind), at(second));
        let member = survey.topology().members[1].clone();
        assert_eq!(member.lag, lag.map(Duration::from_secs), "second {second}");
        assert_eq!(member.unfit.is_none(), fit, "second {second}");
    }
}

#[test]
fn latency_is_smoothed() {
    let now = Instant::now();
    let mut survey = Survey::new(&cluster(1, ""), now);
    let look = |millis| match seen("W", None) {
        Seen::Look(look, _) => Seen::Look(look, Duration::from_millis(millis)),
        other => other,
    };
    for (millis, smoothed) in [(8, 8), (8, 8), (16, 10), (2, 8)] {
        survey.take_in(0, look(millis), now);
        assert_eq!(survey.topology().members[0].latency, Duration::from_millis(smoothed));
    }
}
