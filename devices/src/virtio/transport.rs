//! The PCI transport of virtio 1.x (virtio 1.2, 4.1): what driver and device agree on, and where the queues are.
//!
//! BAR 1 shows the MSI-X table, BAR 4 the four structures, each on a page of its own, as QEMU's devices have them.

use super::queue::{NO_VECTOR, Queue, RingFeatures, is_size};
use crate::device::{DeviceCtx, size_mask};
use crate::pci::config::{ConfigSpace, Identity};
use crate::pci::endpoint::{Bar, BarKind, Endpoint, Layout, Window};
use crate::pci::msix::MSIX_LEN;
use amber_snapshot::Schema;
use serde::{Deserialize, Serialize};

const MSIX_BAR: u8 = 1;
const BAR: u8 = 4;
const BAR_LEN: u64 = 0x4000;
const STRUCTURE_LEN: u64 = 0x1000;
const COMMON: u64 = 0x0000;
const ISR: u64 = 0x1000;
const DEVICE: u64 = 0x2000;
const NOTIFY: u64 = 0x3000;
/// A queue's doorbell is at its number times this.
const NOTIFY_MULTIPLIER: u32 = 4;

pub(super) static BARS: [Bar; 2] = [
    Bar { index: MSIX_BAR, kind: BarKind::Memory32 { prefetchable: false }, len: MSIX_LEN },
    Bar { index: BAR, kind: BarKind::Memory64 { prefetchable: true }, len: BAR_LEN },
];

/// Layout of a function for virtio device `device_type` with `vectors` messages.
pub(super) const fn layout(device_type: u16, class_revision: u32, vectors: u16) -> Layout {
    let vendor_device = (0x1040 + device_type as u32) << 16 | 0x1af4;
    let identity = Identity { vendor_device, class_revision, multifunction: false, interrupt_pin: 1 };
    Layout { identity, bars: &BARS, msix_bar: MSIX_BAR, vectors }
}

/// Vendor-specific capability.
const CAPABILITY: u8 = 0x09;
const TYPE_COMMON: u8 = 1;
const TYPE_NOTIFY: u8 = 2;
const TYPE_ISR: u8 = 3;
const TYPE_DEVICE: u8 = 4;
const TYPE_ACCESS: u8 = 5;
/// Bytes of the MSI-X capability in front of the others, and of each of virtio's but those with a field more.
const CAPABILITY_LEN: u16 = 0x10;
/// Where the capability for access through configuration space is, and its fields that software writes.
const ACCESS_AT: u16 = 0x4c + 3 * CAPABILITY_LEN + CAPABILITY_LEN + 4;
const ACCESS_BAR: u16 = ACCESS_AT + 4;
const ACCESS_OFFSET: u16 = ACCESS_AT + 8;
const ACCESS_LEN: u16 = ACCESS_AT + 12;
const ACCESS_DATA: u16 = ACCESS_AT + 16;
const ACCESS_END: u16 = ACCESS_DATA + 4;

pub(super) const STATUS_DRIVER_OK: u8 = 4;
const STATUS_FEATURES_OK: u8 = 8;
const STATUS_NEEDS_RESET: u8 = 0x40;
/// ISR: a queue was used; the configuration changed.
const ISR_QUEUE: u8 = 1;
const ISR_CONFIG: u8 = 2;

pub(super) const F_INDIRECT: u64 = 1 << 28;
pub(super) const F_EVENT_INDEX: u64 = 1 << 29;
pub(super) const F_VERSION_1: u64 = 1 << 32;

/// What the device behind a transport is: configuration, no state.
pub(super) struct Offer<'a> {
    pub layout: &'static Layout,
    pub features: u64,
    /// Device-specific configuration.
    pub config: &'a [u8],
    /// How often that has changed.
    pub generation: u8,
    pub slot: u8,
}

