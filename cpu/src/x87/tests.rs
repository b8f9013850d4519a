//! Properties of the state that need no host FPU.

use super::*;

fn filled() -> X87 {
    let mut x = X87::reset();
    x.fninit();
    for n in 1..=5 {
        x.fild(n * 1000);
    }
    x.fld_constant(Constant::Zero);
    (x.fip, x.fcs, x.fdp, x.fds, x.opcode) = (0x1_2345, 0x10, 0x4_5678, 0x18, 0x1D9);
    x
}

#[test]
fn fnsave_and_frstor_are_inverse_in_protected_formats() {
    let before = filled();
    let mut image = [0; SAVE_MAX];
    let mut x = before;
    x.fnsave(Format::Protected32, &mut image);
    assert_eq!((x.control, x.status, x.valid), (CONTROL_INIT, 0, 0));
    x.frstor(Format::Protected32, &image);
    assert_eq!(x, before);
}

#[test]
fn real_mode_images_hold_linear_addresses() {
    let mut x = filled();
    let mut image = [0; 28];
    x.fnstenv(Format::Real32, &mut image);
    let mut y = X87::reset();
    y.fldenv(Format::Real32, &image);
    assert_eq!((y.fip, y.fcs), (0x1_2345 + 0x100, 0));
    assert_eq!((y.fdp, y.opcode), (0x4_5678 + 0x180, 0x1D9));
    x.fnstenv(Format::Real16, &mut image);
    y.fldenv(Format::Real16, &image);
    assert_eq!((y.fip, y.fdp), (0x1_2445, 0x4_57F8));
}

#[test]
fn legacy_region_round_trips() {
    let before = filled();
    let mut x = X87::reset();
    x.set_legacy_region(&before.legacy_region(false), false);
    assert_eq!(x, before);
    x.set_legacy_region(&before.legacy_region(true), true);
    assert_eq!((x.fip, x.fcs), (before.fip, 0));
    assert_eq!(x.tag_word(), before.tag_word());
    assert_eq!(x.tag_word(), 0b01 << 4 | 0b1111);
}

#[test]
fn unmasking_a_set_flag_makes_it_pending() {
    let mut x = filled();
    x.arith(Arith::Div, 1, 0, false);
    assert!(!x.pending());
    x.fldcw(CONTROL_INIT & !4);
    assert!(x.pending());
    x.fnclex();
    assert!(!x.pending());
}

#[test]
fn mmx_aliases_the_significands() {
    let mut x = filled();
    x.enter_mmx();
    x.set_mm(3, 0x1122_3344_5566_7788);
    assert_eq!((x.top(), x.valid), (0, 0xFF));
    assert_eq!(x.st[3], F80 { sign_exp: 0xFFFF, mantissa: 0x1122_3344_5566_7788 });
    x.emms();
    assert_eq!(x.valid, 0);
}
