//! Commands that move no data, resets, and heads.

use super::*;

#[test]
fn a_reset_ends_in_polling() {
    let mut bench = Bench::new();
    assert_eq!((bench.inb(0x3f4), bench.pass()), (0, false), "held in reset");
    bench.out(0x3f5, 0x10);
    bench.out(0x3f2, 0x0c);
    assert_eq!((bench.inb(0x3f4), bench.irq()), (0x80, false));
    assert!(bench.pass() && bench.irq());
    for drive in 0..4 {
        assert_eq!(bench.ask(&[8]), [0xc0 | drive, 0]);
        assert!(!bench.irq());
    }
    assert_eq!(bench.ask(&[8]), [0x80], "nothing is left");
    bench.out(0x3f4, 0x80);
    assert!(bench.pass() && bench.irq());
    // The gate closes the line, and opens it again.
    bench.out(0x3f2, 0x04);
    assert!(!bench.irq());
    bench.out(0x3f2, 0x0c);
    assert!(bench.irq());
}

#[test]
fn a_reset_ends_whatever_is_under_way() {
    let mut bench = Bench::ready();
    bench.send(&[0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff]);
    bench.out(0x3f2, 0x38);
    assert_eq!((bench.inb(0x3f4), bench.pass()), (0, false));
    bench.out(0x3f2, 0x3c);
    bench.send(&[0x0f, 0]);
    bench.out(0x3f4, 0x80);
    assert_eq!(bench.inb(0x3f4), 0x80, "half a command is forgotten");
    bench.pass_all();
    assert_eq!(bench.ask(&[8]), [0xc0, 0]);
}

#[test]
fn commands_tell_what_it_is() {
    let mut bench = Bench::ready();
    assert_eq!(bench.ask(&[0x10]), [0x90]);
    for invalid in [0x18, 0x11, 0x19, 0x1d, 0x00, 0x1f, 0x30, 0xff] {
        assert_eq!(bench.ask(&[invalid]), [0x80], "{invalid:x}");
    }
    bench.send(&[0x13, 0, 0x57, 9]);
    bench.send(&[0x12, 0x88 | 3]);
    assert_eq!(bench.ask(&[0x94]), [0x10]);
    assert_eq!(bench.ask(&[0x0e]), [0, 0, 0, 0, 0xdf, 2, 0, 0x8b, 0x57, 9]);
    // Locked, the FIFO's parameters outlast a reset.
    bench.out(0x3f4, 0x80);
    bench.pass_all();
    assert_eq!(bench.ask(&[0x0e])[7..], [0x88, 0x07, 9]);
    assert_eq!(bench.ask(&[0x14]), [0]);
    bench.out(0x3f4, 0x80);
    bench.pass_all();
    assert_eq!(bench.ask(&[0x0e])[7..], [0x08, 0x20, 0]);
    bench.send(&[0x12, 0x14]);
    assert_eq!(bench.ask(&[0x0e])[7], 0x08, "without OW the drives' bits stay");
}

#[test]
fn drives_tell_their_status() {
    let mut bench = Bench::ready();
    assert_eq!(bench.ask(&[4, 0]), [0x38]);
    assert_eq!(bench.ask(&[4, 5]), [0x7d], "protected, head 1");
    assert_eq!(bench.ask(&[4, 2]), [0x2a], "not there");
    assert_eq!(bench.seek(&[0x0f, 0, 3]), [0x20, 3]);
    assert_eq!(bench.ask(&[4, 0]), [0x28]);
}

#[test]
fn heads_move_by_steps_and_reset_the_change_line() {
    let mut bench = Bench::ready();
    bench.out(0x3f2, 0x1c);
    assert_eq!(bench.inb(0x3f7), 0x80);
    assert_eq!(bench.seek(&[7, 0]), [0x20, 0]);
    assert_eq!(bench.inb(0x3f7), 0x80, "there was no step");
    assert_eq!(bench.seek(&[0x0f, 0, 20]), [0x20, 20]);
    assert_eq!(bench.inb(0x3f7), 0);
    bench.out(0x3f2, 0x2d);
    assert_eq!(bench.inb(0x3f7), 0x80, "the other drive's");
    bench.out(0x3f2, 0x1d);
    assert_eq!(bench.inb(0x3f7), 0, "its motor is off");
    let before = bench.clock.now();
    assert_eq!(bench.seek(&[0xcf, 0, 5]), [0x20, 25]);
    assert_eq!(bench.clock.now() - before, 5 * 3_000_000 + 50_000);
    assert_eq!(bench.seek(&[0x8f, 0, 10]), [0x20, 15]);
    assert_eq!(bench.seek(&[7, 0]), [0x20, 0]);
    assert_eq!(bench.seek(&[7, 2]), [0x72, 0], "no drive, no track 0");
    // Two drives at a time, and two interrupts.
    bench.send(&[0x0f, 0, 1]);
    bench.send(&[0x0f, 1, 2]);
    assert_eq!(bench.inb(0x3f4), 0x83);
    bench.pass_all();
    assert_eq!(bench.ask(&[8]), [0x20, 1]);
    assert!(bench.irq());
    assert_eq!(bench.ask(&[8]), [0x21, 2]);
    assert!(!bench.irq());
}

#[test]
fn a_recalibration_has_79_steps() {
    let mut bench = Bench::ready();
    assert_eq!(bench.seek(&[0x0f, 0, 200]), [0x20, 200]);
    assert_eq!(bench.seek(&[7, 0]), [0x70, 0], "from cylinder 83");
    assert_eq!(bench.seek(&[7, 0]), [0x20, 0]);
}

#[test]
fn a_platform_reset_leaves_heads_where_they_are() {
    let mut bench = Bench::ready();
    bench.seek(&[0x0f, 0, 3]);
    bench.with(|floppy, cx| floppy.reset(cx));
    assert_eq!((bench.inb(0x3f4), bench.inb(0x3f2), bench.inb(0x0f)), (0, 0, 0xff));
    bench.out(0x3f2, 0x1c);
    bench.pass_all();
    assert_eq!(bench.ask(&[4, 0]), [0x28]);
}
