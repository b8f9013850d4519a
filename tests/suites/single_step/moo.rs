//! The MOO format: chunks of a 4-byte tag and a little-endian length; one `TEST` chunk per case.

use std::path::Path;
use std::process::Command;

/// Registers in the order of the format's bit mask.
pub const REGISTERS: [&str; 14] =
    ["ax", "bx", "cx", "dx", "cs", "ss", "ds", "es", "sp", "bp", "si", "di", "ip", "flags"];
pub const CS: usize = 4;
pub const SS: usize = 5;
pub const SP: usize = 8;
pub const IP: usize = 12;
pub const FLAGS: usize = 13;

/// Registers and the bytes of memory that matter.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub registers: [Option<u16>; 14],
    pub memory: Vec<(u32, u8)>,
}

/// An exception the real processor raised.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    pub vector: u8,
}

/// One instruction.
#[derive(Clone, Debug, Default)]
pub struct Case {
    pub index: u32,
    pub name: String,
    pub bytes: Vec<u8>,
    pub initial: State,
    /// Only what changed.
    pub last: State,
    pub exception: Option<Exception>,
}

/// A cursor over bytes whose reads fail at the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
    fn u8(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }
    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }
    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }
    fn chunk(&mut self) -> Option<(&'a [u8], Reader<'a>)> {
        let tag = self.take(4)?;
        let len = self.u32()? as usize;
        Some((tag, Reader(self.take(len)?)))
    }
    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()? as usize;
        self.take(len)
    }
}

fn state(mut reader: Reader) -> Option<State> {
    let mut state = State::default();
    while let Some((tag, mut body)) = reader.chunk() {
        match tag {
            b"REGS" => {
                let mask = body.u16()?;
                for (n, register) in state.registers.iter_mut().enumerate() {
                    if mask >> n & 1 != 0 {
                        *register = Some(body.u16()?);
                    }
                }
            }
            b"RAM " => {
                for _ in 0..body.u32()? {
                    state.memory.push((body.u32()?, body.u8()?));
                }
            }
            _ => {}
        }
    }
    Some(state)
}

fn case(mut reader: Reader) -> Option<Case> {
    let mut case = Case { index: reader.u32()?, ..Case::default() };
    while let Some((tag, mut body)) = reader.chunk() {
        match tag {
            b"NAME" => case.name = String::from_utf8_lossy(body.counted()?).into_owned(),
            b"BYTS" => case.bytes = body.counted()?.to_vec(),
            b"INIT" => case.initial = state(body)?,
            b"FINA" => case.last = state(body)?,
            b"EXCP" => case.exception = Some(Exception { vector: body.u8()? }),
            _ => {}
        }
    }
    Some(case)
}

/// The first `most` cases of a file, which gzip may have compressed.
pub fn read(path: &Path, most: usize) -> Vec<Case> {
    let bytes = if path.extension().is_some_and(|extension| extension == "gz") {
        Command::new("gzip").arg("-dc").arg(path).output().expect("gzip runs").stdout
    } else {
        std::fs::read(path).expect("the file can be read")
    };
    let mut reader = Reader(&bytes);
    let mut cases = Vec::new();
    while let Some((tag, body)) = reader.chunk() {
        if tag == b"TEST" {
            cases.push(case(body).unwrap_or_else(|| panic!("{}: a damaged case", path.display())));
        }
        if cases.len() == most {
            break;
        }
    }
    cases
}
