//! MariaDB's progress reports: packets that look like errors in the middle of a reply, and are none.

use crate::common::TestResult;
use crate::common::stage::Stage;
use crate::common::wire::{Connection, Login, capability, command};

/// Copies a table, which takes longer than the second after which the server reports.
const ALTER: &[u8] = b"ALTER TABLE progress MODIFY content VARCHAR(120), ALGORITHM=COPY";

/// Runs the statement; how many reports came before its end, which is an OK.
fn reports(client: &mut Connection) -> TestResult<usize> {
    client.run("SET progress_report_time = 1")?;
    client.send(command::QUERY, ALTER)?;
    let mut reports = 0;
    loop {
        let packet = client.stream().read_payload()?;
        match packet.as_slice() {
            // 0xffff, one string: stage, stages, thousandths of a percent, what is done
            [0xff, 0xff, 0xff, 1, stage, stages, _, _, _, text @ ..] => {
                assert!(stage <= stages && usize::from(text[0]) + 1 == text.len(), "{packet:?}");
                reports += 1;
            }
            [0, ..] => return Ok(reports),
            _ => return Err(format!("{packet:?}").into()),
        }
    }
}

#[test]
fn a_long_statement_tells_how_far_it_is() -> TestResult {
    let stage = Stage::start("progress")?;
    stage.server.sql(
        "CREATE TABLE test.progress (id INT PRIMARY KEY, content VARCHAR(100)); \
         INSERT INTO test.progress SELECT seq, REPEAT('x', 100) FROM test.seq_1_to_400000",
    )?;
    let login = Login::app().with_extended(capability::EXTENDED_PROGRESS);
    let mut client = stage.login(&login)?;
    let mut found = reports(&mut client)?;
    if found == 0 {
        // It took less than a second.
        let more =
            "INSERT INTO test.progress SELECT seq + 400000, REPEAT('x', 100) FROM test.seq_1_to_1600000";
        stage.server.sql(more)?;
        found = reports(&mut client)?;
    }
    assert!(found > 0);
    assert_eq!(client.scalar("SELECT 'next'")?, "next");
    // Nobody else gets any, whatever links there are.
    let mut without = stage.connect()?;
    assert_eq!(reports(&mut without)?, 0);
    assert_eq!(without.scalar("SELECT 'next'")?, "next");
    Ok(())
}
