//! Commands (xHCI 1.2, 4.6).

use super::event::{COMMAND_EVENT, Code, Event};
use super::ring::{Ring, Trb};
use super::slot::{CONTEXT, ENDPOINTS, Endpoint, Input, Slot, State, ring_of};
use super::{Registers, SLOTS, Xhci};
use crate::device::DeviceCtx;

const ENABLE_SLOT: u8 = 9;
const DISABLE_SLOT: u8 = 10;
const ADDRESS_DEVICE: u8 = 11;
const CONFIGURE_ENDPOINT: u8 = 12;
const EVALUATE_CONTEXT: u8 = 13;
const RESET_ENDPOINT: u8 = 14;
const STOP_ENDPOINT: u8 = 15;
const SET_DEQUEUE: u8 = 16;
const RESET_DEVICE: u8 = 17;
const NO_OP: u8 = 23;
/// Address Device: the device gets no address. Configure Endpoint: it loses all endpoints.
const BLOCK: u32 = 1 << 9;
/// Commands in a row, after which others get a turn.
const AT_ONCE: usize = 64;

const DEFAULT: u8 = 1;
const ADDRESSED: u8 = 2;
const CONFIGURED: u8 = 3;

impl Xhci {
    /// Takes commands that wait; whether more may.
    pub(super) fn commands(&mut self, cx: &mut DeviceCtx) -> bool {
        for _ in 0..AT_ONCE {
            if !self.registers.commands_rung || !self.registers.runs() {
                return false;
            }
            let Some(trb) = self.registers.commands.next(cx) else {
                self.registers.commands_rung = false;
                return false;
            };
            let (code, slot) = self.command(cx, &trb);
            let event = Event { slot, ..Event::new(COMMAND_EVENT, trb.at, code) };
            self.registers.push(cx, 0, &event);
        }
        true
    }

    fn command(&mut self, cx: &mut DeviceCtx, trb: &Trb) -> (Code, u8) {
        let slot = trb.slot();
        let code = match trb.kind() {
            ENABLE_SLOT => return self.enable_slot(),
            NO_OP => Code::Success,
            DISABLE_SLOT..=RESET_DEVICE if !self.has_slot(slot) => Code::SlotNotEnabled,
            DISABLE_SLOT => {
                self.registers.slots[usize::from(slot) - 1] = Slot::new();
                Code::Success
            }
            ADDRESS_DEVICE => self.address(cx, slot, trb),
            CONFIGURE_ENDPOINT => self.configure(cx, slot, trb),
            EVALUATE_CONTEXT => self.evaluate(cx, slot, trb),
            RESET_ENDPOINT => self.change(cx, slot, trb.endpoint(), &[State::Halted], |_| {}),
            STOP_ENDPOINT => self.change(cx, slot, trb.endpoint(), &[State::Running], |_| {}),
            SET_DEQUEUE => {
                let ring = Ring::at(trb.parameter);
                self.change(cx, slot, trb.endpoint(), &[State::Stopped, State::Error], |endpoint| {
                    endpoint.ring = ring
                })
            }
            RESET_DEVICE => self.reset_device(cx, slot),
            _ => Code::TrbError,
        };
        (code, slot)
    }

    fn has_slot(&self, number: u8) -> bool {
        let index = usize::from(number).checked_sub(1);
        index.and_then(|index| self.registers.slots.get(index)).is_some_and(|slot| slot.enabled)
    }

    fn slot(&mut self, number: u8) -> &mut Slot {
        &mut self.registers.slots[usize::from(number) - 1]
    }

    fn enable_slot(&mut self) -> (Code, u8) {
        let most = usize::from(self.registers.config as u8).min(SLOTS);
        let free = self.registers.slots.iter().take(most).position(|slot| !slot.enabled);
        let Some(index) = free else { return (Code::NoSlots, 0) };
        self.registers.slots[index] = Slot { enabled: true, ..Slot::new() };
        (Code::Success, index as u8 + 1)
    }

    /// Address Device (4.6.5): the slot gets its port, its context and its default endpoint.
    fn address(&mut self, cx: &mut DeviceCtx, number: u8, trb: &Trb) -> Code {
        let input = Input::read(cx, trb.parameter);
        let (slot, endpoint) = (input.context(cx, 0), input.context(cx, 1));
        let port = slot[6];
        let there = self.device_at(port).is_some() && self.port(port).is_some_and(|port| port.is_enabled());
        let taken = self
            .registers
            .slots
            .iter()
            .any(|slot| slot.enabled && slot.state >= DEFAULT && slot.port == port);
        let first = self.slot(number).state == 0;
        if input.add & 3 != 3 {
            return Code::ParameterError;
        }
        if !there || (taken && first) {
            return Code::TrbError;
        }
        let mut pointer = [0; 8];
        cx.dma.read(self.registers.dcbaap.wrapping_add(u64::from(number) * 8), &mut pointer);
        let address = if trb.control & BLOCK != 0 { 0 } else { number };
        let own = self.slot(number);
        own.context = u64::from_le_bytes(pointer) & !0x3f;
        own.port = port;
        own.state = if address == 0 { DEFAULT } else { ADDRESSED };
        own.endpoints[0] = Endpoint { state: State::Running, ring: ring_of(&endpoint), rung: false };
        cx.dma.write(own.context, &slot);
        cx.dma.write(own.context.wrapping_add(CONTEXT), &endpoint);
        own.store_state(cx, address);
        own.store_endpoint(cx, 1);
        Code::Success
    }

