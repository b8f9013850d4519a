//! A run in the process of another Amber: JSON lines over its standard input and output, an answer for each request.

use super::here::Run;
use super::side::{Ask, Standing};
use crate::cli::bisect_args::SideArgs;
use crate::config::Engine;
use anyhow::{Context, Result, anyhow, bail};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The answer to a request; the first line is one, too.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Answer {
    Standing(Standing),
    Error(String),
}

/// The other Amber.
pub struct Elsewhere {
    program: PathBuf,
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Elsewhere {
    /// Has `program` build the run that `recipe` means.
    ///
    /// # Errors
    /// When it cannot be started, is no Amber that knows this, or cannot build the run.
    pub fn open(
        program: &Path,
        recipe: &str,
        engine: Option<Engine>,
        store: Option<&Path>,
    ) -> Result<(Self, Standing)> {
        let mut command = Command::new(program);
        command.args(["bisect-side", recipe]);
        if let Some(engine) = engine {
            command.args(["--engine", &engine.to_string()]);
        }
        if let Some(store) = store {
            command.arg("--store").arg(store);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let cannot = || format!("--amber-b {}: cannot be started", program.display());
        let mut child = command.spawn().with_context(cannot)?;
        let (requests, answers) = child.stdin.take().zip(child.stdout.take()).context("no pipes to it")?;
        let mut other =
            Self { program: program.to_owned(), child, requests, answers: BufReader::new(answers) };
        let standing = other.answer()?;
        Ok((other, standing))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What it says is wrong, or that it does not answer.
    pub fn ask(&mut self, ask: &Ask) -> Result<Standing> {
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        // One that has gone says nothing either: the answer tells.
        let _ = self.requests.write_all(&line);
        self.answer()
    }

    fn answer(&mut self) -> Result<Standing> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(Answer::Standing(standing)) => Ok(standing),
            Ok(Answer::Error(why)) => Err(anyhow!("b: {why}")),
            Err(_) => {
                let why = self.last_words();
                bail!("--amber-b {}: {why}", self.program.display())
            }
        }
    }

    /// Why there is no answer.
    fn last_words(&mut self) -> String {
        let mut said = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            let _ = self.child.kill();
            let _ = stderr.read_to_string(&mut said);
        }
        match said.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => format!("it does not take part in a bisection: {}", line.trim()),
            None => "it does not take part in a bisection; is it an Amber, and not an older one?".to_owned(),
        }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The other end: follows a run for a bisection in another process, until that has no more requests.
///
/// # Errors
/// When nobody reads the answers.
pub fn serve(args: &SideArgs) -> Result<i32> {
    let mut out = std::io::stdout();
    let mut tell = |answer: Result<Standing>| -> Result<()> {
        let answer = answer.map_or_else(|e| Answer::Error(format!("{e:#}")), Answer::Standing);
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        out.write_all(&line)?;
        Ok(out.flush()?)
    };
    let mut run = match Run::open(&args.recipe, args.engine, args.store.as_deref()) {
        Ok(run) => run,
        Err(error) => return tell(Err(error)).map(|()| 0),
    };
    tell(Ok(run.standing()))?;
    for line in std::io::stdin().lock().lines() {
        let ask = serde_json::from_str::<Ask>(&line?).context("this is no request");
        tell(ask.and_then(|ask| run.perform(&ask)))?;
    }
    Ok(0)
}