/// What an access asks of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Nothing,
    /// The driver rang the bell of a queue.
    Notify(u16),
    /// The driver reset the device.
    Reset,
    /// What the function may do changed: look at everything again.
    Look,
}

/// Configuration space and registers of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Schema)]
pub(super) struct Transport {
    endpoint: Endpoint,
    device_feature_select: u32,
    driver_feature_select: u32,
    driver_features: u64,
    config_vector: u16,
    status: u8,
    queue_select: u16,
    isr: u8,
    pub queues: Vec<Queue>,
}

impl Transport {
    /// Out of reset, with `queues` queues.
    pub fn new(layout: &'static Layout, queues: usize) -> Self {
        Self {
            endpoint: Endpoint::new(layout, &capabilities()),
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            status: 0,
            queue_select: 0,
            isr: 0,
            queues: vec![Queue::new(); queues],
        }
    }

    /// The device is as after power-on; configuration space and MSI-X table stay (4.1.4.3.1).
    fn reset_device(&mut self, cx: &mut DeviceCtx, slot: u8) {
        let queues = vec![Queue::new(); self.queues.len()];
        let fresh = Self {
            endpoint: self.endpoint.clone(),
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: 0,
            config_vector: NO_VECTOR,
            status: 0,
            queue_select: 0,
            isr: 0,
            queues,
        };
        *self = fresh;
        self.endpoint.set_interrupt(cx, slot, false);
    }

    pub fn endpoint_mut(&mut self) -> &mut Endpoint {
        &mut self.endpoint
    }

    /// Whether driver and device agreed on a feature.
    pub fn has(&self, feature: u64) -> bool {
        self.driver_features & feature != 0
    }

    /// What they agreed on about queues.
    pub fn ring_features(&self) -> RingFeatures {
        RingFeatures { indirect: self.has(F_INDIRECT), event_index: self.has(F_EVENT_INDEX) }
    }

