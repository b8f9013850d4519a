//! Translation against a small walker of its own: addresses, error codes, accessed and dirty flags, and that neither
//! table stores nor dropped caches at any moment change a result.

use amber_mmu::{
    Access, AddressMap, AddressSpace, Backing, MapRange, Mmu, PagingMode, Place, Rights, ViewId,
};
use proptest::prelude::*;

const VIEW: ViewId = ViewId(0);
/// 16 frames: tables and pages share them, so that stores through one translation edit another's tables.
const FRAMES: u64 = 16;
const PHYSICAL_BITS: u8 = 40;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NX: u64 = 1 << 63;

fn memory() -> Mmu {
    let mut mmu = Mmu::new(FRAMES as u32 + 1).expect("memory");
    let frames = Backing::Frames(mmu.allocate(FRAMES as u32).expect("frames"));
    let len = FRAMES * 4096;
    mmu.set_map(VIEW, AddressMap::new(vec![MapRange { base: 0, len, read: frames, write: frames }]));
    mmu
}

fn read(mmu: &Mmu, address: u64, size: usize) -> u64 {
    let mut bytes = [0; 8];
    // What lies beyond the memory is a device's, and reads as all ones.
    if address >= FRAMES * 4096 {
        return u64::MAX >> (64 - 8 * size);
    }
    mmu.read_physical(VIEW, address, &mut bytes[..size]);
    u64::from_le_bytes(bytes)
}

fn write(mmu: &mut Mmu, address: u64, size: usize, value: u64) {
    mmu.write_physical(VIEW, address, &value.to_le_bytes()[..size]);
}

/// The reference: SDM Vol. 3A, 4.3 to 4.8, with nothing cached. On success the flags of the entries are set.
fn reference(
    mmu: &mut Mmu,
    space: &AddressSpace,
    rights: Rights,
    linear: u64,
    access: Access,
) -> Result<u64, u32> {
    let (size, levels): (usize, &[u32]) = match space.mode {
        PagingMode::Off => return Ok(linear),
        PagingMode::Bits32 { .. } => (4, &[22, 12]),
        PagingMode::Pae => (8, &[21, 12]),
        PagingMode::Level4 => (8, &[39, 30, 21, 12]),
    };
    let fetch = access == Access::Execute && (space.smep || space.no_execute && size == 8);
    let base = u32::from(access == Access::Write) << 1 | u32::from(rights.user) << 2 | u32::from(fetch) << 4;
    let mut table = space.root;
    if space.mode == PagingMode::Pae {
        table = space.pdptes[(linear >> 30 & 3) as usize];
        if table & 1 == 0 {
            return Err(base);
        }
    }
    let (mut writable, mut user, mut executable) = (true, true, true);
    let mut entries = Vec::new();
    for shift in levels {
        let entries_in_table = 4096 / size as u64;
        let address = (table & 0x000F_FFFF_FFFF_F000) + (linear >> shift) % entries_in_table * size as u64;
        let entry = read(mmu, address, size);
        if entry & 1 == 0 {
            return Err(base);
        }
        let large = entry & LARGE != 0
            && match (space.mode, shift) {
                (PagingMode::Bits32 { pse }, 22) => pse,
                (_, 21 | 30) => true,
                _ => false,
            };
        if reserved(space, entry, *shift, large) {
            return Err(base | 9);
        }
        writable &= entry & 2 != 0;
        user &= entry & 4 != 0;
        executable &= !(size == 8 && space.no_execute && entry & NX != 0);
        entries.push((address, entry));
        table = entry;
        if large || *shift == 12 {
            let offset = linear & ((1 << shift) - 1);
            let high = if size == 4 && large { (entry >> 13 & 0xFF) << 32 } else { 0 };
            let page = entry & 0x000F_FFFF_FFFF_F000 & !((1 << shift) - 1) | high;
            if !permitted(space, rights, access, [writable, user, executable]) {
                return Err(base | 1);
            }
            mark(mmu, &entries, size, access);
            return Ok(page + offset);
        }
    }
    unreachable!("the last level is a leaf")
}

fn reserved(space: &AddressSpace, entry: u64, shift: u32, large: bool) -> bool {
    if let PagingMode::Bits32 { .. } = space.mode {
        return large && entry >> 21 & 1 != 0;
    }
    let beyond = entry >> space.physical_bits & ((1 << (52 - space.physical_bits)) - 1) != 0;
    let nx = entry & NX != 0 && !space.no_execute;
    let ignored = space.mode == PagingMode::Pae && entry >> 52 & 0x7FF != 0;
    let alignment = large && entry >> 13 & ((1 << (shift - 13)) - 1) != 0;
    beyond || nx || ignored || alignment || shift == 39 && entry & LARGE != 0
}

fn permitted(
    space: &AddressSpace,
    rights: Rights,
    access: Access,
    [writable, user, executable]: [bool; 3],
) -> bool {
    match (rights.user, access) {
        (true, Access::Read) => user,
        (true, Access::Write) => user && writable,
        (true, Access::Execute) => user && executable,
        (false, Access::Execute) => executable && !(space.smep && user),
        (false, _) if user && rights.smap_enforced && space.smap => false,
        (false, Access::Read) => true,
        (false, Access::Write) => writable || !space.write_protect,
    }
}

fn mark(mmu: &mut Mmu, entries: &[(u64, u64)], size: usize, access: Access) {
    for (n, (address, entry)) in entries.iter().enumerate() {
        let dirty = n + 1 == entries.len() && access == Access::Write;
        let marked = entry | ACCESSED | if dirty { DIRTY } else { 0 };
        if marked != *entry {
            // An entry may be its own table's: what is there now is marked.
            let now = read(mmu, *address, size);
            write(mmu, *address, size, now | marked & (ACCESSED | DIRTY));
        }
    }
}

