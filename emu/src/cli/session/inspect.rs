//! What a session shows of the machine's state. Looking changes nothing.

use super::Session;
use super::symbols::hex;
use crate::cli::disassembly::{self, Line};
use crate::cli::fields::{Fields, names_of, register_bits};
use crate::control::Place;
use crate::gdb::memory;
use crate::gdb::registers::{self, Register, Which};
use amber_cpu::Vcpu;
use amber_cpu::state::CodeSize;
use amber_snapshot::decode;
use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value, json};

/// Most bytes of memory, instructions, values of the stack and fields that are shown at once.
const BYTES_MAX: u64 = 1 << 16;
const LINES_MAX: u32 = 4096;
const FIELDS_MAX: usize = 4096;

impl Session<'_> {
    fn vcpu(&self, cpu: u32) -> Result<&Vcpu> {
        let vcpus = self.machine.vcpus();
        vcpus
            .get(cpu as usize)
            .ok_or_else(|| anyhow!("there is no processor {cpu}; the machine has {}", vcpus.len()))
    }

    pub(super) fn registers(&self, cpu: u32) -> Result<Value> {
        let (vcpu, now) = (self.vcpu(cpu)?, self.machine.now());
        let section = format!("cpu{}", vcpu.apic.id());
        let row = |register: &Register| {
            let value = registers::read(vcpu, register.which, now);
            let digits = register.size * 2;
            let mut row = json!({
                "name": register.name,
                "group": group(register.which),
                "value": format!("{value:#0width$x}", width = digits + 2),
            });
            if let Some(bits) = register_bits(&register.name) {
                row["bits"] = json!(names_of(bits, value));
            }
            if let Some(path) = path(register) {
                row["path"] = json!(format!("{section}.{path}"));
            }
            row
        };
        let linear = vcpu.linear_rip();
        Ok(json!({
            "cpu": cpu,
            "step": self.machine.step(),
            "bits": vcpu.code_size().bits(),
            "activity": format!("{:?}", vcpu.system.activity),
            "linear-rip": hex(linear),
            "symbol": self.name(linear),
            "next": self.machine.next_processor() == Some(cpu as usize),
            "registers": registers::table().iter().map(row).collect::<Vec<_>>(),
        }))
    }

    pub(super) fn disassemble(
        &self,
        cpu: u32,
        place: Option<&Place>,
        count: u32,
        before: u32,
    ) -> Result<Value> {
        let vcpu = self.vcpu(cpu)?;
        if count > LINES_MAX || before > LINES_MAX {
            bail!("disassemble: {LINES_MAX} instructions are the most");
        }
        let address = place.map_or_else(|| Ok(vcpu.linear_rip()), |place| self.address(place))?;
        let symbols = self.debugger.symbols.as_ref();
        let lines = disassembly::around(self.machine, cpu as usize, address, before, count, symbols);
        let lines: Vec<_> = lines.iter().map(|line| self.instruction(line)).collect();
        let (bits, next) = (vcpu.code_size().bits(), hex(vcpu.linear_rip()));
        Ok(json!({ "cpu": cpu, "bits": bits, "linear-rip": next, "lines": lines }))
    }

    fn instruction(&self, line: &Line) -> Value {
        let digits: Vec<_> = line.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut row = json!({ "address": hex(line.linear), "bytes": digits.join(" "), "text": line.text });
        if let Some(name) = self.name(line.linear) {
            row["symbol"] = json!(name);
        }
        if let Some(target) = line.target {
            row["target"] = json!(hex(target));
            row["target-symbol"] = json!(self.name(target));
        }
        row
    }

    pub(super) fn read_linear(&self, cpu: u32, place: &Place, len: u64) -> Result<Value> {
        self.vcpu(cpu)?;
        if len > BYTES_MAX {
            bail!("read-linear: {len} bytes are asked for, {BYTES_MAX} is the most");
        }
        let address = self.address(place)?;
        let mut bytes = vec![0; len as usize];
        let read = memory::read(self.machine, cpu as usize, address, &mut bytes);
        let digits: String = bytes[..read].iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(json!({ "address": hex(address), "bytes": digits }))
    }

    pub(super) fn stack(&self, cpu: u32, count: u32) -> Result<Value> {
        let vcpu = self.vcpu(cpu)?;
        if count > LINES_MAX {
            bail!("stack: {LINES_MAX} values are the most");
        }
        let size = vcpu.code_size();
        let width = (size.bits() / 8) as usize;
        let base = if size == CodeSize::Bits64 { 0 } else { vcpu.system.seg[2].base };
        let mask = if size == CodeSize::Bits64 { u64::MAX } else { u64::from(u32::MAX) };
        let top = match size {
            CodeSize::Bits16 => vcpu.gpr[4] & 0xFFFF,
            _ => vcpu.gpr[4],
        };
        let mut rows = Vec::new();
        for n in 0..u64::from(count) {
            let address = base.wrapping_add(top).wrapping_add(n * width as u64) & mask;
            let mut bytes = [0; 8];
            if memory::read(self.machine, cpu as usize, address, &mut bytes[..width]) != width {
                break;
            }
            let value = u64::from_le_bytes(bytes);
            let mut row = json!({
                "address": hex(address),
                "value": format!("{value:#0width$x}", width = width * 2 + 2),
            });
            if let Some(name) = self.name(value) {
                row["symbol"] = json!(name);
            }
            rows.push(row);
        }
        Ok(json!({ "cpu": cpu, "values": rows }))
    }

    pub(super) fn sections(&self) -> Value {
        let sections = self.machine.sections();
        let row = |section: &amber_snapshot::OwnedSection| json!({ "path": section.path, "kind": section.kind, "bytes": section.bytes.len() });
        json!({ "sections": sections.iter().map(row).collect::<Vec<_>>() })
    }

    pub(super) fn fields(&self, path: &str) -> Result<Value> {
        let sections = self.machine.sections();
        let section = sections.iter().find(|section| section.path == path);
        let section =
            section.ok_or_else(|| anyhow!("there is no section {path}; `sections` lists what there is"))?;
        let (fields, symbols) = (Fields::of(section), self.debugger.symbols.as_ref());
        let (mut rows, mut left_out) = (Vec::new(), 0);
        decode(section)?.leaves(&section.path, &mut |path, value| {
            if rows.len() == FIELDS_MAX {
                left_out += 1;
                return;
            }
            let mut row = Map::new();
            row.insert("path".to_owned(), json!(path));
            row.insert("label".to_owned(), json!(fields.label(path)));
            row.insert("value".to_owned(), json!(fields.show(path, value, symbols)));
            row.insert("plain".to_owned(), json!(value.to_string()));
            rows.push(Value::Object(row));
        });
        Ok(json!({ "section": path, "kind": section.kind, "fields": rows, "left-out": left_out }))
    }
}