    /// Configure Endpoint (4.6.6).
    fn configure(&mut self, cx: &mut DeviceCtx, number: u8, trb: &Trb) -> Code {
        let own = self.slot(number);
        if own.state < ADDRESSED {
            return Code::ContextState;
        }
        let input = Input::read(cx, trb.parameter);
        let (drop, add) = if trb.control & BLOCK != 0 { (!3, 0) } else { (input.drop, input.add) };
        for index in 2..=ENDPOINTS as u8 {
            let endpoint = &mut own.endpoints[usize::from(index) - 1];
            if drop >> index & 1 != 0 && endpoint.state != State::Disabled {
                *endpoint = Endpoint::default();
                own.store_endpoint(cx, index);
            }
            if add >> index & 1 != 0 {
                let context = input.context(cx, index);
                cx.dma.write(own.context.wrapping_add(u64::from(index) * CONTEXT), &context);
                own.endpoints[usize::from(index) - 1] =
                    Endpoint { state: State::Running, ring: ring_of(&context), rung: false };
                own.store_endpoint(cx, index);
            }
        }
        let last = (1..=ENDPOINTS)
            .rev()
            .find(|index| own.endpoints[index - 1].state != State::Disabled)
            .unwrap_or(1);
        own.state = if last > 1 { CONFIGURED } else { ADDRESSED };
        own.store_entries(cx, last as u8);
        own.store_state(cx, number);
        Code::Success
    }

    /// Evaluate Context (4.6.7): exit latency and interrupter of the slot, packet size of the default endpoint.
    fn evaluate(&mut self, cx: &mut DeviceCtx, number: u8, trb: &Trb) -> Code {
        let input = Input::read(cx, trb.parameter);
        let own = self.slot(number);
        if own.state < DEFAULT {
            return Code::ContextState;
        }
        if input.add & 1 != 0 {
            let slot = input.context(cx, 0);
            cx.dma.write(own.context.wrapping_add(4), &slot[4..6]);
            cx.dma.write(own.context.wrapping_add(11), &slot[11..12]);
        }
        if input.add & 2 != 0 {
            let endpoint = input.context(cx, 1);
            cx.dma.write(own.context.wrapping_add(CONTEXT + 6), &endpoint[6..8]);
        }
        Code::Success
    }

    /// An endpoint in one of the states `from` is stopped, and `with` changes it.
    fn change(
        &mut self,
        cx: &mut DeviceCtx,
        number: u8,
        index: u8,
        from: &[State],
        with: impl FnOnce(&mut Endpoint),
    ) -> Code {
        let own = self.slot(number);
        let Some(endpoint) = own.endpoints.get_mut(usize::from(index).wrapping_sub(1)) else {
            return Code::TrbError;
        };
        match endpoint.state {
            State::Disabled => return Code::EndpointNotEnabled,
            state if !from.contains(&state) => return Code::ContextState,
            _ => {}
        }
        with(endpoint);
        (endpoint.state, endpoint.rung) = (State::Stopped, false);
        own.store_endpoint(cx, index);
        Code::Success
    }

    /// Reset Device (4.6.11): nothing is left but the default endpoint.
    fn reset_device(&mut self, cx: &mut DeviceCtx, number: u8) -> Code {
        let own = self.slot(number);
        if own.state < ADDRESSED {
            return Code::ContextState;
        }
        for index in 2..=ENDPOINTS as u8 {
            own.endpoints[usize::from(index) - 1] = Endpoint::default();
            own.store_endpoint(cx, index);
        }
        own.state = DEFAULT;
        own.store_entries(cx, 1);
        own.store_state(cx, 0);
        Code::Success
    }
}

impl Registers {
    /// Appends an event to the ring of an interrupter.
    pub(super) fn push(&mut self, cx: &mut DeviceCtx, interrupter: u16, event: &Event) {
        let count = self.interrupters.len() as u16;
        if let Some(interrupter) = self.interrupters.get_mut(usize::from(interrupter % count.max(1))) {
            interrupter.push(cx, event);
            self.event_interrupt = true;
        }
    }
}