/// Table entries that lead somewhere more often than not.
fn entry() -> impl Strategy<Value = u64> {
    let flags = prop_oneof![6 => Just(7u64), 1 => Just(1), 1 => Just(3), 1 => Just(5), 1 => Just(0)];
    let extra = prop_oneof![
        12 => Just(0u64),
        2 => Just(LARGE),
        1 => Just(NX),
        1 => Just(1u64 << 41),
        1 => Just(1u64 << 13 | LARGE),
        1 => Just(1u64 << 52),
        1 => Just(ACCESSED | DIRTY),
    ];
    (0..FRAMES + 2, flags, extra).prop_map(|(frame, flags, extra)| frame << 12 | flags | extra)
}

/// Linear addresses with few different indexes, so that tables are shared.
fn linear() -> impl Strategy<Value = u64> {
    (0..2u64, 0..2u64, 0..4u64, 0..8u64, 0..4096u64)
        .prop_map(|(a, b, c, d, offset)| a << 39 | b << 30 | c << 21 | d << 12 | offset)
}

#[derive(Clone, Debug)]
enum Step {
    Access {
        linear: u64,
        access: Access,
        user: bool,
        smap: bool,
    },
    /// A store to physical memory: slot, entry.
    Store {
        frame: u64,
        slot: u64,
        value: u64,
    },
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    let access = prop_oneof![Just(Access::Read), Just(Access::Write), Just(Access::Execute)];
    prop_oneof![
        6 => (linear(), access, any::<bool>(), any::<bool>())
            .prop_map(|(linear, access, user, smap)| Step::Access { linear, access, user, smap }),
        3 => (0..FRAMES, 0..8u64, entry()).prop_map(|(frame, slot, value)| Step::Store { frame, slot, value }),
        1 => Just(Step::Drop),
    ]
}

fn space() -> impl Strategy<Value = AddressSpace> {
    let mode = prop_oneof![
        Just(PagingMode::Bits32 { pse: false }),
        Just(PagingMode::Bits32 { pse: true }),
        Just(PagingMode::Pae),
        Just(PagingMode::Level4),
    ];
    let bits = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (mode, bits).prop_map(|(mode, (write_protect, no_execute, smep, smap))| AddressSpace {
        mode,
        root: if mode == PagingMode::Pae { 0 } else { 0x1000 },
        pdptes: if mode == PagingMode::Pae { [0x1001, 0x2001, 0, 0x3001] } else { [0; 4] },
        write_protect,
        no_execute,
        smep,
        smap,
        physical_bits: PHYSICAL_BITS,
    })
}

fn confine(space: &AddressSpace, linear: u64) -> u64 {
    if space.mode == PagingMode::Level4 { linear } else { (linear & 0xFFFF_FFFF) | (linear >> 39 << 22) }
}

/// One access by the MMU under test: as a processor does it, through the TLB where that holds the page.
fn translate(
    mmu: &mut Mmu,
    space: &AddressSpace,
    rights: Rights,
    linear: u64,
    access: Access,
) -> Result<(), u32> {
    let context = mmu.context(space, rights, VIEW);
    mmu.activate(context);
    let hit = match access {
        Access::Read => mmu.read_fast::<u8>(linear).is_some(),
        Access::Write => mmu.modify_fast::<u8>(linear).is_some(),
        Access::Execute => false,
    };
    if hit {
        return Ok(());
    }
    mmu.place(context, linear, access).map(|_| ()).map_err(|fault| fault.code)
}

/// Where an access that succeeded leads, by a marker byte: the reference's address must be what a read sees.
fn same_byte(mmu: &mut Mmu, space: &AddressSpace, rights: Rights, linear: u64, address: u64) -> bool {
    let context = mmu.context(space, rights, VIEW);
    match mmu.place(context, linear, Access::Read) {
        Ok(Place::Frame(frame)) => u64::from(frame.0) == address >> 12,
        Ok(Place::Device(gpa)) => gpa == address,
        _ => false,
    }
}

fn contents(mmu: &Mmu) -> Vec<u8> {
    let mut bytes = vec![0; FRAMES as usize * 4096];
    mmu.read_physical(VIEW, 0, &mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn translations_follow_the_tables(
        space in space(),
        tables in prop::collection::vec((1..FRAMES, 0..8u64, entry()), 300),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut ours, mut theirs) = (memory(), memory());
        let size = space.entry_size() as usize;
        for (frame, slot, value) in tables {
            for mmu in [&mut ours, &mut theirs] {
                write(mmu, (frame << 12) + slot * size as u64, size, value);
            }
        }
        for step in steps {
            match step {
                Step::Drop => ours.drop_translations(),
                Step::Store { frame, slot, value } => {
                    for mmu in [&mut ours, &mut theirs] {
                        write(mmu, (frame << 12) + slot * size as u64, size, value);
                    }
                }
                Step::Access { linear, access, user, smap } => {
                    let linear = confine(&space, linear);
                    let rights = Rights { user, smap_enforced: smap && space.smap && !user, watched: false };
                    let expected = reference(&mut theirs, &space, rights, linear, access);
                    let got = translate(&mut ours, &space, rights, linear, access);
                    prop_assert_eq!(got.err(), expected.err(), "{:?} of {:x} in {:?}", access, linear, space);
                    if let (Ok(address), Access::Read) = (expected, access) {
                        prop_assert!(same_byte(&mut ours, &space, rights, linear, address), "{:x}", linear);
                    }
                    prop_assert!(contents(&ours) == contents(&theirs), "flags after {:?} of {:x}", access, linear);
                }
            }
        }
    }
}
