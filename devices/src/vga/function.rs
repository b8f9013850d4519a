//! The adapter as a PCI function: 1234:1111 in slot 1, as QEMU's `stdvga`. BAR 0 is video memory, BAR 2 shows EDID, the VGA's
//! ports, DISPI and QEMU's own registers; the option ROM holds a VGA BIOS, if the machine was given one.

use super::edid::edid;
use super::{DisplayKind, Registers, Vga};
use crate::device::DeviceCtx;
use crate::map::{Backing, MapRange, RegionId};
use crate::pci::config::{COMMAND, COMMAND_MEMORY, Identity, OPTION_ROM};
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::function::Function;
use amber_snapshot::{OwnedSection, Section, SectionError};

/// Slot of the adapter, where QEMU's q35 has it.
const SLOT: u8 = 1;
/// Bytes of video memory.
pub const STDVGA_VRAM: u64 = 16 << 20;
/// Largest option ROM.
pub const OPTION_ROM_MAX: u64 = 256 << 10;
/// Where firmware of QEMU's machine puts the BARs.
const FIRMWARE_VRAM: u32 = 0xfd00_0000;
const FIRMWARE_REGISTERS: u32 = 0xfebf_0000;

const MEMORY_BAR: u8 = 0;
const REGISTERS_BAR: u8 = 2;
const ROM_ENABLE: u32 = 1;
const ROM_ALIGN: u64 = 0x1000;

const PORTS: u64 = 0x400;
const PORTS_END: u64 = 0x420;
const DISPI: u64 = 0x500;
const DISPI_END: u64 = 0x516;
const QEMU: u64 = 0x600;
/// Bytes of QEMU's own registers, and that the frame buffer is little-endian, which it always is here.
const QEMU_REGISTERS: [u32; 2] = [8, 0x1e1e_1e1e];

static LAYOUT: Layout = Layout {
    identity: Identity {
        vendor_device: 0x1111_1234,
        class_revision: 0x0300_0002,
        multifunction: false,
        interrupt_pin: 0,
    },
    bars: &[
        Bar { index: MEMORY_BAR, kind: BarKind::Memory32 { prefetchable: true }, len: STDVGA_VRAM },
        Bar { index: REGISTERS_BAR, kind: BarKind::Memory32 { prefetchable: false }, len: 0x1000 },
    ],
    msix_bar: 0,
    vectors: 0,
};

/// Configuration space out of reset.
pub(super) fn endpoint() -> Endpoint {
    Endpoint::new(&LAYOUT, &[])
}

impl Vga {
    /// Bits of the option ROM's base address register that software can write.
    fn rom_writable(&self) -> u32 {
        match self.option_rom_len {
            0 => 0,
            len => !(len.next_power_of_two() as u32 - 1) | ROM_ENABLE,
        }
    }

    /// Memory that BARs show as it is: the frame buffer, and the option ROM, which lies in the region of the firmware from
    /// `rom_offset` on.
    pub(crate) fn memory_bars(&self, rom_offset: u64) -> Vec<MapRange> {
        let Some(function) = &self.registers.function else { return Vec::new() };
        let memory = function.windows(&LAYOUT).filter(|window| window.bar == MEMORY_BAR).map(|window| {
            MapRange::new(window.base, window.len, Backing::Region { region: RegionId::Vram, offset: 0 })
        });
        let rom = self.rom_base().map(|base| MapRange {
            base,
            len: self.option_rom_len,
            read: Backing::Region { region: RegionId::Firmware, offset: rom_offset },
            write: Backing::Open,
        });
        memory.chain(rom).collect()
    }

    fn rom_base(&self) -> Option<u64> {
        let config = self.registers.function.as_ref()?.config();
        let register = config.u32(OPTION_ROM);
        let base = u64::from(register & !(ROM_ALIGN as u32 - 1));
        let on = register & ROM_ENABLE != 0 && config.u16(COMMAND) & COMMAND_MEMORY != 0;
        let there = base != 0 && base + self.option_rom_len < 0xffff_ffff;
        (on && there && self.option_rom_len != 0).then_some(base)
    }

    /// A byte of BAR 2, but for those of registers with 16 bits.
    fn register_read(&mut self, now: u64, offset: u64) -> u8 {
        match offset {
            PORTS..PORTS_END => self.registers.port_read(now, 0x3c0 + (offset - PORTS) as u16),
            QEMU.. => {
                let word = QEMU_REGISTERS.get((offset - QEMU) as usize / 4).copied().unwrap_or(0);
                (word >> (offset % 4 * 8)) as u8
            }
            _ => edid().get(offset as usize).copied().unwrap_or(0),
        }
    }