    /// Whether queue `n` is to be served: the driver is ready, the queue on, and memory can be reached.
    pub fn serves(&self, n: u16) -> bool {
        let ready = self.status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET) == STATUS_DRIVER_OK;
        ready
            && self.endpoint.is_master()
            && self.queues.get(usize::from(n)).is_some_and(|queue| queue.enabled)
    }

    /// The driver did what makes no sense: nothing more happens until it resets the device.
    pub fn fail(&mut self, cx: &mut DeviceCtx, slot: u8) {
        self.status |= STATUS_NEEDS_RESET;
        self.interrupt_config(cx, slot);
    }

    /// Tells the driver that the device-specific configuration has changed.
    pub fn interrupt_config(&mut self, cx: &mut DeviceCtx, slot: u8) {
        if self.status & STATUS_DRIVER_OK != 0 {
            self.interrupt(cx, slot, self.config_vector, ISR_CONFIG);
        }
    }

    /// Tells the driver that queue `n` was used.
    pub fn interrupt_queue(&mut self, cx: &mut DeviceCtx, slot: u8, n: u16) {
        let vector = self.queues.get(usize::from(n)).map_or(NO_VECTOR, |queue| queue.vector);
        self.interrupt(cx, slot, vector, ISR_QUEUE);
    }

    fn interrupt(&mut self, cx: &mut DeviceCtx, slot: u8, vector: u16, cause: u8) {
        if self.endpoint.has_msix() {
            self.endpoint.send(cx.effects, vector);
        } else {
            self.isr |= cause;
            self.endpoint.set_interrupt(cx, slot, true);
        }
    }

    /// Where the BARs are now.
    pub fn windows(&self, layout: &'static Layout) -> Vec<Window> {
        self.endpoint.windows(layout).collect()
    }

    /// Reads a BAR.
    pub fn read(&mut self, cx: &mut DeviceCtx, offer: &Offer, bar: u8, offset: u64, size: u8) -> u64 {
        if bar == MSIX_BAR {
            return self.endpoint.msix_read(offset, size);
        }
        let at = (offset % STRUCTURE_LEN) as usize;
        match offset - offset % STRUCTURE_LEN {
            COMMON => little_endian(&self.common(offer), at, size),
            ISR if at == 0 => {
                // Reading takes the interrupt down.
                let isr = std::mem::take(&mut self.isr);
                self.endpoint.set_interrupt(cx, offer.slot, false);
                u64::from(isr)
            }
            DEVICE => little_endian(offer.config, at, size),
            _ => 0,
        }
    }

    /// The common configuration structure (4.1.4.3).
    fn common(&self, offer: &Offer) -> Vec<u8> {
        let window = |features: u64, select: u32| match select {
            0 => features as u32,
            1 => (features >> 32) as u32,
            _ => 0,
        };
        let mut bytes = Vec::with_capacity(0x40);
        bytes.extend(self.device_feature_select.to_le_bytes());
        bytes.extend(window(offer.features, self.device_feature_select).to_le_bytes());
        bytes.extend(self.driver_feature_select.to_le_bytes());
        bytes.extend(window(self.driver_features, self.driver_feature_select).to_le_bytes());
        bytes.extend(self.config_vector.to_le_bytes());
        bytes.extend((self.queues.len() as u16).to_le_bytes());
        bytes.extend([self.status, offer.generation]);
        bytes.extend(self.queue_select.to_le_bytes());
        if let Some(queue) = self.queues.get(usize::from(self.queue_select)) {
            for word in [queue.size, queue.vector, u16::from(queue.enabled), self.queue_select] {
                bytes.extend(word.to_le_bytes());
            }
            for address in [queue.descriptors, queue.driver, queue.device] {
                bytes.extend(address.to_le_bytes());
            }
        }
        bytes
    }

    /// Writes a BAR.
    pub fn write(
        &mut self,
        cx: &mut DeviceCtx,
        offer: &Offer,
        bar: u8,
        offset: u64,
        size: u8,
        value: u64,
    ) -> Request {
        if bar == MSIX_BAR {
            self.endpoint.msix_write(cx.effects, offset, size, value);
            return Request::Nothing;
        }
        let at = offset % STRUCTURE_LEN;
        match offset - at {
            COMMON if size == 8 => {
                self.write_common(cx, offer, at, 4, value as u32);
                self.write_common(cx, offer, at + 4, 4, (value >> 32) as u32)
            }
            COMMON => self.write_common(cx, offer, at, size, value as u32),
            NOTIFY => Request::Notify((at / u64::from(NOTIFY_MULTIPLIER)) as u16),
            _ => Request::Nothing,
        }
    }

    fn write_common(&mut self, cx: &mut DeviceCtx, offer: &Offer, at: u64, size: u8, value: u32) -> Request {
        match (at, size) {
            (0x00, 4) => self.device_feature_select = value,
            (0x08, 4) => self.driver_feature_select = value,
            (0x0c, 4) => self.write_features(value),
            (0x10, 2) => self.config_vector = self.vector(value),
            (0x14, 1) => return self.write_status(cx, offer, value as u8),
            (0x16, 2) => self.queue_select = value as u16,
            (0x18..0x38, _) => self.write_queue(at, size, value),
            _ => {}
        }
        Request::Nothing
    }

    fn write_features(&mut self, value: u32) {
        let shift = match self.driver_feature_select {
            0 => 0,
            1 => 32,
            _ => return,
        };
        if self.status & STATUS_FEATURES_OK == 0 {
            self.driver_features = self.driver_features & !(0xffff_ffff << shift) | u64::from(value) << shift;
        }
    }

    /// The vector a driver asked for, if there is such a one (4.1.5.1.2).
    fn vector(&self, value: u32) -> u16 {
        if value < u32::from(self.endpoint.vectors()) { value as u16 } else { NO_VECTOR }
    }

    fn write_status(&mut self, cx: &mut DeviceCtx, offer: &Offer, value: u8) -> Request {
        if value == 0 {
            self.reset_device(cx, offer.slot);
            return Request::Reset;
        }
        let mut status = value & !STATUS_NEEDS_RESET | self.status & STATUS_NEEDS_RESET;
        let wanted = self.driver_features;
        if status & STATUS_FEATURES_OK != 0 && (wanted & !offer.features != 0 || wanted & F_VERSION_1 == 0) {
            status &= !STATUS_FEATURES_OK;
        }
        self.status = status;
        Request::Look
    }

    fn write_queue(&mut self, at: u64, size: u8, value: u32) {
        let vector = self.vector(value);
        let Some(queue) = self.queues.get_mut(usize::from(self.queue_select)) else { return };
        let place = match (at, size) {
            (0x1a, 2) => {
                queue.vector = vector;
                return;
            }
            (0x18, 2) if !queue.enabled && is_size(value as u16) => {
                queue.size = value as u16;
                return;
            }
            (0x1c, 2) => {
                queue.enabled |= value as u16 == 1;
                return;
            }
            (0x20 | 0x24, 4) => &mut queue.descriptors,
            (0x28 | 0x2c, 4) => &mut queue.driver,
            (0x30 | 0x34, 4) => &mut queue.device,
            _ => return,
        };
        if !queue.enabled {
            let shift = at % 8 * 8;
            *place = *place & !(0xffff_ffff << shift) | u64::from(value) << shift;
        }
    }

    /// Reads `size` bytes of configuration space.
    pub fn config_read(&mut self, cx: &mut DeviceCtx, offer: &Offer, offset: u16, size: u8) -> u64 {
        if touches(offset, size, ACCESS_DATA, ACCESS_END)
            && let Some((bar, at, len)) = self.access(offer)
        {
            let value = self.read(cx, offer, bar, at, len) & size_mask(len);
            self.endpoint.config_mut().set_u32(ACCESS_DATA, value as u32);
        }
        self.endpoint.read_bytes(offset, size)
    }

    /// Writes `size` bytes of configuration space.
    pub fn config_write(
        &mut self,
        cx: &mut DeviceCtx,
        offer: &Offer,
        offset: u16,
        size: u8,
        value: u64,
    ) -> Request {
        for (at, byte) in (offset..).zip(value.to_le_bytes()).take(usize::from(size)) {
            match at {
                ACCESS_BAR | ACCESS_OFFSET..ACCESS_END => self.endpoint.config_mut().set_u8(at, byte),
                _ => self.endpoint.write(offer.layout, at, byte),
            }
        }
        self.endpoint.changed(cx, offer.slot);
        if touches(offset, size, ACCESS_DATA, ACCESS_END)
            && let Some((bar, at, len)) = self.access(offer)
        {
            let data = u64::from(self.endpoint.config().u32(ACCESS_DATA)) & size_mask(len);
            return self.write(cx, offer, bar, at, len, data);
        }
        Request::Look
    }

    /// What the window in configuration space shows now (4.1.4.9): BAR, offset and size, if they make sense.
    fn access(&self, offer: &Offer) -> Option<(u8, u64, u8)> {
        let config: &ConfigSpace = self.endpoint.config();
        let (index, offset) = (config.u8(ACCESS_BAR), u64::from(config.u32(ACCESS_OFFSET)));
        let size = u8::try_from(config.u32(ACCESS_LEN)).ok().filter(|size| matches!(size, 1 | 2 | 4))?;
        let bar = offer.layout.bars.iter().find(|bar| bar.index == index)?;
        let inside = offset.is_multiple_of(u64::from(size)) && offset < bar.len;
        inside.then_some((index, offset, size))
    }

    /// The first field that holds what no transport of this layout comes to.
    pub fn impossible(&self, offer: &Offer, queues: usize) -> Option<&'static str> {
        let vectors = offer.layout.vectors;
        let fresh = Endpoint::new(offer.layout, &capabilities());
        if !self.endpoint.is_like(&fresh, offer.layout, ACCESS_BAR..ACCESS_END) {
            return Some("endpoint");
        }
        if self.config_vector >= vectors && self.config_vector != NO_VECTOR {
            return Some("config_vector");
        }
        let good =
            self.queues.len() == queues && self.queues.iter().all(|queue| queue.is_consistent(vectors));
        (!good).then_some("queues")
    }
}

