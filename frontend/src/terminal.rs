//! Serial port 0 as a terminal: what the guest sends as lines of characters, and keys as what it is sent. The control
//! functions are those of ECMA-48 that consoles and shells use; colours are not shown.

use std::collections::VecDeque;
use winit::event::KeyEvent;
use winit::keyboard::{Key, NamedKey};

/// Columns and lines of the screen.
const COLUMNS: usize = 80;
const ROWS: usize = 25;
/// Most lines that are kept.
const LINES_MAX: usize = 2000;
/// Most parameters of a control sequence, and the largest value of one.
const PARAMETERS_MAX: usize = 8;
const PARAMETER_MAX: usize = 9999;

/// What the last bytes began.
#[derive(Default)]
enum Sequence {
    #[default]
    None,
    Escape,
    /// A control sequence with its parameters so far.
    Control(Vec<usize>),
    /// A string, such as a title, until its end.
    Text,
}

/// See the module.
pub struct Terminal {
    /// The last [`ROWS`] of them are the screen.
    lines: VecDeque<Vec<char>>,
    /// From the first line that is kept.
    row: usize,
    column: usize,
    sequence: Sequence,
    /// Bytes of a character that is not whole yet.
    partial: Vec<u8>,
}

impl Default for Terminal {
    fn default() -> Self {
        let lines = VecDeque::from(vec![Vec::new()]);
        Self { lines, row: 0, column: 0, sequence: Sequence::None, partial: Vec::new() }
    }
}

impl Terminal {
    /// The guest sent bytes.
    pub fn hear(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.partial.push(*byte);
            match std::str::from_utf8(&self.partial) {
                Ok(text) => {
                    let character = text.chars().next();
                    self.partial.clear();
                    character.into_iter().for_each(|character| self.take(character));
                }
                Err(error) if error.error_len().is_some() => {
                    self.partial.clear();
                    self.take(char::REPLACEMENT_CHARACTER);
                }
                Err(_) => {}
            }
        }
    }

    /// All lines that are kept.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(|line| line.iter().collect()).collect();
        lines.join("\n")
    }

    /// The same with the cursor's character in it, if there is none a blank, and the byte where that is.
    pub fn text_with_cursor(&self) -> (String, usize) {
        let (mut text, mut cursor) = (String::new(), 0);
        for (row, line) in self.lines.iter().enumerate() {
            if row != 0 {
                text.push('\n');
            }
            if row == self.row {
                let before: String = line.iter().take(self.column).collect();
                cursor = text.len() + before.len() + self.column.saturating_sub(line.len());
            }
            text.extend(line);
            if row == self.row {
                text.extend(std::iter::repeat_n(' ', (self.column + 1).saturating_sub(line.len())));
            }
        }
        (text, cursor)
    }

    fn take(&mut self, character: char) {
        match (std::mem::take(&mut self.sequence), character) {
            (Sequence::None, '\u{1b}') => self.sequence = Sequence::Escape,
            (Sequence::None, character) if character.is_control() => self.control(character),
            (Sequence::None, character) => self.put(character),
            (Sequence::Escape, '[') => self.sequence = Sequence::Control(vec![0]),
            (Sequence::Escape, ']' | 'P' | '_' | '^') => self.sequence = Sequence::Text,
            // Sets of characters have their name behind them.
            (Sequence::Escape, '(' | ')' | '#') => self.sequence = Sequence::Escape,
            (Sequence::Escape, 'M') => self.row = self.row.saturating_sub(1).max(self.top()),
            (Sequence::Escape, 'c') => *self = Self::default(),
            (Sequence::Escape, _) => {}
            (Sequence::Text, '\u{7}') => {}
            (Sequence::Text, '\u{1b}') => self.sequence = Sequence::Escape,
            (Sequence::Text, _) => self.sequence = Sequence::Text,
            (Sequence::Control(parameters), character) => self.parameter(parameters, character),
        }
    }

    fn parameter(&mut self, mut parameters: Vec<usize>, character: char) {
        match character {
            ';' if parameters.len() < PARAMETERS_MAX => parameters.push(0),
            '0'..='9' => {
                if let (Some(last), Some(digit)) = (parameters.last_mut(), character.to_digit(10)) {
                    *last = (*last * 10 + digit as usize).min(PARAMETER_MAX);
                }
            }
            '@'..='~' => return self.execute(&parameters, character),
            _ => {}
        }
        self.sequence = Sequence::Control(parameters);
    }

    /// The first line of the screen.
    fn top(&self) -> usize {
        self.lines.len().saturating_sub(ROWS)
    }

    /// A control sequence (ECMA-48, 8.3: CUU, CUD, CUF, CUB, CHA, CUP, ED, EL).
    fn execute(&mut self, parameters: &[usize], last: char) {
        let first = parameters[0];
        let count = first.max(1);
        match last {
            'A' => self.row = self.row.saturating_sub(count).max(self.top()),
            'B' => self.go_to(self.row - self.top() + count, self.column),
            'C' => self.column = (self.column + count).min(COLUMNS - 1),
            'D' => self.column = self.column.saturating_sub(count),
            'G' => self.column = (count - 1).min(COLUMNS - 1),
            'H' | 'f' => {
                let column = parameters.get(1).copied().unwrap_or(1).max(1);
                self.go_to(count - 1, column - 1);
            }
            'J' => self.erase_screen(first),
            'K' => self.erase_line(first),
            _ => {}
        }
    }

    /// To a line and column of the screen.
    fn go_to(&mut self, row: usize, column: usize) {
        self.row = self.top() + row.min(ROWS - 1);
        self.column = column.min(COLUMNS - 1);
        while self.lines.len() <= self.row {
            self.lines.push_back(Vec::new());
        }
    }

    fn erase_line(&mut self, which: usize) {
        let (row, column) = (self.row, self.column);
        let line = &mut self.lines[row];
        match which {
            0 => line.truncate(column),
            1 => line.iter_mut().take(column + 1).for_each(|character| *character = ' '),
            _ => line.clear(),
        }
    }

    fn erase_screen(&mut self, which: usize) {
        let (top, row) = (self.top(), self.row);
        let rows = match which {
            0 => row + 1..self.lines.len(),
            1 => top..row,
            _ => top..self.lines.len(),
        };
        self.lines.range_mut(rows).for_each(Vec::clear);
        self.erase_line(which);
    }

    fn control(&mut self, character: char) {
        match character {
            '\r' => self.column = 0,
            '\n' => self.line_feed(),
            '\u{8}' => self.column = self.column.saturating_sub(1),
            '\t' => self.column = ((self.column / 8 + 1) * 8).min(COLUMNS - 1),
            _ => {}
        }
    }

    fn line_feed(&mut self) {
        self.row += 1;
        if self.row == self.lines.len() {
            self.lines.push_back(Vec::new());
        }
        if self.lines.len() > LINES_MAX {
            self.lines.pop_front();
            self.row -= 1;
        }
    }

    fn put(&mut self, character: char) {
        if self.column == COLUMNS {
            self.column = 0;
            self.line_feed();
        }
        let line = &mut self.lines[self.row];
        while line.len() <= self.column {
            line.push(' ');
        }
        line[self.column] = character;
        self.column += 1;
    }
}

