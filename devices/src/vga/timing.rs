//! Where the beam is: a function of virtual time and of what the CRTC is programmed for.

use super::Registers;
use crate::clock::NS_PER_SECOND;

const STATUS_DISPLAY_DISABLED: u8 = 0x01;
const STATUS_VERTICAL_RETRACE: u8 = 0x08;

/// The dot clocks misc output chooses from, Hz; the others are no VGA's and count as the second.
const DOT_HZ: [u64; 2] = [25_175_000, 28_322_000];
/// Lines of blanking a DISPI mode has, and its frames a second.
const DISPI_BLANK: u64 = 45;
const DISPI_HZ: u64 = 60;

/// Most frames a second that are any.
const FASTEST_HZ: u64 = 1000;

/// A frame: what of it is shown, in dots and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// Dots a second.
    hz: u64,
    dots: u64,
    dots_shown: u64,
    lines: u64,
    lines_shown: u64,
    retrace_start: u64,
    retrace_lines: u64,
}

impl Timing {
    /// Frames since power-up, and dots since the last began.
    fn position(&self, now: u64) -> (u64, u64) {
        let frame = u128::from(self.dots * self.lines);
        let dots = u128::from(now) * u128::from(self.hz) / u128::from(NS_PER_SECOND);
        ((dots / frame) as u64, (dots % frame) as u64)
    }

    /// Frames since power-up.
    pub fn frame(&self, now: u64) -> u64 {
        self.position(now).0
    }

    /// Virtual time at which the next vertical retrace begins, later than `now`; `None` if no line of the frame has it, or there
    /// are no frames yet.
    pub fn next_retrace(&self, now: u64) -> Option<u64> {
        // No monitor follows frames that short: the CRTC is not programmed yet.
        let too_short = self.dots * self.lines * FASTEST_HZ < self.hz;
        if self.retrace_start >= self.lines || too_short {
            return None;
        }
        let (frame, at) = self.position(now);
        let start = self.retrace_start * self.dots;
        let frame = if at < start { frame } else { frame + 1 };
        let dots = u128::from(frame) * u128::from(self.dots * self.lines) + u128::from(start);
        let time = (dots * u128::from(NS_PER_SECOND)).div_ceil(u128::from(self.hz));
        u64::try_from(time).ok()
    }

    /// Input status register 1.
    pub fn input_status_1(&self, now: u64) -> u8 {
        let (_, at) = self.position(now);
        let (line, dot) = (at / self.dots, at % self.dots);
        let mut status = 0;
        if line >= self.lines_shown || dot >= self.dots_shown {
            status |= STATUS_DISPLAY_DISABLED;
        }
        if (self.retrace_start..self.retrace_start + self.retrace_lines).contains(&line) {
            status |= STATUS_VERTICAL_RETRACE;
        }
        status
    }
}

impl Registers {
    /// The frame as it is programmed now.
    pub fn timing(&self) -> Timing {
        match self.dispi.mode() {
            Some(mode) => {
                let (dots_shown, lines_shown) = (u64::from(mode.width), u64::from(mode.height));
                let (dots, lines) = (dots_shown * 5 / 4, lines_shown + DISPI_BLANK);
                let hz = DISPI_HZ * dots * lines;
                let (retrace_start, retrace_lines) = (lines_shown + 10, 2);
                Timing { hz, dots, dots_shown, lines, lines_shown, retrace_start, retrace_lines }
            }
            None => self.vga_timing(),
        }
    }

    /// Dots of a character clock: 8 or 9.
    pub fn character_width(&self) -> u64 {
        if self.sequencer[1] & 1 != 0 { 8 } else { 9 }
    }

    /// Lines shown: CR12 with bits 8 and 9 in CR7.
    pub fn lines_shown(&self) -> u64 {
        self.vertical(0x12, 0x02, 0x40) + 1
    }

    /// A vertical count: its low bits, and bits 8 and 9 where CR7 has these.
    fn vertical(&self, register: usize, bit_8: u8, bit_9: u8) -> u64 {
        let bit = |mask: u8, value: u64| if self.crtc[7] & mask != 0 { value } else { 0 };
        u64::from(self.crtc[register]) | bit(bit_8, 0x100) | bit(bit_9, 0x200)
    }

    /// Line after which the screen starts again at address 0: CR18 with bit 8 in CR7 and bit 9 in CR9.
    pub fn line_compare(&self) -> u64 {
        let bit_9 = if self.crtc[9] & 0x40 != 0 { 0x200 } else { 0 };
        self.vertical(0x18, 0x10, 0) | bit_9
    }

    fn vga_timing(&self) -> Timing {
        let width = self.character_width();
        let halved = u64::from(self.sequencer[1] >> 3 & 1);
        let hz = DOT_HZ[usize::from(self.misc_output >> 2 & 3 != 0)] >> halved;
        let lines = self.vertical(6, 0x01, 0x20) + 2;
        let retrace_start = self.vertical(0x10, 0x04, 0x80);
        let retrace_end = u64::from(self.crtc[0x11] & 0x0f);
        Timing {
            hz,
            dots: (u64::from(self.crtc[0]) + 5) * width,
            dots_shown: (u64::from(self.crtc[1]) + 1) * width,
            lines,
            lines_shown: self.lines_shown(),
            retrace_start,
            retrace_lines: match retrace_end.wrapping_sub(retrace_start) & 0x0f {
                0 => 16,
                lines => lines,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retrace_begins_where_the_status_says_so() {
        let text = Timing {
            hz: DOT_HZ[1],
            dots: 900,
            dots_shown: 720,
            lines: 449,
            lines_shown: 400,
            retrace_start: 412,
            retrace_lines: 2,
        };
        let mut now = 0;
        for _ in 0..5 {
            let next = text.next_retrace(now).expect("a line has it");
            assert!(next > now && next - now <= 14_300_000, "{now} {next}");
            let retraces = |at| text.input_status_1(at) & STATUS_VERTICAL_RETRACE != 0;
            assert_eq!((retraces(next - 1), retraces(next)), (false, true));
            now = next;
        }
        assert_eq!(Timing { retrace_start: 449, ..text }.next_retrace(0), None);
    }
}
