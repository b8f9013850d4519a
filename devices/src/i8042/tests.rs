use super::*;
use crate::testing::Bench;

fn write(i8042: &mut I8042, bench: &mut Bench, port: u16, value: u32) {
    i8042.pio_write(&mut bench.cx(), port, 1, value);
}

fn drain(i8042: &mut I8042, bench: &mut Bench) -> Vec<u32> {
    std::iter::from_fn(|| {
        let full = i8042.pio_read(&mut bench.cx(), 0x64, 1) & 1 != 0;
        full.then(|| i8042.pio_read(&mut bench.cx(), 0x60, 1))
    })
    .collect()
}

#[test]
fn the_boot_sequence_of_a_kernel() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    write(&mut i8042, &mut bench, 0x64, 0xaa);
    assert_eq!(drain(&mut i8042, &mut bench), [0x55]);
    write(&mut i8042, &mut bench, 0x64, 0x60);
    write(&mut i8042, &mut bench, 0x60, 0x47);
    write(&mut i8042, &mut bench, 0x60, 0xf2);
    assert_eq!(drain(&mut i8042, &mut bench), [0xfa, 0xab, 0x41]);
    write(&mut i8042, &mut bench, 0x60, 0xff);
    assert_eq!(drain(&mut i8042, &mut bench), [0xfa, 0xaa]);
    write(&mut i8042, &mut bench, 0x64, 0xd3);
    write(&mut i8042, &mut bench, 0x60, 0x5a);
    assert_eq!(i8042.pio_read(&mut bench.cx(), 0x64, 1) & 0x21, 0x21);
    assert!(bench.irqs.level(Line::Isa(12), IrqSource::Mouse));
    assert_eq!(drain(&mut i8042, &mut bench), [0x5a]);
}

#[test]
fn keys_are_translated_to_set_1() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    i8042.set_up_as_firmware();
    let right_arrow = Key { code: 0x4d, extended: true };
    assert!(i8042.key(&mut bench.cx(), Key { code: 0x1e, extended: false }, true));
    i8042.key(&mut bench.cx(), Key { code: 0x1e, extended: false }, false);
    i8042.key(&mut bench.cx(), right_arrow, true);
    i8042.key(&mut bench.cx(), right_arrow, false);
    assert_eq!(drain(&mut i8042, &mut bench), [0x1e, 0x9e, 0xe0, 0x4d, 0xe0, 0xcd]);
}

#[test]
fn the_mouse_becomes_a_wheel_mouse_when_knocked_on() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    let mut answers = Vec::new();
    for byte in [0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2, 0xf4] {
        write(&mut i8042, &mut bench, 0x64, 0xd4);
        write(&mut i8042, &mut bench, 0x60, byte);
        answers.extend(drain(&mut i8042, &mut bench));
    }
    assert_eq!(answers, [0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 3, 0xfa]);
    i8042.mouse(&mut bench.cx(), MouseEvent { dx: -3, dy: 2, wheel: 1, buttons: 1 });
    assert_eq!(drain(&mut i8042, &mut bench), [0x19, 0xfd, 0x02, 0x01]);
}

#[test]
fn the_output_port_gates_a20_and_resets() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    write(&mut i8042, &mut bench, 0x64, 0xd1);
    write(&mut i8042, &mut bench, 0x60, 0xdd);
    assert_eq!(bench.effects.pop(), Some(Effect::A20(false)));
    write(&mut i8042, &mut bench, 0x64, 0xdf);
    assert_eq!(bench.effects.pop(), Some(Effect::A20(true)));
    write(&mut i8042, &mut bench, 0x64, 0xfe);
    assert_eq!(bench.effects.pop(), Some(Effect::Reset));
}

/// What a key sends in a set, going down and up.
fn codes(set: u8, name: &str) -> (Vec<u32>, Vec<u32>) {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    for byte in [0xf0, set, 0xfa] {
        write(&mut i8042, &mut bench, 0x60, byte.into());
        drain(&mut i8042, &mut bench);
    }
    let key = Key::named(name).expect(name);
    i8042.key(&mut bench.cx(), key, true);
    let make = drain(&mut i8042, &mut bench);
    i8042.key(&mut bench.cx(), key, false);
    (make, drain(&mut i8042, &mut bench))
}

/// Codes of the keys in sets 1, 2 and 3 as IBM's and Microsoft's tables list them: name, make in 1, make in 2, in 3. Breaks
/// follow by rule.
const TABLE: &str = include_str!("codes.txt");