/// The structures by their capabilities, in the order QEMU's devices have them but for the last.
fn capabilities() -> Vec<(u8, Vec<u8>)> {
    let capability = |kind: u8, bar: u8, offset: u64, len: u64, more: &[u8]| {
        let mut body = vec![CAPABILITY_LEN as u8 + more.len() as u8, kind, bar, 0, 0, 0];
        body.extend((offset as u32).to_le_bytes());
        body.extend((len as u32).to_le_bytes());
        body.extend(more);
        (CAPABILITY, body)
    };
    vec![
        capability(TYPE_COMMON, BAR, COMMON, STRUCTURE_LEN, &[]),
        capability(TYPE_ISR, BAR, ISR, STRUCTURE_LEN, &[]),
        capability(TYPE_DEVICE, BAR, DEVICE, STRUCTURE_LEN, &[]),
        capability(TYPE_NOTIFY, BAR, NOTIFY, STRUCTURE_LEN, &NOTIFY_MULTIPLIER.to_le_bytes()),
        capability(TYPE_ACCESS, 0, 0, 0, &[0; 4]),
    ]
}

/// Whether `size` bytes from `offset` on reach into `start..end`.
fn touches(offset: u16, size: u8, start: u16, end: u16) -> bool {
    offset < end && offset.saturating_add(u16::from(size)) > start
}

