//! Outcomes as a table for people, as JSON and as JUnit's XML.

use super::execute::{Outcome, Verdict};
use serde::Serialize;
use std::fmt::Write;

/// Bytes of serial output that go into a report of a failure.
const TAIL: usize = 4096;

/// One line for each test, and a last one that counts.
pub fn table(outcomes: &[Outcome]) -> String {
    let width = outcomes.iter().map(|outcome| outcome.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for outcome in outcomes {
        let Outcome { name, verdict, reason, steps, seconds, .. } = outcome;
        let padding = " ".repeat(width - name.chars().count());
        let line =
            format!("{:<8} {name}{padding} {steps:>12} steps {seconds:>8.2} s  {reason}", verdict.word());
        let _ = writeln!(text, "{}", line.trim_end());
    }
    let fine = outcomes.iter().filter(|outcome| outcome.verdict.is_fine()).count();
    let known = outcomes.iter().filter(|outcome| outcome.verdict == Verdict::KnownFailure).count();
    let _ = write!(text, "{} passed, {} did not", fine - known, outcomes.len() - fine);
    if known != 0 {
        let _ = write!(text, ", {known} known failures");
    }
    text.push('\n');
    text
}

#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    verdict: &'static str,
    reason: &'a str,
    steps: u64,
    virtual_ns: u64,
    seconds: f64,
}

/// An array of objects.
pub fn json(outcomes: &[Outcome]) -> String {
    let rows: Vec<_> = outcomes
        .iter()
        .map(|outcome| Row {
            name: &outcome.name,
            verdict: outcome.verdict.word(),
            reason: &outcome.reason,
            steps: outcome.steps,
            virtual_ns: outcome.virtual_ns,
            seconds: outcome.seconds,
        })
        .collect();
    serde_json::to_string_pretty(&rows).unwrap_or_default()
}

/// A JUnit document.
pub fn junit(outcomes: &[Outcome]) -> String {
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    let errors = count(|outcome| matches!(outcome.verdict, Verdict::Error | Verdict::Internal));
    let failures = count(|outcome| !outcome.verdict.is_fine()) - errors;
    let skipped = count(|outcome| outcome.verdict == Verdict::KnownFailure);
    let seconds: f64 = outcomes.iter().map(|outcome| outcome.seconds).sum();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuite name=\"amber\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" \
         skipped=\"{skipped}\" time=\"{seconds:.3}\">",
        outcomes.len()
    );
    for outcome in outcomes {
        test_case(&mut xml, outcome);
    }
    xml + "</testsuite>\n"
}

fn test_case(xml: &mut String, outcome: &Outcome) {
    let (name, reason) = (escape(&outcome.name), escape(&outcome.reason));
    let _ = write!(xml, "  <testcase classname=\"amber\" name=\"{name}\" time=\"{:.3}\"", outcome.seconds);
    let element = match outcome.verdict {
        Verdict::Pass => return xml.push_str("/>\n"),
        Verdict::KnownFailure => {
            let _ = writeln!(xml, "><skipped message=\"{reason}\"/></testcase>");
            return;
        }
        Verdict::Error | Verdict::Internal => "error",
        Verdict::Fail | Verdict::Limit | Verdict::Died | Verdict::Hung => "failure",
    };
    let _ = writeln!(xml, ">\n    <{element} type=\"{}\" message=\"{reason}\"/>", outcome.verdict.word());
    let start = outcome.serial.len().saturating_sub(TAIL);
    let start = (start..).find(|at| outcome.serial.is_char_boundary(*at)).unwrap_or(0);
    let _ = writeln!(xml, "    <system-out>{}</system-out>\n  </testcase>", escape(&outcome.serial[start..]));
}

/// Text as XML 1.0 can hold it: what is not a character there becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\t' | '\n' => escaped.push(c),
            '\r' => {}
            '\0'..='\x1F' | '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            _ => escaped.push(c),
        }
    }
    escaped
}
