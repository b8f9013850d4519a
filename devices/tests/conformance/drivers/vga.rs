//! The display adapter.

use super::*;

/// BAR 2 of the display.
pub const VGA: u64 = 0xfebf_0000;

pub const TARGETS: [Target; 3] = [
    Target {
        name: "vga ports",
        ports: &[(0x3b4, 8), (0x3c0, 16), (0x3d4, 8)],
        windows: &[(0xb_8000, 0x100)],
        prelude: none,
    },
    Target {
        name: "vga planes",
        ports: &[(0x3c4, 2), (0x3ce, 2)],
        windows: &[(0xa_0000, 0x1000), (0xb_8000, 0x1000), (0xb_fff8, 0x10)],
        prelude: planes_are_open,
    },
    Target {
        name: "vga function",
        ports: &[(0x1ce, 3), (0xcf8, 8)],
        windows: &[
            (ECAM + 0x8000, 0x100),
            (VGA, 0x100),
            (VGA + 0x400, 0x20),
            (VGA + 0x500, 0x18),
            (VGA + 0x600, 8),
        ],
        prelude: none,
    },
];

/// Planar graphics, with the window from A0000h to BFFFFh.
fn planes_are_open() -> Vec<Op> {
    [(0x3ce, 0x0106u32), (0x3c4, 0x0604), (0x3c4, 0x0f02)]
        .map(|(port, value)| Op::Out { port, size: 2, value })
        .into()
}
