//! A client goes where the fewest are.

use std::fs;

use crate::common::TestResult;
use crate::common::random::Random;
use crate::common::wire::{Connection, Login};
use crate::{assert_even, at_once, by_ids, by_metric, count, stage_on, wait_for};

#[test]
fn one_after_the_other() -> TestResult {
    for cores in [2, 8] {
        let stage = stage_on(cores, &format!("spread_{cores}"), |config| config)?;
        for number in [16, 17, 64] {
            let mut clients = (0..number).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
            assert_even(&stage, &mut clients, cores);
            drop(clients);
            wait_for(&stage, 0);
            assert_eq!(by_metric(&stage, cores), vec![0; cores as usize]);
        }
        assert!(count(&stage, "athena_connections_handed_over_total", &[]) > 0);
    }
    Ok(())
}

#[test]
fn sixteen_on_two_are_eight_and_eight() -> TestResult {
    let stage = stage_on(2, "spread_sixteen", |config| config)?;
    for _ in 0..5 {
        let mut clients = (0..16).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
        assert_eq!(by_ids(&mut clients, 2), [8, 8]);
        drop(clients);
        wait_for(&stage, 0);
    }
    Ok(())
}

#[test]
fn all_at_once() -> TestResult {
    for cores in [2, 8] {
        let stage = stage_on(cores, &format!("spread_at_once_{cores}"), |config| config)?;
        for number in [16, 17, 64, 200] {
            let mut clients =
                at_once(number, || stage.connect()).into_iter().collect::<Result<Vec<_>, _>>()?;
            assert_even(&stage, &mut clients, cores);
            drop(clients);
            wait_for(&stage, 0);
        }
    }
    Ok(())
}

#[test]
fn after_some_have_left() -> TestResult {
    let stage = stage_on(2, "spread_left", |config| config)?;
    let clients = (0..16).map(|_| stage.connect()).collect::<Result<Vec<_>, _>>()?;
    let of_core = |client: &Connection| client.greeting().connection_id % 2;
    let (leaving, mut clients): (Vec<_>, Vec<_>) = clients.into_iter().partition(|c| of_core(c) == 0);
    drop(leaving);
    wait_for(&stage, 8);
    assert_eq!(by_metric(&stage, 2), [0, 8]);
    for _ in 0..8 {
        let client = stage.connect()?;
        assert_eq!(of_core(&client), 0, "there are the fewest");
        clients.push(client);
    }
    assert_even(&stage, &mut clients, 2);
    let mut random = Random::new(16);
    for _ in 0..20 {
        for _ in 0..random.below(6) {
            let leaves = random.below(clients.len());
            drop(clients.swap_remove(leaves));
        }
        wait_for(&stage, clients.len());
        while clients.len() < 16 {
            clients.push(stage.connect()?);
        }
        assert_even(&stage, &mut clients, 2);
    }
    Ok(())
}

#[test]
fn by_a_unix_socket() -> TestResult {
    let folder = std::env::temp_dir().join(format!("athena-spread_unix-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let path = folder.join("athena.sock");
    for cores in [2, 8] {
        let stage = stage_on(cores, &format!("spread_unix_{cores}"), |config| {
            config.set("server", "unix_socket", &format!("{path:?}"))
        })?;
        let connect = || Connection::login_unix(&path, &Login::app());
        let mut clients = at_once(64, connect).into_iter().collect::<Result<Vec<_>, _>>()?;
        assert_even(&stage, &mut clients, cores);
        // Both kinds count.
        clients.truncate(16);
        wait_for(&stage, 16);
        while clients.len() < 64 {
            clients.push(stage.connect()?);
            clients.push(connect()?);
        }
        assert_even(&stage, &mut clients, cores);
        stage.athena.terminate();
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}

#[test]
fn a_core_alone_keeps_them_all() -> TestResult {
    let stage = stage_on(1, "spread_alone", |config| config)?;
    let mut clients = at_once(32, || stage.connect()).into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_even(&stage, &mut clients, 1);
    assert_eq!(count(&stage, "athena_connections_handed_over_total", &[]), 0);
    Ok(())
}
