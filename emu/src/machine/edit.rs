//! Changes to the state of a machine where it stands: inputs, as everything from outside is.

use super::{HostIo, Machine};
use crate::gdb::memory::translate;
use crate::input::Input;
use amber_devices::Platform;
use amber_mmu::{PAGE, ViewId};
use amber_snapshot::{EditError, OwnedSection, SectionError, ValueError, decode, set_field};
use serde::{Deserialize, Serialize};

/// A change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Edit {
    /// The field at a path, such as `cpu0.rip` or `platform0/pit.counters[0].latch`, has another value.
    Field { path: String, value: String },
    /// Bytes of physical memory.
    Physical { address: u64, bytes: Vec<u8> },
    /// Bytes at a linear address of a processor, by its index. Protection does not count.
    Linear { processor: u32, address: u64, bytes: Vec<u8> },
}

/// Why a machine does not change so; it is as before then.
#[derive(Debug, thiserror::Error)]
pub enum EditRefusal {
    #[error(transparent)]
    Field(#[from] EditError),
    #[error(transparent)]
    Value(#[from] ValueError),
    #[error("no machine can be so: {0}")]
    Impossible(#[from] SectionError),
    #[error("no machine can be so: {path} cannot be {value}")]
    Lost { path: String, value: String },
    #[error(
        "section {0} says what the machine was built as and where its run stands; edit a snapshot to change it"
    )]
    Fixed(String),
    #[error("there is no memory that can be written at physical {0:#x}")]
    Physical(u64),
    #[error("linear address {address:#x} is not mapped in cpu{processor}")]
    Unmapped { processor: u32, address: u64 },
    #[error("the machine has no processor {0}")]
    Processor(u32),
    #[error("the bytes go beyond the last address")]
    Beyond,
}

/// A piece of physical memory and what it is to hold.
type Piece<'a> = (ViewId, u64, &'a [u8]);

impl Machine {
    /// Changes the machine: an input. All that was derived from the state is derived again.
    ///
    /// # Errors
    /// When no machine can be so.
    pub fn edit(&mut self, host: &mut dyn HostIo, edit: Edit) -> Result<(), EditRefusal> {
        match &edit {
            Edit::Field { path, value } => self.edit_field(path, value)?,
            Edit::Physical { address, bytes } => {
                let pieces = self.physical_pieces(*address, bytes)?;
                self.write_pieces(&pieces)?;
            }
            Edit::Linear { processor, address, bytes } => {
                let pieces = self.linear_pieces(*processor, *address, bytes)?;
                self.write_pieces(&pieces)?;
            }
        }
        self.note(host, Input::Edit(edit));
        Ok(())
    }

    fn edit_field(&mut self, path: &str, value: &str) -> Result<(), EditRefusal> {
        let mut wanted = self.sections();
        let n = set_field(&mut wanted, path, value)?;
        let section = wanted[n].path.clone();
        let cpu = self.vcpus.iter().position(|vcpu| format!("cpu{}", vcpu.apic.id()) == section);
        match cpu {
            Some(cpu) => self.edit_processor(cpu, &wanted, n),
            // Where the run stands in time goes with its slices and looks for input, in section machine.
            None if section == "platform0/clock" => Err(EditRefusal::Fixed(section)),
            None if section.starts_with("platform0/") => self.edit_platform(&wanted),
            None => Err(EditRefusal::Fixed(section)),
        }
    }

    fn edit_processor(&mut self, cpu: usize, wanted: &[OwnedSection], n: usize) -> Result<(), EditRefusal> {
        let before = self.vcpus[cpu].clone();
        self.vcpus[cpu].restore(&wanted[n])?;
        let proof = self.prove(wanted);
        if proof.is_err() {
            self.vcpus[cpu] = before;
        }
        self.derive_again();
        proof
    }

