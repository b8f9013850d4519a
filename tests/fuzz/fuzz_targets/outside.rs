//! Bytes from outside: what the mutation test makes up, and whatever the coverage of earlier inputs leads to. An input is
//! the number of a machine, that of a kind, and the bytes.
#![no_main]

use amber_tests::Random;
use amber_tests::outside::mutate::case;
use amber_tests::outside::{Kind, Outside};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use std::sync::LazyLock;

static OUTSIDE: LazyLock<Outside> = LazyLock::new(Outside::new);

fuzz_target!(|input: &[u8]| {
    let [subject, kind, bytes @ ..] = input else { return };
    let subject = usize::from(*subject) % OUTSIDE.subjects();
    let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
    OUTSIDE.check(subject, kind, bytes);
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let (known, fresh) = (size > 2, case(&OUTSIDE, &mut Random(seed.into())));
    if (known && seed % 4 != 0) || fresh.bytes.len() + 2 > max_size {
        return fuzzer_mutate(data, size, max_size);
    }
    let kind = Kind::ALL.iter().position(|kind| *kind == fresh.kind).unwrap_or_default();
    (data[0], data[1]) = (fresh.subject as u8, kind as u8);
    data[2..2 + fresh.bytes.len()].copy_from_slice(&fresh.bytes);
    fresh.bytes.len() + 2
});
