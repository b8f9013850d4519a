//! The operations that MMX and SSE2 have in common, element by element.

use super::vector::{Shape, operation};
use crate::exec::Handler;
use crate::lanes::{integer, shift, shuffle};
use iced_x86::{Instruction, Mnemonic};

/// The handler of an instruction that has both forms.
pub fn select<S: Shape>(instr: &Instruction) -> Option<Handler> {
    arithmetic::<S>(instr).or_else(|| comparison::<S>(instr))
}

fn arithmetic<S: Shape>(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Paddb => operation!(S, instr, integer::paddb),
        M::Paddw => operation!(S, instr, integer::paddw),
        M::Paddd => operation!(S, instr, integer::paddd),
        M::Paddq => operation!(S, instr, integer::paddq),
        M::Psubb => operation!(S, instr, integer::psubb),
        M::Psubw => operation!(S, instr, integer::psubw),
        M::Psubd => operation!(S, instr, integer::psubd),
        M::Psubq => operation!(S, instr, integer::psubq),
        M::Paddsb => operation!(S, instr, integer::paddsb),
        M::Paddsw => operation!(S, instr, integer::paddsw),
        M::Paddusb => operation!(S, instr, integer::paddusb),
        M::Paddusw => operation!(S, instr, integer::paddusw),
        M::Psubsb => operation!(S, instr, integer::psubsb),
        M::Psubsw => operation!(S, instr, integer::psubsw),
        M::Psubusb => operation!(S, instr, integer::psubusb),
        M::Psubusw => operation!(S, instr, integer::psubusw),
        M::Pmullw => operation!(S, instr, integer::pmullw),
        M::Pmulhw => operation!(S, instr, integer::pmulhw),
        M::Pmulhuw => operation!(S, instr, integer::pmulhuw),
        M::Pmulhrsw => operation!(S, instr, integer::pmulhrsw),
        M::Pmuludq => operation!(S, instr, integer::pmuludq),
        M::Pmaddwd => operation!(S, instr, integer::pmaddwd),
        M::Pmaddubsw => operation!(S, instr, integer::pmaddubsw),
        M::Psadbw => operation!(S, instr, integer::psadbw),
        M::Pavgb => operation!(S, instr, integer::pavgb),
        M::Pavgw => operation!(S, instr, integer::pavgw),
        M::Pabsb => operation!(S, instr, integer::pabsb),
        M::Pabsw => operation!(S, instr, integer::pabsw),
        M::Pabsd => operation!(S, instr, integer::pabsd),
        M::Psignb => operation!(S, instr, integer::psignb),
        M::Psignw => operation!(S, instr, integer::psignw),
        M::Psignd => operation!(S, instr, integer::psignd),
        _ => return None,
    })
}

fn comparison<S: Shape>(instr: &Instruction) -> Option<Handler> {
    use Mnemonic as M;
    Some(match instr.mnemonic() {
        M::Pand => operation!(S, instr, integer::pand),
        M::Pandn => operation!(S, instr, integer::pandn),
        M::Por => operation!(S, instr, integer::por),
        M::Pxor => operation!(S, instr, integer::pxor),
        M::Pcmpeqb => operation!(S, instr, integer::pcmpeqb),
        M::Pcmpeqw => operation!(S, instr, integer::pcmpeqw),
        M::Pcmpeqd => operation!(S, instr, integer::pcmpeqd),
        M::Pcmpgtb => operation!(S, instr, integer::pcmpgtb),
        M::Pcmpgtw => operation!(S, instr, integer::pcmpgtw),
        M::Pcmpgtd => operation!(S, instr, integer::pcmpgtd),
        M::Pminub => operation!(S, instr, integer::pminub),
        M::Pminsw => operation!(S, instr, integer::pminsw),
        M::Pmaxub => operation!(S, instr, integer::pmaxub),
        M::Pmaxsw => operation!(S, instr, integer::pmaxsw),
        M::Psllw => operation!(S, instr, shift::psllw),
        M::Pslld => operation!(S, instr, shift::pslld),
        M::Psllq => operation!(S, instr, shift::psllq),
        M::Psrlw => operation!(S, instr, shift::psrlw),
        M::Psrld => operation!(S, instr, shift::psrld),
        M::Psrlq => operation!(S, instr, shift::psrlq),
        M::Psraw => operation!(S, instr, shift::psraw),
        M::Psrad => operation!(S, instr, shift::psrad),
        M::Punpcklbw => operation!(S, instr, shuffle::punpcklbw),
        M::Punpcklwd => operation!(S, instr, shuffle::punpcklwd),
        M::Punpckldq => operation!(S, instr, shuffle::punpckldq),
        _ => return None,
    })
}