/// What a key sends; `text` is what it types.
pub fn sent(event: &KeyEvent, text: Option<&str>) -> Option<String> {
    let Key::Named(named) = &event.logical_key else { return text.map(str::to_owned) };
    named_key(*named).map(str::to_owned).or_else(|| text.map(str::to_owned))
}

/// What the keys send that type nothing, or something else than terminals do.
fn named_key(key: NamedKey) -> Option<&'static str> {
    Some(match key {
        NamedKey::Enter => "\r",
        NamedKey::Backspace => "\u{7f}",
        NamedKey::ArrowUp => "\u{1b}[A",
        NamedKey::ArrowDown => "\u{1b}[B",
        NamedKey::ArrowRight => "\u{1b}[C",
        NamedKey::ArrowLeft => "\u{1b}[D",
        NamedKey::Home => "\u{1b}[H",
        NamedKey::End => "\u{1b}[F",
        NamedKey::Insert => "\u{1b}[2~",
        NamedKey::Delete => "\u{1b}[3~",
        NamedKey::PageUp => "\u{1b}[5~",
        NamedKey::PageDown => "\u{1b}[6~",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(bytes: &str) -> String {
        let mut terminal = Terminal::default();
        terminal.hear(bytes.as_bytes());
        terminal.text()
    }

    #[test]
    fn lines_are_written_and_corrected() {
        assert_eq!(shown("one\r\ntwo"), "one\ntwo");
        assert_eq!(shown("help\u{8} \u{8}x"), "helx");
        assert_eq!(shown("abc\rx"), "xbc");
        assert_eq!(shown("a\tb"), "a       b");
        assert_eq!(shown("é\u{1b}[1;31mred\u{1b}[0m"), "éred");
        assert_eq!(shown("\u{1b}]0;title\u{7}shell"), "shell");
        assert_eq!(shown("\u{1b}(Btext"), "text");
    }

    #[test]
    fn the_cursor_goes_where_it_is_told() {
        assert_eq!(shown("one\r\ntwo\u{1b}[A\rO"), "One\ntwo");
        assert_eq!(shown("abcdef\u{1b}[3D\u{1b}[K"), "abc");
        assert_eq!(shown("one\r\ntwo\u{1b}[2J\u{1b}[Hx"), "x\n");
        assert_eq!(shown("\u{1b}[2;3Hx\u{1b}[Gy"), "\ny x");
        assert_eq!(shown("a\u{1b}[99999999999999999999;5Bz"), format!("a{}\n z", "\n".repeat(23)));
    }

    #[test]
    fn a_long_line_goes_on_in_the_next_and_old_lines_are_forgotten() {
        assert_eq!(shown(&"x".repeat(COLUMNS + 2)), format!("{}\nxx", "x".repeat(COLUMNS)));
        let all: String = (0..LINES_MAX + 10).map(|n| format!("{n}\r\n")).collect();
        let text = shown(&all);
        assert_eq!(text.lines().next(), Some("11"));
        assert_eq!(text.lines().count(), LINES_MAX - 1);
    }

    #[test]
    fn the_cursor_is_on_a_character() {
        let at = |bytes: &str| {
            let mut terminal = Terminal::default();
            terminal.hear(bytes.as_bytes());
            terminal.text_with_cursor()
        };
        assert_eq!(at("one\r\ntwo"), ("one\ntwo ".to_owned(), 7));
        assert_eq!(at("é\u{1b}[3C\r\nx\u{1b}[A"), ("é \nx".to_owned(), 2));
        assert_eq!(at("abc\r"), ("abc".to_owned(), 0));
        assert_eq!(at("\u{1b}[3C"), ("    ".to_owned(), 3));
    }

    #[test]
    fn any_bytes_are_taken() {
        let mut terminal = Terminal::default();
        let mut seed = 1u32;
        for _ in 0..200_000 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let byte = (seed >> 24) as u8;
            let bytes =
                if byte < 40 { vec![0x1b, b'[', (seed >> 8) as u8, b'0' + byte % 10] } else { vec![byte] };
            terminal.hear(&bytes);
            assert!(terminal.row < terminal.lines.len() && terminal.column <= COLUMNS);
            assert!(terminal.lines.len() <= LINES_MAX + ROWS);
        }
    }
}
