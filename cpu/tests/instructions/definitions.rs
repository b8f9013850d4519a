//! Flags of the ALU instructions against their definitions (SDM Vol. 1, 3.4.3.1), on any host.

use crate::bare::{CODE, Machine, Mode};
use amber_cpu::flags::{Flags, bit};
use amber_cpu::state::CodeSize;
use proptest::prelude::*;

/// ADD, OR, ADC, SBB, AND, SUB, XOR, CMP in the order of their opcodes.
const OR: u8 = 1;
const ADC: u8 = 2;
const SBB: u8 = 3;
const AND: u8 = 4;
const SUB: u8 = 5;
const XOR: u8 = 6;
const CMP: u8 = 7;

fn signed(value: u64, width: u32) -> i128 {
    i128::from(((value << (64 - width)) as i64) >> (64 - width))
}

/// Result and flags of `a OP b`.
fn define(operation: u8, a: u64, b: u64, carry: bool, width: u32) -> (u64, u64) {
    let mask = u64::MAX >> (64 - width);
    let carry = u64::from(carry && matches!(operation, ADC | SBB));
    let subtracts = matches!(operation, SBB | SUB | CMP);
    let logical = match operation {
        OR => Some(a | b),
        AND => Some(a & b),
        XOR => Some(a ^ b),
        _ => None,
    };
    let (wide, exact, nibble) = if subtracts {
        let exact = signed(a, width) - signed(b, width) - i128::from(carry);
        (i128::from(a) - i128::from(b) - i128::from(carry), exact, a & 15 < (b & 15) + carry)
    } else {
        let exact = signed(a, width) + signed(b, width) + i128::from(carry);
        (i128::from(a) + i128::from(b) + i128::from(carry), exact, (a & 15) + (b & 15) + carry > 15)
    };
    let result = logical.unwrap_or(wide as u64 & mask);
    let arithmetic = logical.is_none();
    let flags = [
        (bit::CF, arithmetic && !(0..=i128::from(mask)).contains(&wide)),
        (bit::PF, (result as u8).count_ones().is_multiple_of(2)),
        (bit::AF, arithmetic && nibble),
        (bit::ZF, result == 0),
        (bit::SF, result >> (width - 1) != 0),
        (bit::OF, arithmetic && signed(result, width) != exact),
    ];
    (result, flags.into_iter().filter(|(_, on)| *on).fold(0, |all, (flag, _)| all | flag))
}

fn operand() -> impl Strategy<Value = u64> {
    let edge = (0..64u32, 0..3u64).prop_map(|(shift, by)| (1u64 << shift).wrapping_add(by).wrapping_sub(1));
    prop_oneof![any::<u64>(), edge.clone(), edge.prop_map(|value| !value)]
}

#[test]
fn alu_flags_follow_their_definitions() {
    let machine = std::cell::RefCell::new(Machine::new(Mode { size: CodeSize::Bits64, user: false }));
    let case = (0..8u8, 0..4usize, operand(), operand(), any::<bool>());
    proptest!(ProptestConfig::with_cases(20_000), |((operation, size, a, b, carry) in case)| {
        let machine = &mut *machine.borrow_mut();
        let width = 8u32 << size;
        let mask = u64::MAX >> (64 - width);
        let prefix: &[u8] = [&[][..], &[0x66], &[], &[0x48]][size];
        let mut bytes = prefix.to_vec();
        // OP AL/eAX/rAX, CL/eCX/rCX.
        bytes.extend([operation << 3 | u8::from(size != 0), 0xC8]);
        machine.reset();
        machine.write(CODE, &bytes);
        (machine.cpu.gpr[0], machine.cpu.gpr[1]) = (a, b);
        machine.cpu.flags = Flags::from_bits(u64::from(carry));
        prop_assert_eq!(machine.step(), None);
        let (result, flags) = define(operation, a & mask, b & mask, carry, width);
        let kept = if width == 32 && operation != CMP { 0 } else { a & !mask };
        let expected = if operation == CMP { a } else { kept | result };
        prop_assert_eq!(machine.cpu.gpr[0], expected, "{:02x?} {:x} {:x}", bytes, a, b);
        prop_assert_eq!(machine.cpu.flags.arithmetic(), flags, "{:02x?} {:x} {:x}", bytes, a, b);
    });
}
