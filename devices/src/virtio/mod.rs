//! virtio 1.x devices on PCI. The transport and the queues are common; a device says what it offers and serves requests.

pub(crate) mod blk;
pub(crate) mod console;
mod function;
mod in_flight;
pub(crate) mod net;
pub(crate) mod p9;
mod queue;
pub(crate) mod rng;
#[cfg(test)]
mod testing;
mod transport;
