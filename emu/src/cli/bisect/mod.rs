//! `amber bisect`: the first step at which two runs differ.

mod elsewhere;
mod here;
mod side;

pub use elsewhere::serve;

use super::bisect_args::BisectArgs;
use super::diff;
use super::stores::Found;
use crate::symbols::Symbols;
use amber_snapshot::{Rules, Store};
use anyhow::{Context, Result, anyhow, bail};
use elsewhere::Elsewhere;
use here::Run;
use serde::{Deserialize, Serialize};
use serde_json::json;
use side::Side;
use std::sync::Arc;

/// What runs are laid side by side by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// The step.
    Step,
    /// How often a processor came to this linear address.
    Hits(u64),
}

/// How far the first look goes; each further one goes twice as far.
const FIRST: u64 = 1 << 16;

/// Two runs that were the same so far.
struct Pair {
    a: Side,
    b: Side,
    axis: Axis,
    /// Step no run is followed beyond.
    bound: u64,
    rules: Rules,
    store: Arc<Store>,
}

/// Does what was asked; returns the exit code.
///
/// # Errors
/// When a run cannot be built, or the two have nothing in common to begin with.
pub fn run(args: &BisectArgs) -> Result<i32> {
    let symbols = args.symbols.as_deref().map(Symbols::from_file).transpose()?;
    let (axis, first) = axis(args, symbols.as_ref())?;
    let rules = Rules { only: args.only.clone(), ignore: args.ignore.clone() };
    if axis != Axis::Step && rules.is_empty() {
        bail!(
            "--at and --at-address lay states of different steps side by side; say by --only what is to be equal"
        );
    }
    let store = args.store.as_deref();
    let a = Side::here(Run::open(&args.a, args.engine_a, store)?);
    let b = match &args.amber_b {
        Some(program) => Side::elsewhere(Elsewhere::open(program, &args.b, args.engine_b, store)?),
        None => Side::here(Run::open(&args.b, args.engine_b, store)?),
    };
    let known = [args.stop_at, a.known_to(), b.known_to()];
    let bound = known.into_iter().flatten().min().unwrap_or(u64::MAX);
    let folder = tempfile::tempdir().context("a folder for the states that are compared")?;
    let store = Arc::new(Store::open(folder.path())?);
    let mut pair = Pair { a, b, axis, bound, rules, store };
    let differs = pair.search(first)?;
    let (last, lines) = pair.last_equal();
    if differs.is_none() {
        return Ok(same(&pair, args.print.json));
    }
    pair.both(|side| side.go_to(axis, last + 1, bound))?;
    let (found_a, found_b) = (pair.found(true)?, pair.found(false)?);
    let shown = args.shown();
    let steps = [pair.a.step(), pair.b.step()];
    if args.print.json {
        let report = json!({
            "equal": false,
            "by": if axis == Axis::Step { "step" } else { "hit" },
            "last-equal": last,
            "next": { "a": lines[0], "b": lines[1] },
            "ended": { "a": pair.a.ended(), "b": pair.b.ended() },
            "steps": steps,
            "diff": diff::json_of(&found_a, &found_b, &shown)?,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        let what = if axis == Axis::Step { "step" } else { "hit" };
        println!("equal at {what} {last}, not at {what} {}", last + 1);
        for (name, line, side) in [("a", &lines[0], &pair.a), ("b", &lines[1], &pair.b)] {
            println!("{name}  {line}");
            if let Some(why) = side.ended() {
                println!("   ends at step {}: {why}", side.step());
            }
        }
        println!();
        print!("{}", diff::text_of(&found_a, &found_b, &shown)?);
    }
    Ok(i32::from(args.exit_code))
}

/// Nothing was found.
fn same(pair: &Pair, json: bool) -> i32 {
    let (step, why) = (pair.a.step(), pair.a.ended().unwrap_or("both end"));
    if json {
        println!("{}", json!({ "equal": true, "steps": [step, pair.b.step()], "ended": why }));
    } else {
        println!("nothing differs up to step {step}: {why}");
    }
    0
}

/// What the runs are laid side by side by, and where they are first compared.
fn axis(args: &BisectArgs, symbols: Option<&Symbols>) -> Result<(Axis, u64)> {
    let (text, by_name) = match (&args.at, &args.at_address) {
        (Some(text), _) => (text, true),
        (None, Some(text)) => (text, false),
        (None, None) => return Ok((Axis::Step, 0)),
    };
    let (place, hit) = text.split_once('=').unwrap_or((text, "1"));
    let hit: u64 =
        hit.parse().ok().filter(|hit| *hit > 0).ok_or_else(|| anyhow!("`{hit}` is no number of a hit"))?;
    let address = if by_name {
        let symbols = symbols.ok_or_else(|| anyhow!("--at {place}: give --symbols, or --at-address"))?;
        symbols.address(place).ok_or_else(|| anyhow!("--at {place}: there is no such symbol"))?
    } else {
        super::edit::number(place)?
    };
    Ok((Axis::Hits(address), hit))
}

impl Pair {
    fn both(&mut self, mut act: impl FnMut(&mut Side) -> Result<()>) -> Result<()> {
        act(&mut self.a)?;
        act(&mut self.b)
    }

    /// Looks for where the runs part; leaves both at the last place at which they are equal. Where they first differ
    /// is the next one. `None` if they do not.
    fn search(&mut self, first: u64) -> Result<Option<u64>> {
        let (axis, bound) = (self.axis, self.bound);
        if let Axis::Hits(address) = axis {
            self.both(|side| side.count(address))?;
            self.both(|side| side.go_to(axis, first, bound))?;
            for (name, side) in [("a", &self.a), ("b", &self.b)] {
                if let Some(why) = side.ended() {
                    bail!(
                        "{name} does not come to that place so often: it ends at step {} ({why})",
                        side.step()
                    );
                }
            }
        }
        if !self.rules.is_empty() {
            let (a, b) = (self.found(true)?, self.found(false)?);
            diff::check(&self.rules, &a.snapshot, &b.snapshot)?;
        }
        if axis == Axis::Step && self.a.step() != self.b.step() {
            let (a, b) = (self.a.step(), self.b.step());
            bail!("a begins at step {a}, b at step {b}; lay them side by side by --at or --at-address");
        }
        if !self.equal()? {
            bail!("the two differ from the start; leave out what may by --ignore, such as config");
        }
        self.both(Side::keep)?;
        let mut width = FIRST;
        let mut low = self.a.at(axis);
        let mut high = loop {
            let to = low.saturating_add(width);
            self.both(|side| side.go_to(axis, to, bound))?;
            if !self.equal()? {
                break to;
            }
            if self.a.ended().is_some() || self.b.ended().is_some() {
                return Ok(None);
            }
            self.both(Side::keep)?;
            (low, width) = (to, width.saturating_mul(2));
        };
        // Where both ended before, nothing more comes.
        if axis == Axis::Step {
            high = high.min(self.a.step().max(self.b.step()));
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            self.back()?;
            self.both(|side| side.go_to(axis, middle, bound))?;
            if self.equal()? {
                self.both(Side::keep)?;
                low = middle;
            } else {
                high = middle;
            }
        }
        self.back()?;
        Ok(Some(high))
    }

    fn back(&mut self) -> Result<()> {
        self.a.back()?;
        self.b.back()?;
        if let Axis::Hits(address) = self.axis {
            self.both(|side| side.count(address))?;
        }
        Ok(())
    }

    /// Whether the two states are equal, as far as they are to be.
    fn equal(&mut self) -> Result<bool> {
        if self.a.hash()? == self.b.hash()? {
            return Ok(true);
        }
        let ended = (self.a.ended().is_some(), self.b.ended().is_some());
        if self.rules.is_empty() || ended.0 != ended.1 || self.a.at(self.axis) != self.b.at(self.axis) {
            return Ok(false);
        }
        let (a, b) = (self.found(true)?, self.found(false)?);
        Ok(amber_snapshot::diff(&a.snapshot, &b.snapshot, &self.rules)?.is_empty())
    }

    /// The state of one of the two as a snapshot.
    fn found(&mut self, first: bool) -> Result<Found> {
        let side = if first { &mut self.a } else { &mut self.b };
        let id = side.save(self.store.dir())?;
        let snapshot = self.store.load(id)?;
        let label = Some(((if first { "a" } else { "b" }).to_owned(), 0));
        Ok(Found { id, snapshot, label, store: Some(Arc::clone(&self.store)) })
    }

    /// Where the two stand, and what each does next.
    fn last_equal(&self) -> (u64, [String; 2]) {
        (self.a.at(self.axis), [self.a.next().to_owned(), self.b.next().to_owned()])
    }
}