    fn edit_platform(&mut self, wanted: &[OwnedSection]) -> Result<(), EditRefusal> {
        let before: Platform = self.platform.clone();
        self.platform.restore("platform0", wanted)?;
        let proof = self.prove(wanted);
        if proof.is_err() {
            self.platform = before;
        }
        self.derive_again();
        proof
    }

    /// The machine has the very state that was asked for.
    fn prove(&self, wanted: &[OwnedSection]) -> Result<(), EditRefusal> {
        let found = self.sections();
        for (wanted, found) in wanted.iter().zip(&found).filter(|(wanted, found)| wanted != found) {
            if let Some((path, value)) = first_lost(wanted, found)? {
                return Err(EditRefusal::Lost { path, value });
            }
        }
        Ok(())
    }

    /// What is derived from processors and chipset, as after a state was loaded.
    fn derive_again(&mut self) {
        self.drop_caches();
        self.vcpus.iter_mut().for_each(amber_cpu::Vcpu::arrive);
        self.mmu.set_a20(self.platform.a20());
        self.map_changed();
        self.arm_monitors();
    }

    fn physical_pieces<'a>(&self, address: u64, bytes: &'a [u8]) -> Result<Vec<Piece<'a>>, EditRefusal> {
        in_pages(address, bytes, |gpa, part| Ok((ViewId(0), gpa, part)))
    }

    fn linear_pieces<'a>(
        &self,
        processor: u32,
        address: u64,
        bytes: &'a [u8],
    ) -> Result<Vec<Piece<'a>>, EditRefusal> {
        let n = processor as usize;
        let view = self.vcpus.get(n).ok_or(EditRefusal::Processor(processor))?.view();
        in_pages(address, bytes, |address, part| {
            let gpa = translate(self, n, address).ok_or(EditRefusal::Unmapped { processor, address })?;
            Ok((view, gpa, part))
        })
    }

    /// Writes all of it, or nothing.
    fn write_pieces(&mut self, pieces: &[Piece]) -> Result<(), EditRefusal> {
        if let Some((_, gpa, _)) = pieces.iter().find(|(view, gpa, _)| !self.mmu.is_writable(*view, *gpa)) {
            return Err(EditRefusal::Physical(*gpa));
        }
        for (view, gpa, bytes) in pieces {
            self.mmu.write_physical(*view, *gpa, bytes);
        }
        self.end_waits();
        self.drop_caches();
        self.arm_monitors();
        Ok(())
    }
}

/// The parts of bytes at an address that lie in a page each.
fn in_pages<'a>(
    address: u64,
    bytes: &'a [u8],
    piece: impl Fn(u64, &'a [u8]) -> Result<Piece<'a>, EditRefusal>,
) -> Result<Vec<Piece<'a>>, EditRefusal> {
    let (mut pieces, mut done) = (Vec::new(), 0);
    while done < bytes.len() {
        let at = address.checked_add(done as u64).ok_or(EditRefusal::Beyond)?;
        let len = (bytes.len() - done).min((PAGE - at % PAGE) as usize);
        pieces.push(piece(at, &bytes[done..done + len])?);
        done += len;
    }
    Ok(pieces)
}

/// The first field that a machine has otherwise, and what it was to be.
///
/// # Errors
/// When a section does not say what its schema has.
pub(crate) fn first_lost(
    wanted: &OwnedSection,
    found: &OwnedSection,
) -> Result<Option<(String, String)>, ValueError> {
    if wanted.bytes == found.bytes {
        return Ok(None);
    }
    let mut kept = std::collections::BTreeMap::new();
    decode(found)?.leaves(&found.path, &mut |path, value| {
        kept.insert(path.to_owned(), value.to_string());
    });
    let mut lost = None;
    decode(wanted)?.leaves(&wanted.path, &mut |path, value| {
        let value = value.to_string();
        if lost.is_none() && kept.get(path) != Some(&value) {
            lost = Some((path.to_owned(), value));
        }
    });
    Ok(lost)
}