/// `size` bytes of a structure from `at` on; zeroes behind its end.
fn little_endian(bytes: &[u8], at: usize, size: u8) -> u64 {
    let rest = bytes.get(at..).unwrap_or(&[]);
    (0..usize::from(size))
        .fold(0, |value, index| value | u64::from(rest.get(index).copied().unwrap_or(0)) << (index * 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    static LAYOUT: Layout = layout(2, 0x0100_0001, 2);
    const OFFER: Offer<'static> = Offer {
        layout: &LAYOUT,
        features: F_VERSION_1 | F_INDIRECT,
        config: &[1, 2, 3, 4, 5],
        generation: 7,
        slot: 3,
    };

    fn set(transport: &mut Transport, bench: &mut Bench, at: u64, size: u8, value: u64) -> Request {
        transport.write(&mut bench.cx(), &OFFER, BAR, at, size, value)
    }

    fn get(transport: &mut Transport, bench: &mut Bench, at: u64, size: u8) -> u64 {
        transport.read(&mut bench.cx(), &OFFER, BAR, at, size)
    }

    #[test]
    fn capabilities_name_the_structures() {
        let config = Transport::new(&LAYOUT, 1).endpoint.config().clone();
        assert_eq!(config.u32(0), 0x1042_1af4);
        let (mut at, mut kinds) = (config.u8(0x34), Vec::new());
        while at != 0 {
            let at_u16 = u16::from(at);
            if config.u8(at_u16) == CAPABILITY {
                kinds.push(config.u8(at_u16 + 3));
                assert!(config.u8(at_u16 + 2) >= 16);
            }
            if config.u8(at_u16 + 3) == TYPE_ACCESS {
                assert_eq!(at_u16, ACCESS_AT);
            }
            at = config.u8(at_u16 + 1);
        }
        assert_eq!(kinds, [TYPE_COMMON, TYPE_ISR, TYPE_DEVICE, TYPE_NOTIFY, TYPE_ACCESS]);
    }

    #[test]
    fn features_are_agreed_on_or_refused() {
        let (mut transport, mut bench) = (Transport::new(&LAYOUT, 1), Bench::new());
        let mut agree = |low: u64, high: u64| {
            set(&mut transport, &mut bench, 0x14, 1, 0);
            for (select, value) in [(0, low), (1, high)] {
                set(&mut transport, &mut bench, 8, 4, select);
                set(&mut transport, &mut bench, 12, 4, value);
            }
            set(&mut transport, &mut bench, 0x14, 1, 0x0b);
            get(&mut transport, &mut bench, 0x14, 1)
        };
        assert_eq!(agree(0, 0), 3, "version 1 is a must");
        assert_eq!(agree(1, 1), 3, "not offered");
        assert_eq!(agree(F_INDIRECT, 1), 0x0b);
        set(&mut transport, &mut bench, 12, 4, 0);
        assert_eq!(transport.driver_features, F_INDIRECT | F_VERSION_1, "settled");
    }

    #[test]
    fn a_queue_is_set_up_before_it_is_enabled() {
        let (mut transport, mut bench) = (Transport::new(&LAYOUT, 1), Bench::new());
        assert_eq!(get(&mut transport, &mut bench, 0x18, 2), 256);
        for (value, read) in [(100, 256), (0, 256), (512, 256), (64, 64)] {
            set(&mut transport, &mut bench, 0x18, 2, value);
            assert_eq!(get(&mut transport, &mut bench, 0x18, 2), read);
        }
        set(&mut transport, &mut bench, 0x20, 8, 0x1_2345_6000);
        set(&mut transport, &mut bench, 0x1a, 2, 2);
        assert_eq!(get(&mut transport, &mut bench, 0x1a, 2), 0xffff, "there is no third message");
        set(&mut transport, &mut bench, 0x1a, 2, 1);
        set(&mut transport, &mut bench, 0x1c, 2, 1);
        set(&mut transport, &mut bench, 0x18, 2, 8);
        set(&mut transport, &mut bench, 0x20, 4, 0);
        assert_eq!(get(&mut transport, &mut bench, 0x20, 8), 0x1_2345_6000);
        assert_eq!(get(&mut transport, &mut bench, 0x18, 8), 0x0000_0001_0001_0040);
        set(&mut transport, &mut bench, 0x16, 2, 1);
        assert_eq!(get(&mut transport, &mut bench, 0x18, 8), 0, "there is no second queue");
        assert_eq!(set(&mut transport, &mut bench, NOTIFY + 4, 2, 1), Request::Notify(1));
    }

    #[test]
    fn the_bar_shows_through_configuration_space() {
        let (mut transport, mut bench) = (Transport::new(&LAYOUT, 1), Bench::new());
        let mut put = |at: u16, size: u8, value: u64| {
            transport.config_write(&mut bench.cx(), &OFFER, at, size, value);
        };
        put(ACCESS_BAR, 1, u64::from(BAR));
        put(ACCESS_OFFSET, 4, DEVICE);
        put(ACCESS_LEN, 4, 2);
        assert_eq!(transport.config_read(&mut bench.cx(), &OFFER, ACCESS_DATA, 4), 0x0201);
        let mut put = |at: u16, size: u8, value: u64| {
            transport.config_write(&mut bench.cx(), &OFFER, at, size, value);
        };
        put(ACCESS_OFFSET, 4, 0x16);
        put(ACCESS_DATA, 4, 0x1_0007);
        assert_eq!(transport.queue_select, 7);
        for (offset, len) in [(1, 2), (BAR_LEN, 2), (0, 3), (0, 0x104)] {
            transport.config_write(&mut bench.cx(), &OFFER, ACCESS_OFFSET, 4, offset);
            transport.config_write(&mut bench.cx(), &OFFER, ACCESS_LEN, 4, len);
            assert_eq!(transport.access(&OFFER), None);
        }
    }
}
