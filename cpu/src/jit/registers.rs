//! Which host register holds which guest register while translated code runs.

/// A general register of the host, as encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host(pub u8);

/// The first scratch register: linear addresses, flags on their way (LAHF and SAHF work on AH).
pub(super) const RAX: Host = Host(0);
/// The second one: host addresses, shift counts.
pub(super) const RCX: Host = Host(1);
/// The stack pointer: base of the [`super::frame`].
pub(super) const RSP: Host = Host(4);
pub(super) const RDI: Host = Host(7);
pub(super) const RSI: Host = Host(6);
pub(super) const RDX: Host = Host(2);
/// Steps that may still be taken, less the length of the longest block: negative when it is time to leave.
pub(super) const BUDGET: Host = Host(15);
/// RSP of the guest.
pub(super) const GUEST_RSP: Host = Host(14);
/// RAX of the guest.
pub(super) const GUEST_RAX: Host = Host(10);
/// RCX of the guest.
pub(super) const GUEST_RCX: Host = Host(11);

/// Where a guest register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    Register(Host),
    /// In the frame, in this slot.
    Slot(u8),
}

/// Where each guest register is, by its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Homes([Home; 16]);

/// Those in the frame are the ones compilers use least.
const HOMES: [Home; 16] = [
    Home::Register(GUEST_RAX),
    Home::Register(GUEST_RCX),
    Home::Register(RDX),
    Home::Register(Host(3)),
    Home::Register(GUEST_RSP),
    Home::Register(Host(5)),
    Home::Register(RSI),
    Home::Register(RDI),
    Home::Register(Host(8)),
    Home::Register(Host(9)),
    Home::Slot(0),
    Home::Slot(1),
    Home::Register(Host(12)),
    Home::Register(Host(13)),
    Home::Slot(2),
    Home::Slot(3),
];

/// Guest registers that no instruction needs where they are.
const MOVABLE: [usize; 8] = [3, 5, 6, 7, 8, 9, 12, 13];

impl Homes {
    /// Between translations.
    pub const USUAL: Self = Self(HOMES);

    /// Where guest register `code` is.
    pub fn of(&self, code: u8) -> Home {
        self.0[usize::from(code & 15)]
    }

    /// As is best for code that uses these guest registers alone, a bit each; and what is to be exchanged for that.
    pub fn of_loop(used: u16) -> (Self, Vec<(Host, u8)>) {
        let (mut homes, mut exchanges) = (Self::USUAL, Vec::new());
        let uses = |n: &usize| used >> n & 1 != 0;
        let mut idle = MOVABLE.into_iter().filter(|n| !uses(n));
        for n in (0..16).filter(uses) {
            let Home::Slot(slot) = HOMES[n] else { continue };
            let Some(other) = idle.next() else { break };
            if let Home::Register(register) = HOMES[other] {
                homes.0.swap(n, other);
                exchanges.push((register, slot));
            }
        }
        (homes, exchanges)
    }
}

/// All guest registers with their homes.
pub(super) fn homes() -> impl Iterator<Item = (usize, Home)> {
    HOMES.into_iter().enumerate()
}
