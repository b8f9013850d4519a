//! `--log`: which events are written to standard error.

use crate::config::LogCategory;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Installs the log for the categories asked for; warnings of every part of the machine are always shown.
pub fn install(categories: &[LogCategory]) {
    let mut targets = Targets::new().with_default(LevelFilter::WARN);
    for category in categories {
        let names: &[&str] = match category {
            LogCategory::Int => &["int"],
            LogCategory::Exc => &["exc"],
            LogCategory::Reset => &["reset"],
            LogCategory::Sound => &["sound"],
            LogCategory::Io => &["io", "mmio", "msr"],
        };
        for name in names {
            targets = targets.with_target(*name, LevelFilter::TRACE);
        }
    }
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time().with_level(false);
    // A second installation (tests) keeps the first.
    let _ = tracing_subscriber::registry().with(layer).with(targets).try_init();
}
