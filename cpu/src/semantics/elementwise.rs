//! The operations that MMX and SSE2 have in common, element by element.

use super::vector::{Shape, operation};
use crate::exec::Handler;
use crate::lanes::host;
use iced_x86::{Instruction, Mnemonic};

/// The handler of an instruction that has both forms.
pub fn select<S: Shape>(instr: &Instruction) -> Option<Handler> {
    arithmetic::<S>(instr).or_else(|| comparison::<S>(instr))
}

fn arithmetic<S: Shape>(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Paddb => operation!(S, instr, host::paddb),
        M::Paddw => operation!(S, instr, host::paddw),
        M::Paddd => operation!(S, instr, host::paddd),
        M::Paddq => operation!(S, instr, host::paddq),
        M::Psubb => operation!(S, instr, host::psubb),
        M::Psubw => operation!(S, instr, host::psubw),
        M::Psubd => operation!(S, instr, host::psubd),
        M::Psubq => operation!(S, instr, host::psubq),
        M::Paddsb => operation!(S, instr, host::paddsb),
        M::Paddsw => operation!(S, instr, host::paddsw),
        M::Paddusb => operation!(S, instr, host::paddusb),
        M::Paddusw => operation!(S, instr, host::paddusw),
        M::Psubsb => operation!(S, instr, host::psubsb),
        M::Psubsw => operation!(S, instr, host::psubsw),
        M::Psubusb => operation!(S, instr, host::psubusb),
        M::Psubusw => operation!(S, instr, host::psubusw),
        M::Pmullw => operation!(S, instr, host::pmullw),
        M::Pmulhw => operation!(S, instr, host::pmulhw),
        M::Pmulhuw => operation!(S, instr, host::pmulhuw),
        M::Pmulhrsw => operation!(S, instr, host::pmulhrsw),
        M::Pmuludq => operation!(S, instr, host::pmuludq),
        M::Pmaddwd => operation!(S, instr, host::pmaddwd),
        M::Pmaddubsw => operation!(S, instr, host::pmaddubsw),
        M::Psadbw => operation!(S, instr, host::psadbw),
        M::Pavgb => operation!(S, instr, host::pavgb),
        M::Pavgw => operation!(S, instr, host::pavgw),
        M::Pabsb => operation!(S, instr, host::pabsb),
        M::Pabsw => operation!(S, instr, host::pabsw),
        M::Pabsd => operation!(S, instr, host::pabsd),
        M::Psignb => operation!(S, instr, host::psignb),
        M::Psignw => operation!(S, instr, host::psignw),
        M::Psignd => operation!(S, instr, host::psignd),
        _ => return None,
    })
}

fn comparison<S: Shape>(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Pand => operation!(S, instr, host::pand),
        M::Pandn => operation!(S, instr, host::pandn),
        M::Por => operation!(S, instr, host::por),
        M::Pxor => operation!(S, instr, host::pxor),
        M::Pcmpeqb => operation!(S, instr, host::pcmpeqb),
        M::Pcmpeqw => operation!(S, instr, host::pcmpeqw),
        M::Pcmpeqd => operation!(S, instr, host::pcmpeqd),
        M::Pcmpgtb => operation!(S, instr, host::pcmpgtb),
        M::Pcmpgtw => operation!(S, instr, host::pcmpgtw),
        M::Pcmpgtd => operation!(S, instr, host::pcmpgtd),
        M::Pminub => operation!(S, instr, host::pminub),
        M::Pminsw => operation!(S, instr, host::pminsw),
        M::Pmaxub => operation!(S, instr, host::pmaxub),
        M::Pmaxsw => operation!(S, instr, host::pmaxsw),
        M::Psllw => operation!(S, instr, host::psllw),
        M::Pslld => operation!(S, instr, host::pslld),
        M::Psllq => operation!(S, instr, host::psllq),
        M::Psrlw => operation!(S, instr, host::psrlw),
        M::Psrld => operation!(S, instr, host::psrld),
        M::Psrlq => operation!(S, instr, host::psrlq),
        M::Psraw => operation!(S, instr, host::psraw),
        M::Psrad => operation!(S, instr, host::psrad),
        M::Punpcklbw => operation!(S, instr, host::punpcklbw),
        M::Punpcklwd => operation!(S, instr, host::punpcklwd),
        M::Punpckldq => operation!(S, instr, host::punpckldq),
        _ => return None,
    })
}
