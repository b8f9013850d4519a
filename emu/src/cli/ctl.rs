//! `amber ctl`: asks a running machine for something and prints its answer.

use super::run::write_out;
use super::snapshot_args::CtlArgs;
use crate::control::{Answer, Request, UnixStream};
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

/// What a parameter is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Signed,
    /// A snapshot's name, or a file.
    Snapshot,
    File,
    /// A disk or a network, by the parameter before it.
    Device,
    /// A number, or a symbol.
    Place,
    Flag,
    /// Given by its name, `--force`, or not.
    Named,
}

/// A method, its parameters in order, and how many of them must be given.
type Parameters = (&'static str, &'static [(&'static str, Kind)], usize);

const PARAMETERS: [Parameters; 48] = [
    ("share-export", &[("tag", Kind::Text), ("folder", Kind::File)], 2),
    ("share-load", &[("tag", Kind::Text), ("folder", Kind::File)], 2),
    ("step", &[("count", Kind::Number)], 1),
    ("speed", &[("percent", Kind::Number)], 0),
    ("rewind", &[("step", Kind::Number)], 1),
    ("reverse-step", &[("cpu", Kind::Number)], 0),
    ("reverse-step-over", &[("cpu", Kind::Number)], 0),
    ("step-back", &[("count", Kind::Number)], 1),
    ("return", &[("branch", Kind::Number)], 1),
    ("save", &[("name", Kind::Text)], 1),
    ("load", &[("snapshot", Kind::Snapshot)], 1),
    ("serial", &[("text", Kind::Text)], 1),
    ("console", &[("text", Kind::Text)], 1),
    ("channel-write", &[("text", Kind::Text)], 1),
    ("read", &[("address", Kind::Number), ("len", Kind::Number)], 2),
    ("screenshot", &[("file", Kind::File)], 1),
    ("cpu-add", &[("id", Kind::Number)], 0),
    ("cpu-remove", &[("id", Kind::Number)], 1),
    ("device-add", &[("kind", Kind::Text), ("device", Kind::Device)], 2),
    ("device-remove", &[("id", Kind::Text)], 1),
    ("insert", &[("drive", Kind::Text), ("file", Kind::File), ("read-only", Kind::Named)], 2),
    ("media-export", &[("drive", Kind::Text), ("file", Kind::File)], 2),
    ("eject", &[("drive", Kind::Text), ("force", Kind::Named)], 1),
    ("memory-add", &[("size", Kind::Text)], 1),
    ("memory-remove", &[("slot", Kind::Number)], 1),
    ("type", &[("text", Kind::Text)], 1),
    ("key", &[("keys", Kind::Text)], 1),
    ("net-link", &[("state", Kind::Text)], 1),
    (
        "mouse",
        &[("dx", Kind::Signed), ("dy", Kind::Signed), ("wheel", Kind::Signed), ("buttons", Kind::Number)],
        2,
    ),
    (
        "pointer",
        &[("x", Kind::Number), ("y", Kind::Number), ("wheel", Kind::Signed), ("buttons", Kind::Number)],
        2,
    ),
    ("registers", &[("cpu", Kind::Number)], 0),
    (
        "disassemble",
        &[("count", Kind::Number), ("address", Kind::Place), ("before", Kind::Number), ("cpu", Kind::Number)],
        1,
    ),
    ("read-linear", &[("address", Kind::Place), ("len", Kind::Number), ("cpu", Kind::Number)], 2),
    ("stack", &[("count", Kind::Number), ("cpu", Kind::Number)], 1),
    ("fields", &[("section", Kind::Text)], 1),
    ("symbols", &[("file", Kind::File)], 1),
    ("locate", &[("place", Kind::Place)], 1),
    ("break", &[("address", Kind::Place)], 1),
    (
        "watch",
        &[("address", Kind::Place), ("len", Kind::Number), ("read", Kind::Flag), ("write", Kind::Flag)],
        4,
    ),
    ("unbreak", &[("id", Kind::Number)], 1),
    ("break-enable", &[("id", Kind::Number), ("enabled", Kind::Flag)], 2),
    ("step-into", &[("cpu", Kind::Number)], 0),
    ("step-over", &[("cpu", Kind::Number)], 0),
    ("step-out", &[("cpu", Kind::Number)], 0),
    ("run-to", &[("address", Kind::Place)], 1),
    ("set", &[("path", Kind::Text), ("value", Kind::Text)], 2),
    ("write", &[("address", Kind::Number), ("bytes", Kind::Text)], 2),
    ("write-linear", &[("address", Kind::Place), ("bytes", Kind::Text), ("cpu", Kind::Number)], 2),
];

/// Asks and prints; returns the exit code.
///
/// # Errors
/// When nobody listens, or the machine says why not.
pub fn run(args: &CtlArgs) -> Result<i32> {
    let (method, given) = method(args);
    let result = ask(&args.socket, &method, params(&method, given)?)?;
    match (&*method, &result["text"]) {
        ("text", Value::String(text)) => write_out(text),
        _ => write_out(&format!("{result:#}\n")),
    }
    Ok(0)
}

/// Asks the machine that listens at `socket`; its answer.
///
/// # Errors
/// When nobody listens, or the machine says why not.
pub(super) fn ask(socket: &Path, method: &str, params: Value) -> Result<Value> {
    let request = Request { id: json!(1), method: method.to_owned(), params };
    request.method().map_err(|e| anyhow!(e))?;
    let nobody = |e| {
        anyhow!(
            "{0}: no machine listens there ({e}); one does that is run with --control {0}",
            socket.display()
        )
    };
    let stream = UnixStream::connect(socket).map_err(nobody)?;
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    if answer.is_empty() {
        bail!("{}: the run ended before it answered", socket.display());
    }
    match serde_json::from_str(&answer)? {
        Answer { error: Some(error), .. } => bail!(error),
        Answer { result, .. } => Ok(result.unwrap_or(Value::Null)),
    }
}

/// A snapshot as the machine's process finds it: a `.amber` file may be relative to this one's folder.
pub(super) fn absolute(snapshot: &str) -> String {
    let file = Path::new(snapshot);
    let archive = file.extension().is_some_and(|extension| extension == "amber");
    let absolute = std::path::absolute(file).ok().filter(|_| archive);
    absolute.and_then(|file| file.into_os_string().into_string().ok()).unwrap_or_else(|| snapshot.to_owned())
}

/// What comes and goes: `cpu add` is the method `cpu-add`.
const PARTS: [&str; 6] = ["cpu", "memory", "device", "channel", "share", "media"];

/// The method and its parameters.
fn method(args: &CtlArgs) -> (String, &[String]) {
    match args.params.split_first() {
        Some((verb, rest)) if PARTS.contains(&&*args.method) => (format!("{}-{verb}", args.method), rest),
        _ => (args.method.clone(), &args.params),
    }
}

fn params(method: &str, given: &[String]) -> Result<Value> {
    let known = PARAMETERS.iter().find(|(known, ..)| *known == method);
    let (names, least) = known.map_or((&[][..], 0), |(_, names, least)| (names, *least));
    if !(least..=names.len()).contains(&given.len()) {
        bail!("{method} takes {} parameters, {} are given", names.len(), given.len());
    }
    let mut params = Map::new();
    for ((name, kind), text) in names.iter().zip(given) {
        let value = match kind {
            Kind::Number => json!(parse(text).with_context(|| format!("{name} {text}: no number"))?),
            Kind::Signed => json!(text.parse::<i64>().with_context(|| format!("{name} {text}: no number"))?),
            Kind::Snapshot => json!(absolute(text)),
            Kind::File => json!(std::path::absolute(text)?),
            Kind::Device => json!(device(&params, text)?),
            Kind::Text => json!(text),
            Kind::Place => parse(text).map_or_else(|| json!(text), |number| json!(number)),
            Kind::Named if text.strip_prefix("--") == Some(*name) => json!(true),
            Kind::Named => bail!("{method}: {text} is not known; it takes --{name}"),
            Kind::Flag => {
                json!(text.parse::<bool>().with_context(|| format!("{name} {text}: true or false"))?)
            }
        };
        params.insert((*name).to_owned(), value);
    }
    Ok(Value::Object(params))
}

/// A device as the machine's process finds it: the file it names may be relative to this one's folder.
fn device(before: &Map<String, Value>, text: &str) -> Result<String> {
    let is_net = before.get("kind").is_some_and(|kind| kind == "net");
    let (scheme, file) = match text.strip_prefix("link:") {
        Some(socket) if is_net => ("link:", socket),
        _ if is_net => return Ok(text.to_owned()),
        _ => ("", text),
    };
    let file = std::path::absolute(file)?;
    Ok(format!("{scheme}{}", file.to_str().with_context(|| format!("{text}: no UTF-8"))?))
}

fn parse(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}