/// Which registers belong together.
fn group(which: Which) -> &'static str {
    match which {
        Which::Gpr(_) | Which::Rip | Which::Flags => "general",
        Which::Selector(_) | Which::Base(_) | Which::Limit(_) | Which::Access(_) | Which::Table(_) => {
            "segment"
        }
        Which::Control(_) => "control",
        Which::Debug(_) => "debug",
        Which::St(_) | Which::Fpu(_) => "x87",
        Which::Xmm(_) | Which::Mxcsr => "sse",
        Which::Msr(_) => "msr",
    }
}

/// The field of its processor's section that a register is, where it is one.
fn path(register: &Register) -> Option<String> {
    let name = &register.name;
    Some(match register.which {
        Which::Gpr(n) => format!("gpr[{n}]"),
        Which::Rip => "rip".to_owned(),
        Which::Flags => "rflags".to_owned(),
        Which::Selector(n @ 0..6) => format!("system.seg[{n}].selector"),
        Which::Base(n @ 0..6) => format!("system.seg[{n}].base"),
        Which::Limit(n @ 0..6) => format!("system.seg[{n}].limit"),
        Which::Access(n @ 0..6) => format!("system.seg[{n}].access"),
        Which::Xmm(n) => format!("xmm[{n}]"),
        Which::Mxcsr => "mxcsr".to_owned(),
        Which::Debug(n) => format!("system.dr[{n}]"),
        Which::Control(registers::Control::Cr8) => return None,
        Which::Control(_) => format!("system.{name}"),
        _ => return None,
    })
}
