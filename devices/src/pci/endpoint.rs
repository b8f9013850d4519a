//! What a function in a slot of bus 0 has in common with all others: BARs, capabilities, INTx and MSI-X (PCI 3.0,
//! chapter 6).

use super::config::{
    BAR0, CAPABILITIES, COMMAND, COMMAND_INTX_OFF, COMMAND_IO, COMMAND_MASTER, COMMAND_MEMORY, ConfigSpace,
    INTERRUPT_LINE, Identity, STATUS, STATUS_CAPABILITIES, STATUS_INTERRUPT,
};
use super::msix::{CONTROL_ENABLE, CONTROL_MASK, MSIX_LEN, Msix, PBA};
use crate::device::DeviceCtx;
use crate::effects::Effects;
use crate::irq::{IrqSource, Line};
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

/// Bytes of configuration space that are the header's; capabilities come behind.
const HEADER: u16 = 0x40;
const CAPABILITY_MSIX: u8 = 0x11;
/// First address no memory BAR reaches: processors here have 52 bits of physical address at most.
const MEMORY_END: u64 = 1 << 52;
const BAR_IO: u32 = 1;
const BAR_64: u32 = 1 << 2;
const BAR_PREFETCHABLE: u32 = 1 << 3;

/// What a base address register maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BarKind {
    Io,
    Memory32 {
        prefetchable: bool,
    },
    /// Takes the next register, too.
    Memory64 {
        prefetchable: bool,
    },
}

/// A base address register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bar {
    /// 0 to 5.
    pub index: u8,
    pub kind: BarKind,
    /// Bytes, a power of 2: at least 4 KiB of memory, 4 to 256 of I/O ports.
    pub len: u64,
}

impl Bar {
    fn register(&self) -> u16 {
        BAR0 + u16::from(self.index) * 4
    }

    /// Low bits, which say what it is.
    fn kind_bits(&self) -> u32 {
        match self.kind {
            BarKind::Io => BAR_IO,
            BarKind::Memory32 { prefetchable: false } => 0,
            BarKind::Memory32 { prefetchable: true } => BAR_PREFETCHABLE,
            BarKind::Memory64 { prefetchable: false } => BAR_64,
            BarKind::Memory64 { prefetchable: true } => BAR_64 | BAR_PREFETCHABLE,
        }
    }

    fn is_wide(&self) -> bool {
        matches!(self.kind, BarKind::Memory64 { .. })
    }

    /// Writable bits of the configuration byte at `offset`, 0 where it is not the register's.
    fn writable(&self, offset: u16) -> u8 {
        let bytes = if self.is_wide() { 8 } else { 4 };
        match offset.checked_sub(self.register()) {
            Some(at) if at < bytes => (!(self.len - 1) >> (at * 8)) as u8,
            _ => 0,
        }
    }
}

/// Where a BAR is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Index of the BAR.
    pub bar: u8,
    pub io: bool,
    pub base: u64,
    pub len: u64,
}

impl Window {
    /// Offset of an address in it.
    pub fn offset(&self, address: u64) -> Option<u64> {
        address.checked_sub(self.base).filter(|offset| *offset < self.len)
    }
}

/// What a kind of function is made of.
pub(crate) struct Layout {
    pub identity: Identity,
    pub bars: &'static [Bar],
    /// Which BAR shows the MSI-X table.
    pub msix_bar: u8,
    /// Messages; without any the function has no MSI-X.
    pub vectors: u16,
}

/// Configuration space and interrupts of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(crate) struct Endpoint {
    config: ConfigSpace,
    /// Where the MSI-X capability is.
    msix_at: u16,
    msix: Msix,
    /// The device asserts INTA#, if the command register lets it.
    asserted: bool,
}

impl Endpoint {
    /// The function out of reset. `capabilities` are the vendor's, without their first two bytes' chain: id and then what
    /// follows the pointer to the next one.
    pub fn new(layout: &Layout, capabilities: &[(u8, Vec<u8>)]) -> Self {
        let mut config = ConfigSpace::new(&layout.identity);
        for bar in layout.bars {
            config.set_u32(bar.register(), bar.kind_bits());
        }
        let msix = msix_capability(layout);
        let capabilities: Vec<_> = msix.iter().chain(capabilities).collect();
        if !capabilities.is_empty() {
            config.set_u16(STATUS, STATUS_CAPABILITIES);
        }
        let (mut link, mut at) = (CAPABILITIES, HEADER);
        for (id, body) in capabilities {
            config.set_u8(link, at as u8);
            config.set_u8(at, *id);
            (at + 2..).zip(body).for_each(|(at, byte)| config.set_u8(at, *byte));
            link = at + 1;
            at = (at + 2 + body.len() as u16).next_multiple_of(4);
        }
        Self { config, msix_at: HEADER, msix: Msix::new(usize::from(layout.vectors)), asserted: false }
    }

