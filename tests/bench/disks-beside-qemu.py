#!/usr/bin/env python3
"""Reads and writes of a disk under Amber and under QEMU's TCG, one after the other on the same host: 1 GiB in requests of 1 MiB,
then blocks of 4 KiB anywhere in it, one at a time and 32 at a time. A floppy is read and written whole.

usage: disks-beside-qemu.py [--buses virtio,nvme,ahci,ide,usb,floppy] [--rounds N] [--count N] [--megabytes N] [--cpu N]

Needs qemu-system-x86_64, the guest of tests/fetch-debian.sh, and AMBER, the program's path. Prints MB/s of a sequential load and
thousands of requests a second of a random one, medians of the rounds, by the host's clock; both must have read the same bytes.
Exits 1 if they did not, if a load is missing, or if Amber is slower at one.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile

from beside import amber, measure, qemu

LOADS = ["sequential-write", "sequential-read", "random-write", "random-read", "random-write-32", "random-read-32"]
BUSES = ["virtio", "nvme", "ahci", "ide", "usb", "floppy"]
FLOPPY = 1440 << 10
FLOPPY_COUNT = 300



def guest(args, bus):
    """The initramfs and what the command line says to it."""
    megabytes, count = (0, FLOPPY_COUNT) if bus == "floppy" else (args.megabytes, args.count)
    return "disk-load.gz", f"bus={bus} megabytes={megabytes} count={count}"


def with_amber(args, bus, image):
    disk = ["--floppy", str(image)] if bus == "floppy" else ["--disk", f"{image},if={bus},format=raw"]
    return amber(*guest(args, bus)) + disk


def with_qemu(args, bus, image):
    device = {
        "virtio": ["-device", "virtio-blk-pci,drive=d"],
        "nvme": ["-device", "nvme,drive=d,serial=d"],
        "ahci": ["-device", "ide-hd,drive=d,bus=ide.0"],
        "ide": ["-device", "ide-hd,drive=d,bus=ide.0"],
        "usb": ["-device", "qemu-xhci", "-device", "usb-storage,drive=d"],
        "floppy": ["-device", "floppy,drive=d"],
    }[bus]
    machine = "pc" if bus in ("ide", "floppy") else "q35"
    return qemu(machine, *guest(args, bus)) + ["-drive", f"if=none,id=d,format=raw,file={image}"] + device


def rate(args, bus, load, seconds):
    if load.startswith("sequential"):
        return (FLOPPY if bus == "floppy" else args.megabytes << 20) / seconds / 1e6
    return (FLOPPY_COUNT if bus == "floppy" else args.count) / seconds / 1e3


def compare(args, bus, folder):
    """Prints the rows of one kind of disk. Returns whether Amber was right and at least as fast."""
    emulators, times, sums = [with_amber, with_qemu], [[], []], [set(), set()]
    for _ in range(args.rounds):
        for n, emulator in enumerate(emulators):
            image = pathlib.Path(folder) / "disk.img"
            with open(image, "wb") as file:
                file.truncate(FLOPPY if bus == "floppy" else args.megabytes << 20)
            seconds, read = measure(emulator(args, bus, image), args.cpu)
            times[n].append(seconds)
            sums[n].add(tuple(sorted(read.items())))
    good = sums[0] == sums[1] and len(sums[0]) == 1
    for load in LOADS:
        if any(load not in seconds for seconds in times[0] + times[1]):
            print(f"{bus:8} {load:18} missing", flush=True)
            good = False
            continue
        ours, theirs = (rate(args, bus, load, statistics.median(t[load] for t in emulator)) for emulator in times)
        unit = "MB/s" if load.startswith("sequential") else "k/s"
        print(f"{bus:8} {load:18} {ours:10.2f} {theirs:10.2f} {unit:5} {ours / theirs:6.2f}", flush=True)
        good &= ours >= theirs
    if sums[0] != sums[1]:
        print(f"{bus:8} what was read differs")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--buses", default=",".join(BUSES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=32768)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--cpu", type=int, default=1)
    args = parser.parse_args()
    print(f"{'disk':8} {'load':18} {'Amber':>10} {'QEMU':>10}       {'ratio':>6}")
    with tempfile.TemporaryDirectory() as folder:
        good = [compare(args, bus, folder) for bus in args.buses.split(",")]
    sys.exit(0 if all(good) else 1)


main()
