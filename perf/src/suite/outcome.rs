//! What `mysql-test-run` prints about tests.

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Passed,
    Failed,
    /// Not run: it needs something that this server has not.
    Skipped,
}

/// A test that was looked at.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its name, without that of its suite.
    pub test: String,
    pub verdict: Verdict,
    /// Time that it took; 0 where none was printed.
    pub milliseconds: u64,
    /// What was printed about it, the difference to the expected result for one.
    pub output: String,
}

/// A new outcome for `line` if it is the first about a test: `main.name   [ pass ]   12`.
fn first_line(line: &str) -> Option<Outcome> {
    let (before, after) = line.strip_prefix("main.")?.split_once("[ ")?;
    let (verdict, rest) = after.split_once(" ]")?;
    let test = before.split_whitespace().next()?.to_owned();
    let verdict = match verdict {
        "pass" => Verdict::Passed,
        "skipped" | "disabled" => Verdict::Skipped,
        _ => Verdict::Failed,
    };
    let milliseconds = rest.trim().parse().unwrap_or(0);
    Some(Outcome { test, verdict, milliseconds, output: format!("{line}\n") })
}

/// Reads the output of a run.
pub(super) fn parse(output: &str) -> Vec<Outcome> {
    let mut outcomes: Vec<Outcome> = Vec::new();
    for line in output.lines() {
        if line.starts_with("------------------------------------------------------------") {
            // The summary, or the head of the table.
            if !outcomes.is_empty() {
                break;
            }
        } else if let Some(outcome) = first_line(line) {
            outcomes.push(outcome);
        } else if let Some(last) = outcomes.last_mut() {
            last.output += line;
            last.output.push('\n');
        }
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "\
TEST                                      RESULT   TIME (ms) or COMMENT
--------------------------------------------------------------------------

main.alias                               [ pass ]    690
main.alias2 'innodb'                     [ pass ]      7
main.alter_table_debug                   [ skipped ]  Requires debug build
main.alter_table                         [ fail ]
        Test ended at 2026-11-25 00:33:35
+a line that should not be there

 - saving '/var/log/main.alter_table/'
--------------------------------------------------------------------------
The servers were restarted 0 times
";

    #[test]
    fn each_test_has_its_verdict_and_its_words() {
        let outcomes = parse(OUTPUT);
        let short: Vec<_> = outcomes.iter().map(|o| (o.test.as_str(), o.verdict, o.milliseconds)).collect();
        let expected = [
            ("alias", Verdict::Passed, 690),
            ("alias2", Verdict::Passed, 7),
            ("alter_table_debug", Verdict::Skipped, 0),
            ("alter_table", Verdict::Failed, 0),
        ];
        assert_eq!(short, expected);
        let failed = &outcomes.last().expect("there are some").output;
        assert!(failed.contains("+a line") && !failed.contains("restarted"), "{failed}");
    }
}
