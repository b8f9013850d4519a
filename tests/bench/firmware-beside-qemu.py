#!/usr/bin/env python3
"""How long firmware takes under Amber and under QEMU's TCG, one after the other on the same host: OVMF to its shell, SeaBIOS to GRUB's
menu on a disk, and both to the login of tests/build-system-disk.sh's disk.

usage: firmware-beside-qemu.py [ROUNDS]     needs qemu-system-x86_64, seabios, ovmf, and AMBER, the program's path
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

AMBER = os.environ.get("AMBER", "target/release/amber")
FOLDER = pathlib.Path(os.environ.get("AMBER_DEBIAN", pathlib.Path.home() / ".cache/amber-debian"))
DISK = FOLDER / "system.img"
OVMF = "/usr/share/OVMF/OVMF_CODE_4M.fd"
LIMIT = 300


def amber(uefi, disk):
    command = [AMBER, "run", "--headless", "--pace", "none"]
    command += ["--disk", str(disk)] if disk else []
    return command + (["--uefi"] if uefi else ["--bios"])


def qemu(uefi, disk, scratch):
    command = ["qemu-system-x86_64", "-M", "q35", "-accel", "tcg", "-m", "512", "-display", "none", "-serial", "stdio"]
    command += ["-monitor", "none", "-net", "none"]
    if uefi:
        variables = scratch / "vars.fd"
        shutil.copy(OVMF.replace("CODE", "VARS"), variables)
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}"]
        command += ["-drive", f"if=pflash,format=raw,file={variables}"]
    if disk:
        command += ["-drive", f"if=none,id=d,file={disk},format=raw,snapshot=on", "-device", "virtio-blk-pci,drive=d"]
    return command


def seconds_to(command, mark):
    """Time until the serial port has said `mark`."""
    start = time.monotonic()
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    said = b""
    try:
        while mark not in said and time.monotonic() - start < LIMIT:
            piece = os.read(run.stdout.fileno(), 4096)
            if not piece:
                break
            said = said[-4096:] + piece
    finally:
        run.kill()
        run.wait()
    return time.monotonic() - start if mark in said else float("nan")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    cases = [("OVMF to its shell", True, None, b"Shell>")]
    if DISK.is_file():
        cases += [
            ("SeaBIOS to GRUB's menu", False, DISK, b"GNU GRUB"),
            ("OVMF to GRUB's menu", True, DISK, b"GNU GRUB"),
            ("SeaBIOS to a login", False, DISK, b"amber login:"),
            ("OVMF to a login", True, DISK, b"amber login:"),
        ]
    print(f"{'seconds, best of ' + str(rounds):28} {'Amber':>8} {'QEMU':>8}")
    with tempfile.TemporaryDirectory() as folder:
        for name, uefi, disk, mark in cases:
            ours = min(seconds_to(amber(uefi, disk), mark) for _ in range(rounds))
            theirs = min(seconds_to(qemu(uefi, disk, pathlib.Path(folder)), mark) for _ in range(rounds))
            print(f"{name:28} {ours:8.2f} {theirs:8.2f}", flush=True)


main()
