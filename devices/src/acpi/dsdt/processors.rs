//! Processors, and how they come and go (ACPI 6.5, 8.4 and 6.3).

use super::super::terms::*;
use crate::hotplug::CPU_PORTS;
use crate::platform::PlatformConfig;
use acpi_tables::aml::*;

/// Values of Notify (ACPI 6.5, table 5.174).
pub(super) const DEVICE_CHECK: u64 = 1;
pub(super) const EJECT_REQUEST: u64 = 3;

pub(super) fn processors(config: &PlatformConfig) -> Raw {
    let mut children = vec![name("_HID", &"ACPI0010"), name("_CID", &EISAName::new("PNP0A05"))];
    let plugged = config.hotplug.cpus.is_some();
    if plugged {
        children.extend(registers());
        children.extend(methods(config.cpus_max()));
    }
    for cpu in 0..config.cpus_max().min(255) {
        let mut own = vec![name("_HID", &"ACPI0007"), name("_UID", &cpu)];
        if plugged {
            own.extend(coming_and_going(cpu));
        }
        children.push(device(&path_of(cpu), &own));
    }
    device("CPUS", &children)
}

fn path_of(cpu: u32) -> String {
    format!("C{cpu:03X}")
}

/// What the general-purpose event does.
pub(super) fn event() -> Raw {
    method("_E02", 0, false, &[call("\\_SB_.CPUS.CSCN", &[])])
}

fn registers() -> [Raw; 4] {
    let flags =
        [("", 32), ("CPEN", 1), ("CINS", 1), ("CRMV", 1), ("CEJ0", 1), ("", 4), ("CCMD", 8), ("", 16)];
    [
        port_region("CREG", CPU_PORTS),
        fields("CREG", true, &flags),
        fields("CREG", false, &[("CSEL", 32), ("", 32), ("CDAT", 32)]),
        aml(&Mutex::new("CLCK".into(), 0)),
    ]
}

/// What processors have in common.
fn methods(cpus: u32) -> [Raw; 5] {
    let select = || store(&path("CSEL"), &arg(0));
    let on = |flag: &str| equal(&path(flag), &int(1));
    let status = vec![select(), store(&local(0), &int(0)), when(&on("CPEN"), &[store(&local(0), &int(0xf))])];
    let mut status = holding("CLCK", status);
    status.push(answer(&local(0)));
    let eject = vec![select(), store(&path("CEJ0"), &int(1))];
    let report = vec![
        select(),
        store(&path("CCMD"), &int(1)),
        store(&path("CDAT"), &arg(1)),
        store(&path("CCMD"), &int(2)),
        store(&path("CDAT"), &arg(2)),
    ];
    let told = |flag: &str, event: u64| {
        [call("CTEL", &[path("CDAT"), int(event)]), store(&path(flag), &int(1)), store(&local(0), &int(1))]
    };
    // Processor after processor, until none has an event.
    let next = [
        store(&local(0), &int(0)),
        store(&path("CCMD"), &int(0)),
        when(&on("CINS"), &told("CINS", DEVICE_CHECK)),
        otherwise(&[when(&on("CRMV"), &told("CRMV", EJECT_REQUEST))]),
    ];
    let scan = vec![
        store(&path("CSEL"), &int(0)),
        store(&local(0), &int(1)),
        repeat(&equal(&local(0), &int(1)), &next),
    ];
    let tell = |cpu| when(&equal(&arg(0), &int(cpu)), &[notify(&path_of(cpu as u32), &arg(1))]);
    [
        method("CSTA", 1, true, &status),
        method("CEJE", 1, true, &holding("CLCK", eject)),
        method("COST", 3, true, &holding("CLCK", report)),
        method("CTEL", 2, true, &(0..u64::from(cpus)).map(tell).collect::<Vec<_>>()),
        method("CSCN", 0, true, &holding("CLCK", scan)),
    ]
}

/// What a processor with a place has. The bootstrap processor cannot go.
fn coming_and_going(cpu: u32) -> Vec<Raw> {
    let id = || int(cpu.into());
    // Processor local APIC structure: enabled (5.2.12.2).
    let apic = BufferData::new(vec![0, 8, cpu as u8, cpu as u8, 1, 0, 0, 0]);
    let mut own = vec![
        method("_STA", 0, false, &[answer(&call("CSTA", &[id()]))]),
        name("_MAT", &apic),
        method("_OST", 3, false, &[call("COST", &[id(), arg(0), arg(1)])]),
    ];
    if cpu != 0 {
        own.push(method("_EJ0", 1, false, &[call("CEJE", &[id()])]));
    }
    own
}