    pub fn config(&self) -> &ConfigSpace {
        &self.config
    }

    pub fn config_mut(&mut self) -> &mut ConfigSpace {
        &mut self.config
    }

    fn command(&self) -> u16 {
        self.config.u16(COMMAND)
    }

    /// Whether the function may read and write memory, and send messages.
    pub fn is_master(&self) -> bool {
        self.command() & COMMAND_MASTER != 0
    }

    fn control(&self) -> u16 {
        if self.msix.vectors() == 0 { 0 } else { self.config.u16(self.msix_at + 2) }
    }

    /// MSI-X is in use, and so INTA# is not.
    pub fn has_msix(&self) -> bool {
        self.control() & CONTROL_ENABLE != 0
    }

    /// Messages can go out now.
    fn open(&self) -> bool {
        self.control() & (CONTROL_ENABLE | CONTROL_MASK) == CONTROL_ENABLE && self.is_master()
    }

    /// A byte of configuration space.
    pub fn read(&self, offset: u16) -> u8 {
        let pin = if self.asserted && !self.has_msix() { STATUS_INTERRUPT as u8 } else { 0 };
        self.config.u8(offset) | if offset == STATUS { pin } else { 0 }
    }

    /// `size` bytes of configuration space, little-endian; there is nothing beyond its 256.
    pub fn read_bytes(&self, offset: u16, size: u8) -> u64 {
        (0..u16::from(size)).fold(0, |value, index| {
            let at = offset.wrapping_add(index);
            let byte = if at <= 0xff { self.read(at) } else { 0xff };
            value | u64::from(byte) << (index * 8)
        })
    }

    fn writable(&self, layout: &Layout, offset: u16) -> u8 {
        let bars = layout.bars.iter().fold(0, |bits, bar| bits | bar.writable(offset));
        if layout.vectors != 0 && offset == self.msix_at + 3 {
            return ((CONTROL_ENABLE | CONTROL_MASK) >> 8) as u8;
        }
        bars | ConfigSpace::header_writable(offset)
    }

    /// Writes a byte of the header or of the MSI-X capability.
    pub fn write(&mut self, layout: &Layout, offset: u16, value: u8) {
        let writable = self.writable(layout, offset);
        self.config.write(offset, value, writable);
    }

    /// Writes `size` bytes of the header or of the MSI-X capability, and has interrupts go where they belong then.
    pub fn write_bytes(
        &mut self,
        cx: &mut DeviceCtx,
        layout: &Layout,
        slot: u8,
        offset: u16,
        size: u8,
        value: u64,
    ) {
        for (index, byte) in (0..u16::from(size)).zip(value.to_le_bytes()) {
            self.write(layout, offset.wrapping_add(index), byte);
        }
        self.changed(cx, slot);
    }

    /// After a write of configuration space: interrupts go where they belong now.
    pub fn changed(&mut self, cx: &mut DeviceCtx, slot: u8) {
        let open = self.open();
        self.msix.flush(cx.effects, open);
        self.drive(cx, slot);
    }

    fn drive(&self, cx: &mut DeviceCtx, slot: u8) {
        cx.irqs.set(Line::Pirq(pirq_of(slot, 1)), IrqSource::Slot(slot), self.pin());
    }

    /// Level of INTA#.
    fn pin(&self) -> bool {
        self.asserted && !self.has_msix() && self.command() & COMMAND_INTX_OFF == 0
    }

    /// Asserts or releases INTA# of a function that is wired otherwise than those in slots; its level.
    pub fn assert(&mut self, asserted: bool) -> bool {
        self.asserted = asserted;
        self.pin()
    }

    /// Asserts or releases INTA#.
    pub fn set_interrupt(&mut self, cx: &mut DeviceCtx, slot: u8, asserted: bool) {
        self.asserted = asserted;
        self.drive(cx, slot);
    }

