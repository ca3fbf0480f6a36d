//! sysbench, which knows nothing of shards, on tables that are sharded by their ids.

use std::time::Duration;

use athena_perf::sysbench::Sysbench;

use super::SHARDED;
use super::common::TestResult;
use super::common::stage::{Stage, on_each_server};
use super::common::wire::Login;

const THREADS: usize = 4;
const TIME: Duration = Duration::from_secs(1);

fn workload(stage: &Stage, workload: &str, mode: &str) -> TestResult<Sysbench> {
    let sysbench = Sysbench::new(workload, stage.athena.port())?
        .argument(&format!("--mysql-db={SHARDED}"))
        // Rows of a sharded table come with their keys.
        .argument("--auto_inc=off")
        .argument(&format!("--db-ps-mode={mode}"))
        // Several clients write the same rows.
        .argument("--mysql-ignore-errors=1213,1205,1062");
    Ok(sysbench)
}

#[test]
fn sysbench_finds_one_table() -> TestResult {
    let configure = |config: athena_perf::proxy::AthenaConfig| {
        config.text(
            "[[sharding]]\nname = \"sysbench\"\ntable_pattern = \"sbtest*\"\nshard_column = \"id\"\nshard_count = 4\n",
        )
    };
    on_each_server("sharding_sysbench", configure, |stage| {
        stage.server.sql(&format!("CREATE DATABASE {SHARDED}"))?;
        workload(stage, "oltp_read_write", "disable")?.prepare()?;
        for mode in ["disable", "auto"] {
            for name in
                ["oltp_point_select", "oltp_read_write", "select_random_points", "select_random_ranges"]
            {
                let report = workload(stage, name, mode)?.run(THREADS, TIME)?;
                assert!(report.queries > 0, "{name} {mode}: {}", report.output);
            }
        }
        let mut client = stage.login(&Login::app().database(SHARDED))?;
        let all = client.scalar("SELECT COUNT(*) FROM sbtest1")?;
        let parts = (0..4).map(|shard| format!("(SELECT COUNT(*) FROM {SHARDED}.sbtest1_{shard})"));
        let sum = stage.server.sql(&format!("SELECT {}", parts.collect::<Vec<_>>().join(" + ")))?;
        assert_eq!(all, sum);
        for shard in 0..4 {
            let elsewhere = format!("SELECT COUNT(*) FROM {SHARDED}.sbtest1_{shard} WHERE id % 4 <> {shard}");
            assert_eq!(stage.server.sql(&elsewhere)?, "0");
        }
        Ok(())
    })
}
