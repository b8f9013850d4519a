//! Firmware that is installed: where distributions have SeaBIOS and OVMF.

use super::BootError;
use std::path::{Path, PathBuf};

/// SeaBIOS by its places: Debian's package, QEMU's own build.
const SEABIOS: [&str; 2] = ["/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin"];
/// OVMF's code without Secure Boot: Debian, Fedora, Arch, openSUSE.
const OVMF: [&str; 6] = [
    "/usr/share/OVMF/OVMF_CODE_4M.fd",
    "/usr/share/OVMF/OVMF_CODE.fd",
    "/usr/share/edk2/ovmf/OVMF_CODE.fd",
    "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
    "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
    "/usr/share/qemu/ovmf-x86_64-code.bin",
];

/// The installed SeaBIOS.
///
/// # Errors
/// When there is none; says how to get it.
pub fn seabios() -> Result<PathBuf, BootError> {
    let found = SEABIOS.iter().map(Path::new).find(|file| file.exists());
    found.map(Path::to_owned).ok_or(BootError::NotInstalled {
        what: "SeaBIOS",
        package: "seabios",
        option: "--bios",
    })
}

/// The code of the installed OVMF.
///
/// # Errors
/// When there is none; says how to get it.
pub fn ovmf() -> Result<PathBuf, BootError> {
    let found = OVMF.iter().map(Path::new).find(|file| file.exists());
    found.map(Path::to_owned).ok_or(BootError::NotInstalled {
        what: "OVMF",
        package: "ovmf",
        option: "--uefi",
    })
}

/// The variables that come with a firmware's code, if they lie beside it: the same name with VARS for CODE. Those of an image with
/// Secure Boot go with the keys that are in them, which its name does not say.
pub fn variables(code: &Path) -> Option<PathBuf> {
    let name = code.file_name()?.to_str()?;
    let own = [("CODE", "VARS"), ("code", "vars")].into_iter().find(|(word, _)| name.contains(word));
    let beside = own.map(|(word, other)| code.with_file_name(name.replace(word, other)));
    beside.filter(|file| file.exists()).or_else(|| {
        let plain = name.replace("CODE", "VARS").replace(".secboot", "");
        Some(code.with_file_name(plain)).filter(|file| file != code && file.exists())
    })
}
