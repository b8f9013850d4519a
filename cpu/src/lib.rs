//! An x86-64 processor: state, decoding, semantics, events, and the interpreter that is the reference engine.
// Where there is no JIT nobody uses what only that needs.
#![cfg_attr(not(all(target_arch = "x86_64", target_os = "linux")), allow(dead_code, unused_imports))]

pub mod apic;
pub mod block;
mod control;
pub mod cpuid;
mod decode;
mod descriptor;
mod edges;
mod event;
pub mod exec;
pub mod flags;
mod interp;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod jit;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[path = "jit/absent.rs"]
mod jit;
pub mod lanes;
mod msr;
mod record;
mod semantics;
mod smm;
pub mod softfloat;
pub mod state;
mod vcpu;
mod watch;
pub mod x87;

pub use block::{CodeCache, Engine, JitCounters};
pub use cpuid::CpuModel;
pub use edges::{EDGES, Edges};
pub use exec::Bus;
pub use interp::{EngineCounters, Exit, Ran};
pub use state::Vcpu;
pub use watch::{Watch, Watchpoint};