    pub(super) fn impossible_function(&self) -> Option<(&'static str, String)> {
        let wrong = match (&self.registers.function, self.kind) {
            (None, DisplayKind::Text) => false,
            (Some(function), DisplayKind::Std) => {
                let own = OPTION_ROM..OPTION_ROM + 4;
                let rom = function.config().u32(OPTION_ROM);
                !function.is_like(&endpoint(), &LAYOUT, own) || rom & !self.rom_writable() != 0
            }
            _ => true,
        };
        wrong.then(|| ("function", "that of another adapter than this platform has".to_owned()))
    }

    /// Its section.
    pub(crate) fn to_section(&self, path: &str) -> OwnedSection {
        self.registers.to_section(path)
    }
}

impl Function for Vga {
    fn slot(&self) -> u8 {
        SLOT
    }

    fn config_read(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8) -> u64 {
        let Some(function) = &self.registers.function else { return u64::MAX };
        function.read_bytes(offset, size)
    }

    fn config_write(&mut self, _cx: &mut DeviceCtx, offset: u16, size: u8, value: u64) {
        let rom = self.rom_writable().to_le_bytes();
        let Some(function) = &mut self.registers.function else { return };
        for at in 0..u16::from(size) {
            let (offset, byte) = (offset.wrapping_add(at), (value >> (at * 8)) as u8);
            match offset {
                OPTION_ROM..0x34 => {
                    function.config_mut().write(offset, byte, rom[usize::from(offset - OPTION_ROM)]);
                }
                0..=0xff => function.write(&LAYOUT, offset, byte),
                _ => {}
            }
        }
    }

    fn windows(&self) -> Vec<Window> {
        let function = self.registers.function.iter();
        let mut windows: Vec<_> = function.flat_map(|function| function.windows(&LAYOUT)).collect();
        // It is a window of no BAR, but the map of memory changes with it.
        let rom = self.rom_base();
        windows.extend(rom.map(|base| Window { bar: 6, io: false, base, len: self.option_rom_len }));
        windows
    }

    fn bar_read(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8) -> u64 {
        if bar != REGISTERS_BAR {
            return u64::MAX;
        }
        (0..u64::from(size)).fold(0, |value, at| {
            let offset = offset + at;
            let byte = match offset {
                DISPI..DISPI_END => {
                    let word = self.dispi_register(((offset - DISPI) / 2) as u16);
                    word.to_le_bytes()[offset as usize & 1]
                }
                _ => self.register_read(cx.now(), offset),
            };
            value | u64::from(byte) << (at * 8)
        })
    }

    fn bar_write(&mut self, cx: &mut DeviceCtx, bar: u8, offset: u64, size: u8, value: u64) {
        if bar != REGISTERS_BAR {
            return;
        }
        self.change(cx, |vga, cx| {
            if (DISPI..DISPI_END).contains(&offset) {
                for at in (0..u64::from(size)).step_by(2).filter(|at| offset + at < DISPI_END) {
                    let index = ((offset + at - DISPI) / 2) as u16;
                    vga.set_dispi_register(cx, index, (value >> (at * 8)) as u16);
                }
                return;
            }
            for at in (0..u64::from(size)).filter(|at| (PORTS..PORTS_END).contains(&(offset + at))) {
                let port = 0x3c0 + (offset + at - PORTS) as u16;
                vga.registers.port_write(port, (value >> (at * 8)) as u8);
            }
        });
    }

    /// The BARs are where firmware of QEMU's machine puts them, out of the way of the others.
    fn set_up_as_firmware(&mut self, _next: &mut u64, _port: &mut u64) {
        let Some(function) = &mut self.registers.function else { return };
        let (mut memory, mut registers) = (u64::from(FIRMWARE_VRAM), 0);
        function.set_up_as_firmware(&LAYOUT, SLOT, &mut memory, &mut registers);
        function.set_bar(&LAYOUT.bars[1], FIRMWARE_REGISTERS);
    }

    fn section_name(&self) -> String {
        "vga".to_owned()
    }

    fn to_section(&self, path: &str) -> OwnedSection {
        self.to_section(path)
    }

    fn set_registers(&mut self, section: &OwnedSection) -> Result<(), SectionError> {
        self.registers = Registers::from_section(section)?;
        Ok(())
    }
}
