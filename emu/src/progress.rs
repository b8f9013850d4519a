//! Bars for long work, drawn only where standard error is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::Duration;

/// A bar for work of known length.
pub fn bar(what: &str) -> ProgressBar {
    styled(what, "{msg} {wide_bar} {pos}/{len} {eta}")
}

/// A bar for bytes.
pub fn bytes(what: &str, len: u64) -> ProgressBar {
    let bar = styled(what, "{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
    bar.set_length(len);
    bar
}

/// A sign of life while something of unknown length is waited for.
pub fn waiting(what: &str) -> ProgressBar {
    let bar = styled(what, "{msg} {spinner} {elapsed}");
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// What moves a bar: done, of.
pub fn moving(bar: &ProgressBar) -> impl FnMut(u64, u64) + '_ {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}

fn styled(what: &str, template: &str) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(None, target).with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
