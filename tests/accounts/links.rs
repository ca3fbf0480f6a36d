//! The links of several accounts in one pool.

use std::thread;

use athena_perf::proxy::AthenaConfig;

use crate::common::wire::Login;
use crate::common::{TestResult, join};
use crate::on_both;

fn few(config: AthenaConfig) -> AthenaConfig {
    config.set("runtime", "cpus", "\"0\"").text(
        "[[users]]\nname = \"few\"\npassword = \"p\"\nbackend_user = \"few_there\"\nbackend_password = \"f\"\n\
         [[users]]\nname = \"app\"\npassword = \"app\"\n",
    )
}

/// The server lets an account have two connections: more clients than that wait for each other, and nobody else does.
#[test]
fn an_account_with_few_connections_waits_for_its_own() -> TestResult {
    on_both("links_few", few, |stage| {
        stage.server.sql(
            "CREATE USER few_there@'%' IDENTIFIED BY 'f' WITH MAX_USER_CONNECTIONS 2; GRANT ALL ON test.* TO few_there@'%'",
        )?;
        thread::scope(|scope| {
            let work = |user: &'static str, password: &'static str| {
                move || -> TestResult {
                    let mut client = stage.login(&Login::new(user, password))?;
                    for _ in 0..10 {
                        assert_eq!(client.scalar("SELECT SLEEP(0.02)")?, "0");
                    }
                    Ok(())
                }
            };
            let few: Vec<_> = (0..12).map(|_| scope.spawn(work("few", "p"))).collect();
            let others: Vec<_> = (0..4).map(|_| scope.spawn(work("app", "app"))).collect();
            others.into_iter().try_for_each(join)?;
            few.into_iter().try_for_each(join)
        })
    })
}
