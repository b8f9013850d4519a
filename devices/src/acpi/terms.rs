//! Terms of AML as bytes, to be put together.

use acpi_tables::aml::*;
use acpi_tables::{Aml, AmlSink};

/// A term that is already AML.
pub(in crate::acpi) struct Raw(pub(in crate::acpi) Vec<u8>);

impl Aml for Raw {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        sink.vec(&self.0);
    }
}

pub(in crate::acpi) fn aml(term: &dyn Aml) -> Raw {
    let mut bytes = Vec::new();
    term.to_aml_bytes(&mut bytes);
    Raw(bytes)
}

pub(in crate::acpi) fn all(terms: &[Raw]) -> Vec<&dyn Aml> {
    terms.iter().map(|term| term as &dyn Aml).collect()
}

pub(in crate::acpi) fn name(path: &str, value: &dyn Aml) -> Raw {
    aml(&Name::new(path.into(), value))
}

pub(in crate::acpi) fn device(path: &str, children: &[Raw]) -> Raw {
    aml(&Device::new(path.into(), all(children)))
}

pub(in crate::acpi) fn method(path: &str, args: u8, serialized: bool, body: &[Raw]) -> Raw {
    aml(&Method::new(path.into(), args, serialized, all(body)))
}

pub(in crate::acpi) fn resources(descriptors: &[Raw]) -> Raw {
    aml(&ResourceTemplate::new(all(descriptors)))
}

/// A fixed range of I/O ports.
pub(in crate::acpi) fn ports(base: u16, len: u8) -> Raw {
    aml(&IO::new(base, base, 1, len))
}

/// An edge-triggered ISA interrupt: the small descriptor without flags (ACPI 6.5, 6.4.2.1).
pub(in crate::acpi) fn isa_irq(irq: u8) -> Raw {
    let mask = (1u16 << irq).to_le_bytes();
    Raw(vec![0x22, mask[0], mask[1]])
}

/// A level-triggered, active high, shared interrupt, one of `irqs` (ACPI 6.5, 6.4.3.6).
pub(in crate::acpi) fn level_irq(irqs: &[u32]) -> Raw {
    let mut bytes = vec![0x89];
    bytes.extend((2 + 4 * irqs.len() as u16).to_le_bytes());
    // Consumer, level, high, shared.
    bytes.extend([0x09, irqs.len() as u8]);
    irqs.iter().for_each(|irq| bytes.extend(irq.to_le_bytes()));
    Raw(bytes)
}

pub(in crate::acpi) fn hid(id: &str) -> Raw {
    name("_HID", &EISAName::new(id))
}

/// A name to refer to.
pub(in crate::acpi) fn path(path: &str) -> Raw {
    aml(&Path::new(path))
}

/// A whole number.
pub(in crate::acpi) fn int(value: u64) -> Raw {
    aml(&value)
}

pub(in crate::acpi) fn arg(n: u8) -> Raw {
    aml(&Arg(n))
}

pub(in crate::acpi) fn local(n: u8) -> Raw {
    aml(&Local(n))
}

pub(in crate::acpi) fn store(to: &Raw, value: &Raw) -> Raw {
    aml(&Store::new(to, value))
}

pub(in crate::acpi) fn equal(a: &Raw, b: &Raw) -> Raw {
    aml(&Equal::new(a, b))
}

pub(in crate::acpi) fn when(condition: &Raw, body: &[Raw]) -> Raw {
    aml(&If::new(condition, all(body)))
}

pub(in crate::acpi) fn otherwise(body: &[Raw]) -> Raw {
    aml(&Else::new(all(body)))
}

pub(in crate::acpi) fn repeat(condition: &Raw, body: &[Raw]) -> Raw {
    aml(&While::new(condition, all(body)))
}

pub(in crate::acpi) fn answer(value: &Raw) -> Raw {
    aml(&Return::new(value))
}

pub(in crate::acpi) fn call(method: &str, args: &[Raw]) -> Raw {
    aml(&MethodCall::new(method.into(), all(args)))
}

pub(in crate::acpi) fn notify(device: &str, event: &Raw) -> Raw {
    aml(&Notify::new(&Path::new(device), event))
}

/// The body of a method while it holds a mutex.
pub(in crate::acpi) fn holding(mutex: &str, body: Vec<Raw>) -> Vec<Raw> {
    const FOR_EVER: u16 = 0xffff;
    let mut whole = vec![aml(&Acquire::new(mutex.into(), FOR_EVER))];
    whole.extend(body);
    whole.push(aml(&Release::new(mutex.into())));
    whole
}

/// I/O ports that fields lie in.
pub(in crate::acpi) fn port_region(name: &str, (first, count): (u16, u16)) -> Raw {
    aml(&OpRegion::new(name.into(), OpRegionSpace::SystemIO, &first, &count))
}

/// Fields of bits, named or (without a name) reserved. Bytes are accessed one by one, and what a write leaves out is 0; 32-bit
/// registers are accessed as a whole.
pub(in crate::acpi) fn fields(region: &str, bytes: bool, entries: &[(&str, usize)]) -> Raw {
    let (access, update) = if bytes {
        (FieldAccessType::Byte, FieldUpdateRule::WriteAsZeroes)
    } else {
        (FieldAccessType::DWord, FieldUpdateRule::Preserve)
    };
    let entry = |(name, bits): &(&str, usize)| match <[u8; 4]>::try_from(name.as_bytes()) {
        Ok(name) => FieldEntry::Named(name, *bits),
        Err(_) => FieldEntry::Reserved(*bits),
    };
    let entries = entries.iter().map(entry).collect();
    aml(&Field::new(region.into(), access, FieldLockRule::NoLock, update, entries))
}
