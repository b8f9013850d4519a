//! What a person can have done by the menu, and by chords with the host key.

use super::geometry::Scaling;
use super::panes::Pane;
use super::settings::Theme;
use winit::keyboard::KeyCode;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Pause, or resume.
    Pause,
    /// One instruction of a paused machine.
    Step,
    /// To the next frame of its screen.
    Frame,
    /// One step back in time.
    StepBack,
    /// The same of the processor that is shown; what returned there is one step.
    StepOverBack,
    /// Back to where a breakpoint or watchpoint stopped it, or would have.
    StopBack,
    /// On along what is ahead, as it was.
    Play,
    /// A second back.
    SecondBack,
    /// As far as it was.
    ToEnd,
    /// The end of a way that was left.
    Return(u64),
    /// Virtual time by the wall clock's, percent.
    Speed(Option<u32>),
    /// Slow, and back.
    Slow,
    /// As fast as it goes, and back.
    Fast,
    /// As fast as it goes while a key is down.
    FastWhileHeld(bool),
    /// Show the timeline, or no longer.
    Timeline,
    /// The same, but a call is one.
    StepOver,
    /// To where the function returns to.
    StepOut,
    Reset,
    Power,
    /// The machine that ended, from its start.
    StartAgain,
    /// Back to the start screen; asks first when a machine runs.
    Close,
    /// The same, when the person was asked.
    CloseNow,
    /// The dialog of the drives' media.
    Media,
    /// The dialog of the settings.
    Settings,
    /// Size of all that is not the guest's, in percent.
    Zoom(u32),
    Theme(Theme),
    /// The menu bar by keyboard.
    MenuBar,
    /// The keyboard to what is beside the screen.
    Focus,
    Screenshot,
    /// A snapshot, under a name that says where.
    Save,
    Paste,
    CopyText,
    FullScreen,
    Scale(Scaling),
    /// The other of screen and serial port.
    OtherView,
    /// Show that pane, or no longer.
    Pane(Pane),
    ReleaseMouse,
    /// Sound is heard, or no longer.
    Mute,
    /// Keys the window system or the host key keep from the guest.
    Keys(&'static str),
    /// The sentence was read.
    Dismiss,
    Quit,
}

/// The chords: the key beside the host key, its name, and what it does.
const CHORDS: &[(KeyCode, &str, Action)] = &[
    (KeyCode::KeyP, "P", Action::Pause),
    (KeyCode::KeyN, "N", Action::Step),
    (KeyCode::KeyE, "E", Action::Frame),
    (KeyCode::ArrowLeft, "Left", Action::StepBack),
    (KeyCode::PageUp, "PageUp", Action::SecondBack),
    (KeyCode::End, "End", Action::ToEnd),
    (KeyCode::KeyB, "B", Action::Timeline),
    (KeyCode::KeyL, "L", Action::Slow),
    (KeyCode::Space, "Space", Action::Fast),
    (KeyCode::Tab, "Tab", Action::FastWhileHeld(true)),
    (KeyCode::KeyM, "M", Action::StepOver),
    (KeyCode::KeyU, "U", Action::StepOut),
    (KeyCode::KeyH, "H", Action::StepOverBack),
    (KeyCode::KeyJ, "J", Action::StopBack),
    (KeyCode::KeyY, "Y", Action::Play),
    (KeyCode::KeyD, "D", Action::Pane(Pane::Debugger)),
    (KeyCode::KeyR, "R", Action::Reset),
    (KeyCode::KeyO, "O", Action::Power),
    (KeyCode::KeyA, "A", Action::StartAgain),
    (KeyCode::KeyS, "S", Action::Screenshot),
    (KeyCode::KeyV, "V", Action::Paste),
    (KeyCode::KeyC, "C", Action::CopyText),
    (KeyCode::KeyF, "F", Action::FullScreen),
    (KeyCode::Digit1, "1", Action::Scale(Scaling::Integer)),
    (KeyCode::Digit2, "2", Action::Scale(Scaling::Aspect)),
    (KeyCode::Digit3, "3", Action::Scale(Scaling::Stretch)),
    (KeyCode::KeyZ, "Z", Action::Mute),
    (KeyCode::KeyT, "T", Action::OtherView),
    (KeyCode::KeyW, "W", Action::Pane(Pane::Snapshots)),
    (KeyCode::KeyG, "G", Action::Save),
    (KeyCode::KeyI, "I", Action::Pane(Pane::Statistics)),
    (KeyCode::KeyX, "X", Action::Close),
    (KeyCode::Insert, "Ins", Action::Media),
    (KeyCode::Comma, ",", Action::Settings),
    (KeyCode::F10, "F10", Action::MenuBar),
    (KeyCode::KeyK, "K", Action::Focus),
    (KeyCode::Escape, "Esc", Action::Dismiss),
    (KeyCode::ArrowRight, "Right", Action::Step),
    (KeyCode::KeyQ, "Q", Action::Quit),
];

/// What a chord does.
pub fn chord(code: KeyCode) -> Option<Action> {
    CHORDS.iter().find(|(known, ..)| *known == code).map(|(.., action)| *action)
}

/// The key of an action's chord, as menus show it.
pub fn chord_name(action: Action) -> Option<&'static str> {
    CHORDS.iter().find(|(.., known)| *known == action).map(|(_, name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_chords_are_one() {
        for (n, (code, name, action)) in CHORDS.iter().enumerate() {
            assert_eq!(chord(*code), Some(*action));
            let first = CHORDS.iter().position(|(.., other)| other == action);
            assert_eq!(chord_name(*action) == Some(*name), first == Some(n));
            assert!(CHORDS[..n].iter().all(|(other, ..)| other != code), "{name}");
        }
    }
}
