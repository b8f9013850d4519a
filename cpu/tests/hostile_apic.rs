//! A local APIC and software that does anything with it: no panic, no timer that stays due, and no interrupt from nowhere.

use amber_cpu::apic::{BASE_ENABLE, BASE_X2, Destination, LocalApic, Message, Wish};

/// Operations, unless `AMBER_HOSTILE` says how many.
const OPERATIONS: u64 = 500_000;
/// Operations of one life, from power-up.
const LIFE: u64 = 1000;
const PHYSICAL_BITS: u8 = 46;

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// An APIC, what was sent to it, and the time.
struct Bench {
    apic: LocalApic,
    now: u64,
    delivered: u64,
    ended: u64,
}

impl Bench {
    fn take(&mut self, message: Message) {
        if self.apic.matches(message.destination) {
            self.apic.accept(message.vector, message.level);
        }
    }

    fn write(&mut self, random: &mut Random) {
        let register = random.of(&[
            0x08,
            0x0b,
            0x0b,
            0x0d,
            0x0e,
            0x0f,
            0x28,
            0x30,
            0x31,
            0x32,
            0x32,
            0x35,
            0x36,
            0x37,
            0x38,
            0x38,
            0x3e,
            random.0 as u32 & 0xff,
        ]);
        let word = random.next() as u32;
        let vector = word & 0xff;
        let value = random.of(&[
            word,
            vector,
            0,
            0x1ff,
            0x11ff,
            0x2_0000 | vector,
            0x4_0000 | vector,
            0x1_0000,
            0x4_0000 | word & 0xfff,
            0x8_0000 | vector,
            0xb,
            3,
            1000,
        ]);
        let wish = if register == 0x30 && self.apic.x2apic() {
            self.apic.write_icr(u64::from(word) << 32 | u64::from(value))
        } else {
            self.apic.write(register, value, self.now)
        };
        match wish {
            Wish::Send(message) => self.take(message),
            Wish::Eoi(_) => self.ended += 1,
            Wish::None => {}
        }
    }

    /// The processor takes what is to be delivered.
    fn deliver(&mut self) {
        if let Some(vector) = self.apic.deliverable() {
            assert!(vector >= 16 && vector >> 4 > self.apic.ppr() >> 4, "vector {vector}");
            self.apic.acknowledge(vector);
            assert!(self.apic.ppr() >> 4 >= vector >> 4);
            assert!(self.apic.deliverable().is_none_or(|next| next >> 4 > vector >> 4));
            self.delivered += 1;
        }
    }

    fn pass(&mut self, ns: u64) {
        self.now += ns;
        self.apic.run_timer(self.now);
        assert!(self.apic.timer_expires().is_none_or(|at| at > self.now), "a timer that stays due");
    }

    fn act(&mut self, random: &mut Random) {
        match random.below(16) {
            0..7 => self.write(random),
            7 => drop(self.apic.read(random.below(0x100) as u32, self.now)),
            8 => {
                let address = random.of(&[0xfee0_0000, 0xfeef_f000, 0xfee0_0004, 0xfec0_0000])
                    | random.below(0x1_0000) << 4;
                Message::from_msi(address, random.next() as u32)
                    .into_iter()
                    .for_each(|message| self.take(message));
            }
            9 => {
                let destination = Destination::Logical(random.next() as u32);
                let _ = self.apic.matches(destination);
                self.apic.accept(random.next() as u8, random.below(2) == 0);
            }
            10 => self.apic.set_cr8(random.next()),
            11 => {
                let later = self.now + random.below(1_000_000);
                let at = random.of(&[None, Some(self.now + 1), Some(later)]);
                self.apic.set_deadline(at.or_else(|| (random.below(2) == 0).then_some(u64::MAX)));
            }
            12 => {
                let base = random.of(&[0xfee0_0000, 0, 0x1000, 0xfec0_0000, random.0]);
                let mode = random.of(&[BASE_ENABLE, BASE_ENABLE, BASE_ENABLE | BASE_X2, 0, BASE_X2]);
                let before = self.apic.base;
                let taken = self.apic.set_base(base | mode, PHYSICAL_BITS);
                assert!(taken || self.apic.base == before);
                // Software switches it on again.
                self.apic.write(0x0f, 0x1ff, self.now);
            }
            13 if random.below(64) == 0 => self.apic.init(),
            13 => self.pass(random.of(&[1, 10, 5_000_000_000])),
            _ => {
                let ns = random.below(100_000);
                self.pass(ns);
                self.deliver();
            }
        }
    }
}

#[test]
fn hostile_software_is_survived() {
    let operations = std::env::var("AMBER_HOSTILE").ok().and_then(|text| text.parse().ok());
    let lives = operations.unwrap_or(OPERATIONS).div_ceil(LIFE);
    let mut random = Random(0x5eed);
    let (mut delivered, mut ended) = (0, 0);
    for life in 0..lives {
        let apic = LocalApic::new((life % 300) as u32, life % 2 == 0);
        let mut bench = Bench { apic, now: 0, delivered: 0, ended: 0 };
        bench.apic.write(0x0f, 0x1ff, 0);
        for _ in 0..LIFE {
            bench.act(&mut random);
        }
        delivered += bench.delivered;
        ended += bench.ended;
    }
    assert!(delivered > 10 * lives && ended > lives, "{delivered} delivered, {ended} ended in {lives} lives");
}