#[test]
fn every_key_has_its_codes_in_all_three_sets() {
    let mut seen = 0;
    for line in TABLE.lines() {
        let [name, one, two, three] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let bytes = |text: &str| -> Vec<u32> {
            text.as_bytes()
                .chunks(2)
                .map(|pair| u32::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
                .collect()
        };
        let broken = |make: &[u32], set: u8| -> Vec<u32> {
            let up = |byte: &u32| match (byte, set) {
                (0xe0, _) => vec![0xe0],
                (byte, 1) => vec![byte | 0x80],
                (byte, _) => vec![0xf0, *byte],
            };
            // The prefixed codes of Print end in the opposite order.
            let parts: Vec<&[u32]> = if make.len() == 4 { vec![&make[2..], &make[..2]] } else { vec![make] };
            parts.into_iter().flatten().flat_map(up).collect()
        };
        for (set, make) in [(1, bytes(one)), (2, bytes(two)), (3, bytes(three))] {
            let up = if name == "pause" && set != 3 { Vec::new() } else { broken(&make, set) };
            assert_eq!(codes(set, name), (make, up), "{name} in set {set}");
        }
        seen += 1;
    }
    assert_eq!(seen, scancodes::KEYS.len());
}

#[test]
fn translation_makes_set_1_of_set_2() {
    for (name, key, _) in scancodes::KEYS {
        let (mut i8042, mut bench) = (I8042::new(), Bench::new());
        i8042.set_up_as_firmware();
        i8042.key(&mut bench.cx(), key, true);
        assert_eq!(drain(&mut i8042, &mut bench), codes(1, name).0, "{name}");
        i8042.key(&mut bench.cx(), key, false);
        assert_eq!(drain(&mut i8042, &mut bench), codes(1, name).1, "{name}");
    }
}

#[test]
fn print_and_pause_depend_on_what_is_held() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    i8042.set_up_as_firmware();
    let mut press = |held: &str, name: &str| {
        for (name, pressed) in [(held, true), (name, true), (name, false), (held, false)] {
            i8042.key(&mut bench.cx(), Key::named(name).unwrap(), pressed);
        }
        let all = drain(&mut i8042, &mut bench);
        all[1..all.len() - 1].to_vec()
    };
    assert_eq!(press("alt", "print"), [0x54, 0xd4]);
    assert_eq!(press("shift", "print"), [0xe0, 0x37, 0xe0, 0xb7]);
    assert_eq!(press("ctrl", "pause"), [0xe0, 0x46, 0xe0, 0xc6]);
}

#[test]
fn a_held_key_repeats_on_virtual_time() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    i8042.set_up_as_firmware();
    let a = Key::named("a").unwrap();
    let run = |i8042: &mut I8042, bench: &mut Bench, ms: u64| {
        let end = bench.clock.now() + ms * 1_000_000;
        let mut codes = Vec::new();
        while let Some(at) = bench.clock.next().filter(|at| *at <= end) {
            bench.clock.advance_to(at);
            while let Some((_, timer)) = bench.clock.pop_due() {
                i8042.timer(&mut bench.cx(), timer.timer);
            }
            codes.extend(drain(i8042, bench));
        }
        bench.clock.advance_to(end);
        codes
    };
    i8042.key(&mut bench.cx(), a, true);
    assert_eq!(drain(&mut i8042, &mut bench), [0x1e]);
    assert_eq!(run(&mut i8042, &mut bench, 499), [0u32; 0]);
    assert_eq!(run(&mut i8042, &mut bench, 1001), [0x1e; 11], "10.9 a second");
    i8042.key(&mut bench.cx(), a, false);
    assert_eq!(drain(&mut i8042, &mut bench), [0x9e]);
    assert_eq!(run(&mut i8042, &mut bench, 1000), [0u32; 0]);
    // The fastest: 30 a second after 250 ms.
    for byte in [0xf3, 0x00] {
        write(&mut i8042, &mut bench, 0x60, byte);
        drain(&mut i8042, &mut bench);
    }
    i8042.key(&mut bench.cx(), a, true);
    drain(&mut i8042, &mut bench);
    assert_eq!(run(&mut i8042, &mut bench, 1251).len(), 31);
    // Another key takes over; a command that disables scanning ends it.
    i8042.key(&mut bench.cx(), Key::named("b").unwrap(), true);
    drain(&mut i8042, &mut bench);
    assert_eq!(run(&mut i8042, &mut bench, 251), [0x30]);
    write(&mut i8042, &mut bench, 0x60, 0xf5);
    drain(&mut i8042, &mut bench);
    assert_eq!(run(&mut i8042, &mut bench, 1000), [0u32; 0]);
    assert!(!i8042.keyboard_is_ready());
}

