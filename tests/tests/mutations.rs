//! Snapshot files, manifests and what else comes from outside, mutated: each is refused by a sentence or is a machine that
//! runs. Without a panic, without end of patience, and without memory beyond the machine's.

use amber_snapshot::StateHash;
use amber_tests::Random;
use amber_tests::outside::mutate::{Case, case};
use amber_tests::outside::{Kind, Outcome, Outside};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What the process may have beside its own: the largest of the machines has 64 MiB of RAM and 16 MiB of video memory.
const MEMORY: u64 = 384 << 20;
/// Longest that one case may take; most take some ms.
const PATIENCE: Duration = Duration::from_secs(20);

/// Mutations made; 100,000 with `AMBER_MUTATIONS=100000`.
fn mutations() -> u64 {
    number("AMBER_MUTATIONS").unwrap_or(3_000)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

/// Bytes of the process that are data: what the limit is about.
fn data() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = |line: &str| line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    status.lines().find(|line| line.starts_with("VmData:")).and_then(kib).unwrap_or(0) << 10
}

/// Lets the process allocate `MEMORY` more; an allocation beyond that ends it.
fn limit_memory() {
    let maximum = getrlimit(Resource::Data).maximum;
    let limit = Rlimit { current: Some(data() + MEMORY), maximum };
    setrlimit(Resource::Data, limit).expect("a limit may always be lowered");
}

/// Keeps what went wrong where it can be looked at.
fn keep(round: u64, Case { subject, kind, bytes }: &Case) -> PathBuf {
    let path = std::env::temp_dir().join(format!("amber-mutation-{round}-{subject}-{kind:?}"));
    std::fs::write(&path, bytes).expect("the temporary folder is writable");
    path
}

/// What is as it was saved is accepted.
fn check_seeds(outside: &Outside) {
    for (subject, hash) in outside.hashes().into_iter().enumerate() {
        for kind in Kind::ALL {
            let outcome = outside.check(subject, kind, &outside.seed(subject, kind, 0));
            let fits = outcome == Outcome::Read || outcome == Outcome::Ran(hash);
            assert!(fits, "machine {subject}, {kind:?}: {outcome:?}");
        }
    }
}

/// What is wrong with what became of a mutation, if anything.
fn fault(kind: Kind, outcome: &Outcome, whole: &[StateHash]) -> Option<&'static str> {
    match outcome {
        Outcome::Refused(why) | Outcome::Damaged(why) if why.trim().is_empty() => Some("it has no reason"),
        Outcome::Ran(hash) if Kind::GUARDED.contains(&kind) && !whole.contains(hash) => {
            Some("it runs as another machine than was saved")
        }
        _ => None,
    }
}

#[test]
fn what_is_mutated_is_refused_by_a_sentence_or_runs() {
    let outside = Outside::new();
    let whole = outside.hashes();
    check_seeds(&outside);
    limit_memory();
    let first = number("AMBER_MUTATION").unwrap_or(0);
    let mut counts: BTreeMap<(String, &str), u64> = BTreeMap::new();
    let mut slowest = (Duration::ZERO, first);
    for round in first..first + mutations() {
        let case = case(&outside, &mut Random(round << 20));
        let start = Instant::now();
        let outcome = catch_unwind(AssertUnwindSafe(|| outside.check(case.subject, case.kind, &case.bytes)));
        let took = start.elapsed();
        slowest = slowest.max((took, round));
        let bad = match &outcome {
            Err(_) => Some("it panicked"),
            Ok(_) if took > PATIENCE => Some("it took too long"),
            Ok(outcome) => fault(case.kind, outcome, &whole),
        };
        if let Some(bad) = bad {
            panic!("round {round} (AMBER_MUTATION={round}): {bad}: {}", keep(round, &case).display());
        }
        let what = match outcome {
            Ok(Outcome::Refused(_)) => "refused",
            Ok(Outcome::Damaged(_)) => "damaged",
            _ => "runs or is read",
        };
        *counts.entry((format!("{:?}", case.kind), what)).or_default() += 1;
    }
    println!("slowest {:?} (round {}), {} MiB of data", slowest.0, slowest.1, data() >> 20);
    for ((kind, what), count) in counts {
        println!("{kind} {what}: {count}");
    }
}