    /// Sends the message of a vector.
    pub fn send(&mut self, effects: &mut Effects, vector: u16) {
        if self.has_msix() {
            let open = self.open();
            self.msix.send(effects, open, vector);
        }
    }

    /// How many messages there are.
    pub fn vectors(&self) -> u16 {
        self.msix.vectors() as u16
    }

    pub fn msix_read(&self, offset: u64, size: u8) -> u64 {
        self.msix.read(offset, size)
    }

    pub fn msix_write(&mut self, effects: &mut Effects, offset: u64, size: u8, value: u64) {
        let open = self.open();
        self.msix.write(effects, open, offset, size, value);
    }

    fn base(&self, bar: &Bar) -> u64 {
        let high = if bar.is_wide() { self.config.u32(bar.register() + 4) } else { 0 };
        (u64::from(high) << 32 | u64::from(self.config.u32(bar.register()))) & !(bar.len - 1)
    }

    /// Where the BARs are now: nowhere while their space is off in the command register, at address 0, or while software
    /// asks for their size.
    pub fn windows(&self, layout: &'static Layout) -> impl Iterator<Item = Window> + '_ {
        layout.bars.iter().filter_map(|bar| {
            let io = bar.kind == BarKind::Io;
            let (enable, end) = match bar.kind {
                BarKind::Io => (COMMAND_IO, 0x1_0000),
                BarKind::Memory32 { .. } => (COMMAND_MEMORY, 0xffff_ffff),
                BarKind::Memory64 { .. } => (COMMAND_MEMORY, MEMORY_END),
            };
            let base = self.base(bar);
            let there = self.command() & enable != 0 && base != 0 && base < end && bar.len <= end - base;
            there.then_some(Window { bar: bar.index, io, base, len: bar.len })
        })
    }

    /// Assigns memory BARs from `next` on and I/O BARs from `port` on, and switches the function on, as firmware does.
    pub fn set_up_as_firmware(&mut self, layout: &Layout, slot: u8, next: &mut u64, port: &mut u64) {
        for bar in layout.bars {
            let place = if bar.kind == BarKind::Io { &mut *port } else { &mut *next };
            let base = place.next_multiple_of(bar.len);
            *place = base + bar.len;
            self.config.set_u32(bar.register(), base as u32 | bar.kind_bits());
        }
        let spaces = layout.bars.iter().fold(0, |spaces, bar| match bar.kind {
            BarKind::Io => spaces | COMMAND_IO,
            _ => spaces | COMMAND_MEMORY,
        });
        self.config.set_u16(COMMAND, spaces);
        self.config.set_u8(INTERRUPT_LINE, if pirq_of(slot, 1) & 2 == 0 { 10 } else { 11 });
    }

    /// Assigns a memory BAR.
    pub fn set_bar(&mut self, bar: &Bar, base: u32) {
        self.config.set_u32(bar.register(), base | bar.kind_bits());
    }

    /// Whether it could be a state of the function `new` is one of: as large, and equal in all that software cannot write,
    /// but for the bytes `own` that the device itself keeps.
    pub fn is_like(&self, new: &Self, layout: &Layout, own: std::ops::Range<u16>) -> bool {
        let fixed = |offset: &u16| !own.contains(offset);
        self.config.is_consistent()
            && self.msix_at == new.msix_at
            && self.msix.is_consistent(new.msix.vectors())
            && (0..0x100).filter(fixed).all(|offset| {
                let differing = self.config.u8(offset) ^ new.config.u8(offset);
                differing & !new.writable(layout, offset) == 0
            })
    }
}

/// The MSI-X capability, of a function with messages.
fn msix_capability(layout: &Layout) -> Option<(u8, Vec<u8>)> {
    let last = layout.vectors.checked_sub(1)?;
    let table = u32::from(layout.msix_bar);
    let mut body = last.to_le_bytes().to_vec();
    body.extend(table.to_le_bytes());
    body.extend((table | PBA as u32).to_le_bytes());
    Some((CAPABILITY_MSIX, body))
}

/// The PIRQ (0-7) that pin `pin` (1-4) of a slot below 25 is wired to: they rotate over PIRQ E-H.
pub(crate) fn pirq_of(slot: u8, pin: u8) -> u8 {
    (slot.wrapping_add(pin.wrapping_sub(1)) & 3) + 4
}

const _: () = assert!(MSIX_LEN.is_power_of_two() && PBA < MSIX_LEN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    static LAYOUT: Layout = Layout {
        identity: Identity {
            vendor_device: 0x1234_1af4,
            class_revision: 0xff00_0001,
            multifunction: false,
            interrupt_pin: 1,
        },
        bars: &[
            Bar { index: 0, kind: BarKind::Io, len: 0x40 },
            Bar { index: 1, kind: BarKind::Memory32 { prefetchable: false }, len: 0x1000 },
            Bar { index: 4, kind: BarKind::Memory64 { prefetchable: true }, len: 0x4000 },
        ],
        msix_bar: 1,
        vectors: 2,
    };

    fn write(endpoint: &mut Endpoint, offset: u16, value: u32) {
        for (at, byte) in (offset..).zip(value.to_le_bytes()) {
            endpoint.write(&LAYOUT, at, byte);
        }
    }

    #[test]
    fn bars_tell_their_sizes_and_kinds() {
        let mut endpoint = Endpoint::new(&LAYOUT, &[]);
        let size = |endpoint: &mut Endpoint, offset| {
            write(endpoint, offset, u32::MAX);
            endpoint.config().u32(offset)
        };
        assert_eq!(size(&mut endpoint, 0x10), 0xffff_ffc1);
        assert_eq!(size(&mut endpoint, 0x14), 0xffff_f000);
        assert_eq!(size(&mut endpoint, 0x18), 0);
        assert_eq!(size(&mut endpoint, 0x20), 0xffff_c00c);
        assert_eq!(size(&mut endpoint, 0x24), 0xffff_ffff);
        write(&mut endpoint, 4, 7);
        assert_eq!(endpoint.windows(&LAYOUT).count(), 0, "nothing is mapped while sizes are asked for");
    }

    #[test]
    fn windows_follow_bars_and_command() {
        let mut endpoint = Endpoint::new(&LAYOUT, &[]);
        write(&mut endpoint, 0x10, 0xc000);
        write(&mut endpoint, 0x14, 0xfe00_0123);
        write(&mut endpoint, 0x20, 0x8000);
        write(&mut endpoint, 0x24, 0x12);
        let bases =
            |endpoint: &Endpoint| endpoint.windows(&LAYOUT).map(|window| window.base).collect::<Vec<_>>();
        assert!(bases(&endpoint).is_empty());
        write(&mut endpoint, 4, 1);
        assert_eq!(bases(&endpoint), [0xc000]);
        write(&mut endpoint, 4, 2);
        assert_eq!(bases(&endpoint), [0xfe00_0000, 0x12_0000_8000]);
        write(&mut endpoint, 0x24, 0x10_0000);
        assert_eq!(bases(&endpoint), [0xfe00_0000], "no processor reaches that far");
    }

    #[test]
    fn the_pin_yields_to_the_command_register_and_to_msix() {
        let (mut endpoint, mut bench) = (Endpoint::new(&LAYOUT, &[]), Bench::new());
        let pin = 16 + pirq_of(3, 1);
        endpoint.set_interrupt(&mut bench.cx(), 3, true);
        assert_eq!(bench.pin_edges(pin), 1);
        write(&mut endpoint, 4, u32::from(COMMAND_INTX_OFF));
        endpoint.changed(&mut bench.cx(), 3);
        write(&mut endpoint, 4, 0);
        endpoint.changed(&mut bench.cx(), 3);
        assert_eq!(bench.pin_edges(pin), 1);
        assert_eq!(endpoint.read(STATUS) & 8, 8);
        write(&mut endpoint, 0x40, u32::from(CONTROL_ENABLE) << 16);
        assert_eq!((endpoint.read(STATUS) & 8, endpoint.has_msix()), (0, true));
        endpoint.send(bench.cx().effects, 0);
        endpoint.msix_write(bench.cx().effects, 12, 4, 0);
        assert!(bench.effects.is_empty(), "it is no bus master");
        write(&mut endpoint, 4, u32::from(COMMAND_MASTER));
        endpoint.changed(&mut bench.cx(), 3);
        assert_eq!(bench.effects.drain().count(), 1);
    }
}
