//! The chipset, of which every PC has one.

use super::*;

pub const TARGETS: [Target; 13] = [
    Target { name: "pic", ports: &[(0x20, 2), (0xa0, 2), (0x4d0, 2)], windows: &[], prelude: none },
    Target { name: "pit", ports: &[(0x40, 4), (0x61, 1)], windows: &[], prelude: none },
    Target { name: "rtc", ports: &[(0x70, 4)], windows: &[], prelude: none },
    Target { name: "ioapic", ports: &[], windows: &[(0xfec0_0000, 0x60)], prelude: none },
    Target { name: "hpet", ports: &[], windows: &[(0xfed0_0000, 0x180)], prelude: none },
    Target { name: "pm", ports: &[(0x600, 0x80), (0xb2, 2)], windows: &[], prelude: none },
    Target { name: "uart0", ports: &[(0x3f8, 8)], windows: &[], prelude: none },
    Target { name: "uart1", ports: &[(0x2f8, 8)], windows: &[], prelude: none },
    Target { name: "i8042", ports: &[(0x60, 1), (0x64, 1)], windows: &[], prelude: none },
    Target {
        name: "single ports",
        ports: &[(0x80, 1), (0x92, 1), (0xe9, 1), (0xf4, 4), (0xcf9, 1)],
        windows: &[],
        prelude: none,
    },
    Target {
        name: "pci",
        ports: &[(0xcf8, 8)],
        windows: &[(ECAM, 0x1000), (ECAM + 0xf_8000, 0x1000), (ECAM + 0xf_b000, 0x1000)],
        prelude: none,
    },
    Target { name: "fw_cfg", ports: &[(0x510, 12)], windows: &[], prelude: none },
    Target { name: "coprocessor", ports: &[(0xf0, 1)], windows: &[], prelude: none },
];
