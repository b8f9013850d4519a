//! Memory modules that come and go (ACPI 6.5, 9.12).

use super::super::terms::*;
use super::processors::{DEVICE_CHECK, EJECT_REQUEST};
use crate::hotplug::MEMORY_PORTS;
use acpi_tables::aml::*;

/// A memory range in 64 bits (6.4.3.5.1): consumer, fixed, cacheable and writable. What it is comes in at run time.
const RANGE: [u8; 46] = {
    let mut range = [0; 46];
    (range[0], range[1], range[4], range[5]) = (0x8a, 0x2b, 0x0c, 0x03);
    range
};
const RANGE_MIN: u8 = 14;
const RANGE_MAX: u8 = 22;
const RANGE_LEN: u8 = 38;

pub(super) fn memory(slots: u8) -> Raw {
    // A container without resources of its own.
    let mut children = vec![hid("PNP0A06"), name("_UID", &"DIMM slots")];
    children.extend(registers());
    children.extend(methods(slots));
    children.extend((0..slots).map(slot));
    device("MEMS", &children)
}

fn path_of(slot: u8) -> String {
    format!("M{slot:03X}")
}

/// What the general-purpose event does.
pub(super) fn event() -> Raw {
    method("_E03", 0, false, &[call("\\_SB_.MEMS.MSCN", &[])])
}

fn registers() -> [Raw; 5] {
    let read = [("MBLO", 32), ("MBHI", 32), ("MLLO", 32), ("MLHI", 32), ("MPRX", 32)];
    let flags = [("", 160), ("MPEN", 1), ("MINS", 1), ("MRMV", 1), ("MEJ0", 1)];
    [
        port_region("MREG", MEMORY_PORTS),
        fields("MREG", false, &read),
        fields("MREG", true, &flags),
        fields("MREG", false, &[("MSEL", 32), ("MEVT", 32), ("MOST", 32)]),
        aml(&Mutex::new("MLCK".into(), 0)),
    ]
}

/// What modules have in common.
fn methods(slots: u8) -> [Raw; 6] {
    let select = || store(&path("MSEL"), &arg(0));
    let on = |flag: &str| equal(&path(flag), &int(1));
    let present = when(&on("MPEN"), &[store(&local(0), &int(0xf))]);
    let mut status = holding("MLCK", vec![select(), store(&local(0), &int(0)), present]);
    status.push(answer(&local(0)));
    let eject = vec![select(), store(&path("MEJ0"), &int(1))];
    let report = vec![select(), store(&path("MEVT"), &arg(1)), store(&path("MOST"), &arg(2))];
    let told = |flag: &str, event: u64| [call("MTEL", &[local(0), int(event)]), store(&path(flag), &int(1))];
    let each = [
        store(&path("MSEL"), &local(0)),
        when(&on("MINS"), &told("MINS", DEVICE_CHECK)),
        otherwise(&[when(&on("MRMV"), &told("MRMV", EJECT_REQUEST))]),
        aml(&Add::new(&local(0), &local(0), &ONE)),
    ];
    let scan = vec![store(&local(0), &int(0)), repeat(&aml(&LessThan::new(&local(0), &slots)), &each)];
    let tell = |slot| when(&equal(&arg(0), &int(u64::from(slot))), &[notify(&path_of(slot), &arg(1))]);
    [
        method("MSTA", 1, true, &status),
        method("MCRS", 1, true, &range()),
        method("MEJE", 1, true, &holding("MLCK", eject)),
        method("MOSR", 3, true, &holding("MLCK", report)),
        method("MTEL", 2, true, &(0..slots).map(tell).collect::<Vec<_>>()),
        method("MSCN", 0, true, &holding("MLCK", scan)),
    ]
}

/// The selected module's range.
fn range() -> Vec<Raw> {
    let field = |field: &str, at: u8| aml(&CreateQWordField::new(&path(field), &path("MRNG"), &at));
    let whole = |to: &str, high: &str, low: &str| {
        [aml(&ShiftLeft::new(&local(0), &path(high), &32u8)), aml(&Or::new(&path(to), &local(0), &path(low)))]
    };
    let mut template = RANGE.to_vec();
    // End tag without a checksum.
    template.extend([0x79, 0]);
    let mut read = vec![store(&path("MSEL"), &arg(0))];
    read.extend(whole("RMIN", "MBHI", "MBLO"));
    read.extend(whole("RLEN", "MLHI", "MLLO"));
    let last = [
        aml(&Add::new(&local(0), &path("RMIN"), &path("RLEN"))),
        aml(&Subtract::new(&path("RMAX"), &local(0), &ONE)),
    ];
    read.extend(last);
    let mut body = vec![
        name("MRNG", &BufferData::new(template)),
        field("RMIN", RANGE_MIN),
        field("RMAX", RANGE_MAX),
        field("RLEN", RANGE_LEN),
    ];
    body.extend(holding("MLCK", read));
    body.push(answer(&path("MRNG")));
    body
}

fn slot(slot: u8) -> Raw {
    let id = || int(slot.into());
    device(
        &path_of(slot),
        &[
            hid("PNP0C80"),
            name("_UID", &slot),
            method("_STA", 0, false, &[answer(&call("MSTA", &[id()]))]),
            method("_CRS", 0, false, &[answer(&call("MCRS", &[id()]))]),
            name("_PXM", &ZERO),
            method("_EJ0", 1, false, &[call("MEJE", &[id()])]),
            method("_OST", 3, false, &[call("MOSR", &[id(), arg(0), arg(1)])]),
        ],
    )
}
