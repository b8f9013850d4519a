//! The virtio console of a machine: bytes for it come in at the same looks at the host as other input, as many as the guest
//! has room for, and are logged.

use super::{HostIo, Machine};
use crate::input::Input;
use amber_devices::{CONSOLE_PORTS, Peripheral};

/// Most times a port is given bytes at one look.
const AT_ONCE: usize = 16;

impl Machine {
    /// Whether there is a virtio console.
    pub fn has_console(&self) -> bool {
        self.equipment.peripherals.all().any(|own| own == Peripheral::VirtioConsole)
    }

    /// Asks the host for bytes while the guest has room for them; whether there were any.
    pub(super) fn take_console(&mut self, host: &mut dyn HostIo, idle: Option<u64>) -> bool {
        if !self.has_console() {
            return false;
        }
        // The channel first: only the console may be waited for.
        let mut any = false;
        for port in (0..CONSOLE_PORTS).rev() {
            any |= self.take_port(host, port, idle.filter(|_| port == 0 && !any));
        }
        any
    }

    fn take_port(&mut self, host: &mut dyn HostIo, port: u8, idle: Option<u64>) -> bool {
        for n in 0..AT_ONCE {
            let room = self.with_dma(|platform, dma| platform.console_room(dma, port));
            if room == 0 {
                return n != 0;
            }
            let mut bytes = host.console_input(self.position.step, port, room, idle.filter(|_| n == 0));
            bytes.truncate(room);
            if bytes.is_empty() {
                return n != 0;
            }
            self.with_dma(|platform, dma| platform.console_input(dma, port, &bytes));
            self.note(host, Input::Console { port, bytes });
        }
        true
    }
}