#[test]
fn keys_of_set_3_have_types() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    let up = |i8042: &mut I8042, bench: &mut Bench, name: &str| {
        let key = Key::named(name).unwrap();
        i8042.key(&mut bench.cx(), key, true);
        i8042.key(&mut bench.cx(), key, false);
        drain(i8042, bench).len() == 3
    };
    let send = |i8042: &mut I8042, bench: &mut Bench, bytes: &[u32]| {
        for byte in bytes {
            write(i8042, bench, 0x60, *byte);
            assert_eq!(drain(i8042, bench), [0xfa], "{byte:#x}");
        }
    };
    send(&mut i8042, &mut bench, &[0xf0, 3]);
    assert!(!up(&mut i8042, &mut bench, "a") && up(&mut i8042, &mut bench, "shift"));
    send(&mut i8042, &mut bench, &[0xfc, 0x1c, 0x1b, 0xfd, 0x12, 0xf4]);
    assert!(up(&mut i8042, &mut bench, "a") && up(&mut i8042, &mut bench, "s"));
    assert!(!up(&mut i8042, &mut bench, "shift") && !up(&mut i8042, &mut bench, "d"));
    send(&mut i8042, &mut bench, &[0xf8]);
    assert!(up(&mut i8042, &mut bench, "d"));
    send(&mut i8042, &mut bench, &[0xf0]);
    write(&mut i8042, &mut bench, 0x60, 0);
    assert_eq!(drain(&mut i8042, &mut bench), [0xfa, 3]);
}

fn to_mouse(i8042: &mut I8042, bench: &mut Bench, bytes: &[u32]) -> Vec<u32> {
    let mut answers = Vec::new();
    for byte in bytes {
        write(i8042, bench, 0x64, 0xd4);
        write(i8042, bench, 0x60, *byte);
        answers.extend(drain(i8042, bench));
    }
    answers
}

#[test]
fn mouse_packets_tell_motion_buttons_and_wheel() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xff]), [0xfa, 0xaa, 0]);
    let event = |i8042: &mut I8042, bench: &mut Bench, dx, dy, wheel, buttons| {
        i8042.mouse(&mut bench.cx(), MouseEvent { dx, dy, wheel, buttons });
        let (mut told, end) = (drain(i8042, bench), bench.clock.now() + 100_000_000);
        pass(i8042, bench, end, |_, bytes| told.extend(bytes));
        told
    };
    assert_eq!(event(&mut i8042, &mut bench, 5, 5, 0, 0), [0u32; 0], "not reporting yet");
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xf6, 0xf4]), [0xfa, 0xfa]);
    assert_eq!(event(&mut i8042, &mut bench, 10, -20, 0, 0b101), [0x2d, 10, 236]);
    assert_eq!(event(&mut i8042, &mut bench, -300, 0, 0, 0), [0x18, 2, 0, 0x18, 0xd2, 0], "in two packets");
    // Status: enabled, 1:1, no button; resolution and rate.
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xe9]), [0xfa, 0x20, 2, 100]);
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xe7]), [0xfa]);
    assert_eq!(event(&mut i8042, &mut bench, 4, -10, 0, 0), [0x28, 6, 236], "scaled 2:1");
    to_mouse(&mut i8042, &mut bench, &[0xe6, 0xf3, 200, 0xf3, 100, 0xf3, 80]);
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xf2]), [0xfa, 3]);
    assert_eq!(event(&mut i8042, &mut bench, 0, 0, -1, 0b010), [0x0a, 0, 0, 0xff]);
    to_mouse(&mut i8042, &mut bench, &[0xf3, 200, 0xf3, 200, 0xf3, 80]);
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xf2]), [0xfa, 4]);
    assert_eq!(event(&mut i8042, &mut bench, 0, 0, 1, 0b11000), [0x08, 0, 0, 0x31]);
    // Remote mode: packets when asked for.
    to_mouse(&mut i8042, &mut bench, &[0xf0]);
    assert_eq!(event(&mut i8042, &mut bench, 1, 2, 0, 0), [0u32; 0]);
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xeb]), [0xfa, 0x08, 1, 2, 0]);
    to_mouse(&mut i8042, &mut bench, &[0xea]);
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xee, 0x55, 0xec]), [0xfa, 0x55, 0xfa], "wrap mode");
}

