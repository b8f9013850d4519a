use super::*;
use crate::clock::Clock;
use crate::device::Dma;
use crate::effects::Effects;
use crate::irq::IrqLines;
use crate::testing::Random;
use proptest::prelude::*;

const LEN: u64 = 0x4000;

/// A chip and its bytes.
struct Board {
    flash: Flash,
    bytes: Array,
    effects: Effects,
}

struct Array(Vec<u8>);

impl Dma for Array {
    fn read(&mut self, _gpa: u64, _into: &mut [u8]) {
        panic!("a flash chip is no bus master");
    }
    fn write(&mut self, _gpa: u64, _from: &[u8]) {
        panic!("a flash chip is no bus master");
    }
    fn read_firmware(&mut self, at: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.0[at as usize..at as usize + into.len()]);
    }
    fn write_firmware(&mut self, at: u64, from: &[u8]) {
        self.0[at as usize..at as usize + from.len()].copy_from_slice(from);
    }
}

impl Board {
    fn new() -> Self {
        let bytes = Array((0..LEN).map(|at| (at % 251) as u8).collect());
        Self { flash: Flash::new(LEN), bytes, effects: Effects::default() }
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut Flash, &mut DeviceCtx) -> R) -> R {
        let (mut clock, mut irqs) = (Clock::default(), IrqLines::new());
        let Self { flash, bytes, effects } = self;
        let mut cx = DeviceCtx { clock: &mut clock, irqs: &mut irqs, effects, dma: bytes };
        act(flash, &mut cx)
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        for byte in bytes {
            self.with(|flash, cx| flash.mmio_write(cx, at, 1, u64::from(*byte)));
        }
    }

    fn read(&mut self, at: u64) -> u8 {
        self.with(|flash, cx| flash.mmio_read(cx, at, 1)) as u8
    }
}

/// What OVMF does to find out whether there is a chip, RAM or ROM.
#[test]
fn firmware_tells_it_from_ram_and_rom() {
    let mut board = Board::new();
    let original = board.read(1);
    board.write(1, &[0x50]);
    assert_eq!(board.read(1), original);
    board.write(1, &[0x70]);
    assert_eq!(board.read(1), 0);
    board.write(1, &[0xff]);
    assert_eq!(board.read(1), original);
}

#[test]
fn programming_clears_bits_and_erasing_sets_them() {
    let mut board = Board::new();
    board.write(0x1005, &[0x10, 0x0f]);
    assert_eq!(board.read(0x1005), READY);
    board.write(0x1005, &[0xff]);
    assert_eq!(board.read(0x1005), (0x1005 % 251) as u8 & 0x0f);
    board.write(0x1fff, &[0x20, 0xd0, 0xff]);
    assert!(board.bytes.0[0x1000..0x2000].iter().all(|byte| *byte == 0xff));
    assert_eq!((board.read(0xfff), board.read(0x2000)), ((0xfff % 251) as u8, (0x2000 % 251) as u8));
}

#[test]
fn a_buffer_is_programmed_when_it_is_confirmed() {
    let mut board = Board::new();
    board.write(0, &[0x20, 0xd0, 0xe8]);
    assert_eq!(board.read(0), READY);
    board.write(0, &[1]);
    board.write(7, &[0x12]);
    board.write(8, &[0x34]);
    assert_eq!(board.bytes.0[7..9], [0xff, 0xff]);
    board.write(0, &[0xd0, 0xff]);
    assert_eq!(board.bytes.0[7..9], [0x12, 0x34]);
    board.write(0, &[0xe8, 0, 0x55, 0x00]);
    assert_eq!(board.read(0) & SEQUENCE_ERROR, SEQUENCE_ERROR);
    assert_eq!(board.bytes.0[0], 0xff);
}

#[test]
fn it_says_what_it_is() {
    let mut board = Board::new();
    board.write(0, &[0x90]);
    assert_eq!([board.read(0), board.read(1), board.read(2)], [0x89, 0x18, 0]);
    board.write(0, &[0x98]);
    assert_eq!([0x10, 0x11, 0x12].map(|at| board.read(at)), *b"QRY");
    let blocks = u64::from(board.read(0x2d)) + 1;
    assert_eq!(blocks * (u64::from(board.read(0x2f)) << 8), LEN);
}

#[test]
fn the_map_changes_when_its_bytes_come_and_go() {
    let mut board = Board::new();
    board.write(0, &[0x70, 0x90, 0x98]);
    assert_eq!(board.effects.drain().collect::<Vec<_>>(), [Effect::MapChanged]);
    board.write(0, &[0xff, 0xff]);
    assert_eq!(board.effects.drain().collect::<Vec<_>>(), [Effect::MapChanged]);
}

proptest! {
    /// Whatever is written, a chip restored in the middle goes on as the one that was saved.
    #[test]
    fn a_restored_chip_goes_on(before in cycles(), after in cycles()) {
        let mut board = Board::new();
        run(&mut board, &before);
        let saved = Flash::from_section(&board.flash.to_section("flash")).unwrap();
        prop_assert_eq!(saved.impossible(), None);
        let mut other = Board { flash: saved, bytes: Array(board.bytes.0.clone()), effects: Effects::default() };
        prop_assert_eq!(run(&mut board, &after), run(&mut other, &after));
        prop_assert_eq!(board.bytes.0, other.bytes.0);
    }
}

fn cycles() -> impl Strategy<Value = Vec<(u64, u8, u64)>> {
    let byte = prop_oneof![
        any::<u8>(),
        prop::sample::select(&[0x10u8, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xd0, 0xe8, 0xff][..])
    ];
    let value = prop::array::uniform8(byte).prop_map(u64::from_le_bytes);
    prop::collection::vec((0..LEN + 8, prop::sample::select(&[1u8, 2, 4, 8][..]), value), 0..60)
}

fn run(board: &mut Board, cycles: &[(u64, u8, u64)]) -> Vec<u64> {
    let mut seen = Vec::new();
    for (at, size, value) in cycles {
        board.with(|flash, cx| flash.mmio_write(cx, *at, *size, *value));
        seen.push(board.with(|flash, cx| flash.mmio_read(cx, *at, *size)));
    }
    seen
}

/// A hostile driver: AMBER_HOSTILE operations of any kind.
#[test]
fn hostile_writes_stay_within_the_chip() {
    let operations = std::env::var("AMBER_HOSTILE").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000u64);
    let mut board = Board::new();
    let mut random = Random(0x5eed);
    let commands = [0x10, 0x20, 0x40, 0x50, 0x60, 0x70, 0x90, 0x98, 0xd0, 0xe8, 0xff, 0x01];
    for _ in 0..operations {
        let at = if random.below(8) == 0 { random.next() >> 1 } else { random.below(LEN + 8) };
        let value = if random.below(2) == 0 { random.next() } else { random.of(&commands) };
        let size = random.of(&[1, 1, 2, 4, 8]);
        board.with(|flash, cx| flash.mmio_write(cx, at, size, value));
        board.with(|flash, cx| flash.mmio_read(cx, at, size));
        assert!(board.flash.impossible().is_none() && board.flash.buffer.len() <= BUFFER_MAX);
        board.effects.drain().for_each(drop);
    }
}
