//! Operations of all kinds, by chance.

use crate::drivers::{BUFFERS, DRIVER, TABLE, Target, targets};
use crate::machine::{CPUS_MAX, PLUGGABLE};
use crate::operation::Op;
use proptest::prelude::*;

pub fn size() -> impl Strategy<Value = u8> {
    prop_oneof![Just(1u8), Just(2), Just(4)]
}

pub fn register_op(target: &'static Target) -> BoxedStrategy<Op> {
    let mut choices = Vec::new();
    for (first, count) in target.ports {
        let port = *first..=first + (count - 1);
        choices.push((port.clone(), size()).prop_map(|(port, size)| Op::In { port, size }).boxed());
        let value = prop_oneof![any::<u32>(), (0u32..=0xff)];
        let out = (port, size(), value).prop_map(|(port, size, value)| Op::Out { port, size, value });
        choices.push(out.boxed());
    }
    for (base, len) in target.windows {
        let gpa = *base..base + len;
        let size = prop_oneof![Just(1u8), Just(2), Just(4), Just(8)];
        choices.push((gpa.clone(), size.clone()).prop_map(|(gpa, size)| Op::Read { gpa, size }).boxed());
        let value = prop_oneof![4 => any::<u64>(), 1 => 0u64..16];
        let write = (gpa, size, value).prop_map(|(gpa, size, value)| Op::Write { gpa, size, value });
        choices.push(write.boxed());
    }
    proptest::strategy::Union::new(choices).boxed()
}

/// What a driver that may be mad writes to its rings: indices a little ahead, or anything.
pub fn ring_op() -> impl Strategy<Value = Op> {
    let index = (0u8..12).prop_map(|index| Op::Poke(DRIVER + 2, vec![index, 0]));
    let anywhere = (TABLE..BUFFERS + 0x2000, proptest::collection::vec(any::<u8>(), 1..4));
    prop_oneof![4 => index, 1 => anywhere.prop_map(|(gpa, bytes)| Op::Poke(gpa, bytes))]
}

pub fn outside_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => ring_op(),
        3 => (0u64..100_000).prop_map(Op::Advance),
        4 => (0u64..2_000_000).prop_map(Op::Advance),
        1 => (0u64..3_000_000_000).prop_map(Op::Advance),
        1 => (0u8..3, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(port, bytes)| Op::Serial(port, bytes)),
        1 => (0u8..3, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(port, bytes)| Op::Console(port, bytes)),
        1 => any::<(u8, bool)>().prop_map(|(code, pressed)| Op::Key(code, pressed)),
        1 => any::<(i8, i8)>().prop_map(|(dx, dy)| Op::Mouse(dx, dy)),
        1 => any::<u8>().prop_map(Op::Eoi),
        1 => Just(Op::Intack),
        1 => Just(Op::PowerButton),
        1 => (1..CPUS_MAX).prop_map(Op::PlugCpu),
        1 => (0..CPUS_MAX).prop_map(Op::AskForCpu),
        1 => (0u8..3).prop_map(Op::PlugDimm),
        1 => proptest::sample::select(&PLUGGABLE[..]).prop_map(Op::PlugDisk),
        1 => proptest::sample::select(&PLUGGABLE[..]).prop_map(Op::AskForDisk),
        1 => (0u8..3).prop_map(Op::AskForDimm),
        1 => Just(Op::PlugNic),
        1 => Just(Op::AskForNic),
    ]
}

pub fn ops(target: &'static Target) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![5 => register_op(target), 1 => outside_op()];
    proptest::collection::vec(op, 0..80)
}

pub fn device_ops() -> impl Strategy<Value = (&'static str, Vec<Op>, Vec<Op>)> {
    any::<prop::sample::Index>().prop_flat_map(|index| {
        let target = *index.get(&targets());
        let before = ops(target).prop_map(|ops| [(target.prelude)(), ops].concat());
        (Just(target.name), before, ops(target))
    })
}

/// fw_cfg commands take lengths from memory; keep the padding of zeros short.
pub fn without_long_dma(ops: Vec<Op>) -> Vec<Op> {
    ops.into_iter().filter(|op| !matches!(op, Op::Out { port: 0x518, size: 4, .. })).collect()
}