/// Lets time pass to `end`; the guest reads all there is whenever something happens, and is told when.
fn pass(i8042: &mut I8042, bench: &mut Bench, end: u64, mut told: impl FnMut(u64, Vec<u32>)) {
    while let Some(at) = bench.clock.next().filter(|at| *at <= end) {
        bench.clock.advance_to(at);
        let (_, timer) = bench.clock.pop_due().unwrap();
        i8042.timer(&mut bench.cx(), timer.timer);
        told(at, drain(i8042, bench));
    }
    bench.clock.advance_to(end);
}

#[test]
fn a_click_is_told_though_the_mouse_had_no_room_for_it() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    to_mouse(&mut i8042, &mut bench, &[0xf4]);
    // A guest that reads nothing, for ten samples.
    for n in 0..10 {
        i8042.mouse(&mut bench.cx(), MouseEvent { dx: 1, dy: 0, wheel: 0, buttons: u8::from(n == 9) });
        bench.clock.advance_to(bench.clock.now() + 10_000_000);
    }
    assert!(!i8042.mouse_is_ready());
    let mut all = drain(&mut i8042, &mut bench);
    let end = bench.clock.now() + 100_000_000;
    pass(&mut i8042, &mut bench, end, |_, bytes| all.extend(bytes));
    let last = &all[all.len() - 3..];
    assert_eq!(last[0] & 1, 1);
    assert_eq!(all.chunks(3).map(|packet| packet[1]).sum::<u32>(), 10);
    assert!(i8042.mouse_is_ready());
}

#[test]
fn packets_come_as_often_as_the_sample_rate_says() {
    for (rate, period) in [(10u32, 100_000_000u64), (100, 10_000_000), (200, 5_000_000)] {
        let (mut i8042, mut bench) = (I8042::new(), Bench::new());
        to_mouse(&mut i8042, &mut bench, &[0xf3, rate, 0xf4]);
        let (mut times, mut moved) = (Vec::new(), 0);
        // The hand moves every ms.
        for ms in 1..1000u64 {
            i8042.mouse(&mut bench.cx(), MouseEvent { dx: 1, ..MouseEvent::default() });
            let mut told = |at, bytes: Vec<u32>| {
                times.extend(bytes.chunks(3).map(|_| at));
                moved += bytes.chunks(3).map(|packet| packet[1]).sum::<u32>();
            };
            told(bench.clock.now(), drain(&mut i8042, &mut bench));
            pass(&mut i8042, &mut bench, ms * 1_000_000, told);
        }
        assert_eq!(times.len() as u32, rate, "{rate} a second");
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == period), "{rate}: {times:?}");
        assert!(moved >= 999 - 1000 / rate, "{moved} of 999");
    }
}

#[test]
fn a_rate_that_is_none_is_asked_for_again() {
    let (mut i8042, mut bench) = (I8042::new(), Bench::new());
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xf3, 0, 99, 60]), [0xfa, 0xfe, 0xfe, 0xfa]);
    assert_eq!(to_mouse(&mut i8042, &mut bench, &[0xe9]), [0xfa, 0, 2, 60]);
}

#[test]
fn motion_is_counted_in_the_resolution() {
    for (resolution, counts) in [(0u32, 7), (1, 15), (2, 30), (3, 60)] {
        let (mut i8042, mut bench) = (I8042::new(), Bench::new());
        to_mouse(&mut i8042, &mut bench, &[0xe8, resolution, 0xf4]);
        let mut seen = 0;
        for ms in 1..=30 {
            i8042.mouse(&mut bench.cx(), MouseEvent { dx: -1, ..MouseEvent::default() });
            let mut bytes = drain(&mut i8042, &mut bench);
            pass(&mut i8042, &mut bench, ms * 20_000_000, |_, more| bytes.extend(more));
            seen += bytes.chunks(3).map(|packet| i32::from(packet[1] as u8 as i8)).sum::<i32>();
        }
        assert_eq!(seen, -counts, "resolution {resolution}");
    }
}

#[test]
fn characters_are_typed_as_on_a_us_keyboard() {
    let typed = |character| Key::typing(character).map(|(key, shift)| (key.name().unwrap(), shift));
    assert_eq!(typed('a'), Some(("a", false)));
    assert_eq!(typed('Z'), Some(("z", true)));
    assert_eq!(typed('?'), Some(("slash", true)));
    assert_eq!(typed('|'), Some(("backslash", true)));
    assert_eq!(typed('\n'), Some(("enter", false)));
    assert_eq!(typed(' '), Some(("space", false)));
    assert_eq!(typed('ä'), None);
    assert!((' '..='~').all(|character| Key::typing(character).is_some()));
}
