//! `amber snapshot edit`: a snapshot with some fields or memory replaced, as a child of the one it was made from.

use super::fields::path_of;
use super::snapshot::{SHORT, now};
use super::snapshot_args::EditArgs;
use super::stores::{self, Found};
use crate::gdb::memory::translate;
use crate::machine::{Machine, first_lost};
use crate::symbols::Symbols;
use amber_snapshot::{Archive, Edit, Edited, parse_hex};
use anyhow::{Context, Result, anyhow, bail};
use std::path::Path;

const PAGE: u64 = 4096;

/// Does what was asked; returns the exit code.
///
/// # Errors
/// One sentence; nothing is saved then.
pub fn run(folder: Option<&Path>, args: &EditArgs, json: bool) -> Result<i32> {
    let found = stores::find(folder, &args.snapshot)?;
    let store = match &found.store {
        Some(store) => store.clone(),
        None => stores::open(folder)?,
    };
    store.check_name(&args.output)?;
    let mut edited = edited(&found, args)?;
    prove(&mut edited)?;
    if found.store.is_none() {
        Archive::open(Path::new(&args.snapshot))?.import(&store, &mut |_, _| {})?;
    }
    let saved = store.save_edited(&edited)?;
    store.name(&args.output, saved.id, now(), false)?;
    let hash = edited.manifest().state_hash;
    if json {
        let (id, hash) = (saved.id.to_string(), hash.to_string());
        println!("{}", serde_json::json!({ "name": args.output, "id": id, "state_hash": hash }));
    } else {
        println!("{}  {}  state-hash {hash}", args.output, &saved.id.to_string()[..SHORT]);
    }
    Ok(0)
}

fn edited(found: &Found, args: &EditArgs) -> Result<Edited> {
    let mut edit = Edit::new(&found.snapshot);
    for text in &args.set {
        let (path, value) = split(text, "--set")?;
        edit.set(&path_of(path), value).with_context(|| format!("--set {text}"))?;
    }
    if args.write.is_empty() && args.write_linear.is_empty() && args.load.is_empty() {
        return Ok(edit.finish()?);
    }
    let machine = Machine::load(found.snapshot.again())?;
    let symbols = args.symbols.as_deref().map(Symbols::from_file).transpose()?;
    let hex =
        |text: &str| parse_hex(text).ok_or_else(|| anyhow!("`{text}` is not pairs of hexadecimal digits"));
    for text in &args.write {
        let (at, bytes) = split(text, "--write")?;
        let mut write = || write(&mut edit, &machine, number(at)?, &hex(bytes)?);
        write().with_context(|| format!("--write {text}"))?;
    }
    for text in &args.write_linear {
        let (at, bytes) = split(text, "--write-linear")?;
        let mut write = || write_linear(&mut edit, &machine, symbols.as_ref(), at, &hex(bytes)?);
        write().with_context(|| format!("--write-linear {text}"))?;
    }
    for text in &args.load {
        let (at, file) = split(text, "--load")?;
        let mut load = || {
            let bytes = std::fs::read(file).with_context(|| format!("{file}: cannot be read"))?;
            write(&mut edit, &machine, number(at)?, &bytes)
        };
        load().with_context(|| format!("--load {text}"))?;
    }
    if let Some(damage) = machine.damage() {
        bail!("{damage}");
    }
    Ok(edit.finish()?)
}

fn split<'t>(text: &'t str, option: &str) -> Result<(&'t str, &'t str)> {
    text.split_once('=').ok_or_else(|| anyhow!("{option} {text}: there is no = in it"))
}

/// An address.
///
/// # Errors
/// When it is none.
pub(super) fn number(text: &str) -> Result<u64> {
    let digits = text.replace('_', "");
    let number = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    number.map_err(|_| anyhow!("`{text}` is no address; write it in decimal, or in hexadecimal behind 0x"))
}

/// Writes bytes at a guest-physical address.
fn write(edit: &mut Edit, machine: &Machine, gpa: u64, bytes: &[u8]) -> Result<()> {
    in_pages(gpa, bytes, |gpa, part| {
        let Some((region, offset)) = machine.region_at(gpa) else {
            bail!("there is no memory at guest-physical {gpa:#x}");
        };
        Ok(edit.write(region, offset, part)?)
    })
}

/// Writes bytes at a linear address, such as `0x1000`, `cpu1:0x1000`, `start_kernel` or `jiffies+0x8`.
fn write_linear(
    edit: &mut Edit,
    machine: &Machine,
    symbols: Option<&Symbols>,
    at: &str,
    bytes: &[u8],
) -> Result<()> {
    let (cpu, at) = match at.split_once(':') {
        Some((cpu, at)) => (cpu, at),
        None => ("cpu0", at),
    };
    let known = |n: &usize| *n < machine.vcpus().len();
    let n = cpu.strip_prefix("cpu").and_then(|n| n.parse().ok()).filter(known);
    let n = n.ok_or_else(|| {
        anyhow!("{cpu} is no processor of this machine, which has {}", machine.vcpus().len())
    })?;
    in_pages(linear(symbols, at)?, bytes, |linear, part| {
        let gpa = translate(machine, n, linear);
        let gpa = gpa.ok_or_else(|| anyhow!("linear address {linear:#x} is not mapped in {cpu}"))?;
        write(edit, machine, gpa, part)
    })
}

fn linear(symbols: Option<&Symbols>, text: &str) -> Result<u64> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return number(text);
    }
    let (name, offset) = text.split_once('+').unwrap_or((text, "0"));
    let symbols = symbols.ok_or_else(|| anyhow!("{name} is no address; give --symbols to name one"))?;
    let start = symbols.address(name).ok_or_else(|| anyhow!("there is no symbol {name}"))?;
    Ok(start.wrapping_add(number(offset)?))
}

/// Calls `each` for the part of every page, with its address.
fn in_pages(at: u64, bytes: &[u8], mut each: impl FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        let at =
            at.checked_add(done as u64).ok_or_else(|| anyhow!("the bytes go beyond the last address"))?;
        let len = (bytes.len() - done).min((PAGE - at % PAGE) as usize);
        each(at, &bytes[done..done + len])?;
        done += len;
    }
    Ok(())
}

/// Loads the snapshot as a machine, which must have the very state that was asked for.
fn prove(edited: &mut Edited) -> Result<()> {
    let wanted = edited.snapshot();
    let mut machine = Machine::load(edited.snapshot()).context("no machine can be so")?;
    edited.stands_at(machine.step(), machine.now());
    if machine.state_hash() == edited.manifest().state_hash {
        return Ok(());
    }
    let sections = machine.sections();
    for (wanted, found) in wanted.manifest.sections.iter().zip(&sections) {
        if let Some((path, value)) = first_lost(wanted, found)? {
            bail!("no machine can be so: section {}: {path} cannot be {value}", wanted.path);
        }
    }
    bail!("no machine can be so: its state is another one once it is loaded")
}
