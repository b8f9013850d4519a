//! Slots of PCI bus 0 whose functions come and go (ACPI 6.5, 6.1.1 and 6.3.3).

use super::super::terms::*;
use super::processors::{DEVICE_CHECK, EJECT_REQUEST};
use crate::hotplug::{FUNCTION_PORTS, FunctionSlots};
use acpi_tables::aml::*;

/// What general-purpose event 1 does.
pub(super) fn event() -> Raw {
    method("_E01", 0, false, &[call("\\_SB_.PCI0.PSCN", &[])])
}

fn path_of(slot: u8) -> String {
    format!("S{slot:03X}")
}

/// What the root has for them.
pub(super) fn slots(functions: &FunctionSlots) -> Vec<Raw> {
    let registers = [("PCUP", 32), ("PCDN", 32), ("PCEJ", 32), ("PCRM", 32), ("PSEL", 32)];
    let select = || store(&path("PSEL"), &int(0));
    let eject = vec![select(), store(&path("PCEJ"), &arg(0))];
    let mut scan = vec![select(), store(&local(0), &path("PCUP")), store(&local(1), &path("PCDN"))];
    for slot in functions.slots() {
        for (local, event) in [(0, DEVICE_CHECK), (1, EJECT_REQUEST)] {
            let has = aml(&And::new(&ZERO, &Local(local), &(1u32 << slot)));
            scan.push(when(&has, &[notify(&path_of(slot), &int(event))]));
        }
    }
    let mut all = vec![
        port_region("PREG", FUNCTION_PORTS),
        fields("PREG", false, &registers),
        aml(&Mutex::new("PLCK".into(), 0)),
        method("PEJE", 1, true, &holding("PLCK", eject)),
        method("PSCN", 0, true, &holding("PLCK", scan)),
    ];
    all.extend(functions.slots().map(|slot| {
        device(
            &path_of(slot),
            &[
                name("_ADR", &(u32::from(slot) << 16)),
                name("_SUN", &slot),
                method("_EJ0", 1, false, &[call("PEJE", &[int(1 << slot)])]),
            ],
        )
    }));
    all
}
