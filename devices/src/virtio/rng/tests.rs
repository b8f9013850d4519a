use super::*;
use crate::pci::function::Function;
use crate::testing::{Memory, Random};
use crate::virtio::testing::{BUFFERS, Driver, operations};

const SLOT: u8 = 22;

fn driver(seed: u64) -> Driver<VirtioRng, Memory> {
    Driver::new(VirtioRng::new(SLOT, seed), Memory(vec![0; 0x1_0000]), 1, 0)
}

/// Asks for bytes, and gets them.
fn draw(driver: &mut Driver<VirtioRng, Memory>, len: u32) -> Vec<u8> {
    driver.offer(QUEUE, 0, None, Some((BUFFERS, len)));
    assert!(driver.pass());
    let written = driver.written(QUEUE) as usize;
    driver.bytes(BUFFERS, written)
}

#[test]
fn the_stream_is_one_of_the_seed_and_goes_on_whatever_the_pieces() {
    let (mut one, mut other) = (driver(7), driver(7));
    let whole = draw(&mut one, 100);
    let pieces: Vec<u8> = [1, 63, 36].into_iter().flat_map(|len| draw(&mut other, len)).collect();
    assert_eq!(whole, pieces);
    assert_ne!(draw(&mut driver(8), 100), whole);
    assert_ne!(draw(&mut one, 100), whole, "it goes on");
    let ones: u32 = draw(&mut one, 4096).iter().map(|byte| byte.count_ones()).sum();
    assert!((15_900..16_900).contains(&ones), "{ones} of 32768");
}

#[test]
fn a_reset_does_not_begin_the_stream_anew_and_neither_does_a_restore() {
    let mut driver = driver(1);
    let first = draw(&mut driver, 32);
    let section = driver.function.to_section("p/virtio-rng0");
    driver.with(|rng, cx| rng.reset(cx));
    driver.config(4, 2, 6);
    driver.start(0);
    let second = draw(&mut driver, 32);
    assert_ne!(first, second);
    driver.function = VirtioRng::new(SLOT, 1).restored(&section).unwrap();
    driver.start(0);
    assert_eq!(draw(&mut driver, 32), second);
}

#[test]
fn a_request_lands_at_its_time_and_is_no_longer_than_a_page() {
    let mut driver = driver(0);
    driver.offer(QUEUE, 0, None, Some((BUFFERS, 64)));
    assert_eq!(driver.clock.next(), Some(REQUEST_NS + 64 * BYTE_NS));
    assert_eq!(driver.bytes(BUFFERS, 64), [0; 64]);
    driver.pass();
    assert_ne!(driver.bytes(BUFFERS, 64), [0; 64]);
    driver.offer(QUEUE, 0, None, Some((BUFFERS, u32::MAX)));
    driver.pass();
    assert_eq!(u64::from(driver.written(QUEUE)), BYTES_MAX);
}

#[test]
fn what_no_source_comes_to_is_refused() {
    let mut driver = driver(0);
    driver.offer(QUEUE, 0, None, Some((BUFFERS, 64)));
    let refused = |change: fn(&mut Registers)| {
        let mut other = driver.function.clone();
        change(&mut other.registers);
        driver.function.restored(&other.to_section("p/virtio-rng0")).unwrap_err().to_string()
    };
    assert!(refused(|registers| registers.position = u64::MAX).contains("position"));
    assert!(refused(|registers| registers.transport.queues.clear()).contains("queues"));
    assert!(refused(|registers| registers.in_flight.push(8, 0, 0)).contains("in_flight"));
    assert!(refused(|registers| registers.in_flight.push(0, u64::MAX, 0)).contains("in_flight"));
}

#[test]
fn hostile_drivers_are_survived() {
    let (mut random, mut drawn) = (Random(0x4e9), 0);
    for _ in 0..operations().div_ceil(500) {
        let mut driver =
            Driver::new(VirtioRng::new(SLOT, 3), Memory(vec![0; 0x1_0000]), 1, random.next() & F_INDIRECT);
        for _ in 0..500 {
            driver.do_harm(&mut random, &[1, 16, 64, 5000]);
            driver.drain();
        }
        drawn += driver.function.registers.position;
        driver.end();
    }
    assert!(drawn > 1000, "only {drawn} bytes were drawn");
}
