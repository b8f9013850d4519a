#!/usr/bin/env python3
"""Snapshots of QEMU and of Amber, measured one after the other on the same guest: Debian's kernel, idle at busybox's shell.

usage: snapshot-beside-qemu.py [--amber FILE] [--qemu FILE] [--debian DIR] [--memory MIB] [--rounds N] [--json]

Needs what tests/fetch-debian.sh fetches (in $AMBER_DEBIAN, else ~/.cache/amber-debian) and a release build. Both guests have one
processor and no network. QEMU runs with -accel tcg and an empty qcow2 disk, for savevm. Measured are the times until the
monitor answers (savevm, loadvm) or the migration to a file is complete; medians of N rounds. Then the guest takes 200 MiB
of random data, and savevm is measured again. Amber boots the same guest, is saved by its control socket, and
`amber bench snapshot` measures the rest.
"""
import argparse
import gzip
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo; echo SHELL
while true; do setsid cttyhack sh; done
"""
APPEND = "console=ttyS0 quiet panic=-1"
RANDOM = b"dd if=/dev/urandom of=/random bs=1M count=200 2>/dev/null; echo DONE-$((1+1))\n"
CLUSTER = 1 << 16
PATIENCE = 600


def cpio(entries):
    """An initramfs (newc) of (name, mode, bytes)."""
    out = b""
    for n, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")]):
        fields = [n + 1, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        head = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        for part in (head, data):
            out += part + b"\0" * (-len(part) % 4)
    return gzip.compress(out, mtime=0)


def initramfs(busybox):
    folders = [(name, 0o040755, b"") for name in ("bin", "dev", "proc", "sys")]
    # The kernel opens it for init before devtmpfs is there.
    return cpio(folders + [("bin/busybox", 0o100755, busybox), ("init", 0o100755, INIT.encode())])


def empty_qcow2(file, size):
    """An empty image (qcow2 version 2): header, one L1 table, one refcount table, one refcount block."""
    l1 = -(-size // (CLUSTER * CLUSTER // 8))
    header = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 0, 0, 16, size, 0, l1, 3 * CLUSTER, CLUSTER, 1, 0, 0)
    refcounts = struct.pack(">Q", 2 * CLUSTER)
    block = struct.pack(">4H", 1, 1, 1, 1)
    with open(file, "wb") as out:
        for part in (header, refcounts, block, b"\0" * (l1 * 8)):
            out.write(part + b"\0" * (-len(part) % CLUSTER))


def connected(path, process):
    end = time.monotonic() + 10
    while True:
        try:
            one = socket.socket(socket.AF_UNIX)
            one.connect(path)
            return one
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                sys.exit(f"{path}: nobody listens there")
            time.sleep(0.05)


def await_text(stream, text, what):
    """Reads what a guest says until it says `text`."""
    seen, end = b"", time.monotonic() + PATIENCE
    while text not in seen:
        part = stream(4096)
        if not part or time.monotonic() > end:
            sys.exit(f"{what}: the guest did not come to {text!r}; it said last: {seen[-500:]!r}")
        seen += part


class Qemu:
    """A guest under QEMU."""

    def __init__(self, args, folder, kernel, initrd):
        disk, monitor, serial = (os.path.join(folder, name) for name in ("disk.qcow2", "monitor", "serial"))
        empty_qcow2(disk, 1 << 30)
        command = [args.qemu, "-M", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(args.memory),
                   "-nodefaults", "-no-user-config", "-display", "none", "-net", "none",
                   "-kernel", kernel, "-initrd", initrd, "-append", APPEND,
                   "-drive", f"file={disk},if=virtio,format=qcow2",
                   "-chardev", f"socket,id=monitor,path={monitor},server=on,wait=off", "-mon", "chardev=monitor,mode=control",
                   "-chardev", f"socket,id=serial,path={serial},server=on,wait=off", "-serial", "chardev:serial"]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        self.serial = connected(serial, self.process)
        self.monitor = connected(monitor, self.process).makefile("rwb")
        self.monitor.readline()
        self.ask("qmp_capabilities")

    def ask(self, execute, **arguments):
        self.monitor.write(json.dumps({"execute": execute, "arguments": arguments}).encode() + b"\n")
        self.monitor.flush()
        while True:
            answer = json.loads(self.monitor.readline())
            if "error" in answer:
                sys.exit(f"qemu: {execute}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]

    def human(self, line):
        said = self.ask("human-monitor-command", **{"command-line": line})
        if said.strip():
            sys.exit(f"qemu: {line}: {said.strip()}")

    def migrate(self, file):
        """Milliseconds a migration to `file` takes, and the length of that."""
        self.ask("migrate-set-parameters", **{"max-bandwidth": 1 << 40})
        start = time.monotonic()
        self.ask("migrate", uri=f"exec:cat > {file}")
        while (state := self.ask("query-migrate").get("status")) != "completed":
            if state in ("failed", "cancelled"):
                sys.exit(f"qemu: the migration {state}")
            time.sleep(0.001)
        took = (time.monotonic() - start) * 1e3
        self.ask("cont")
        size = os.path.getsize(file)
        os.remove(file)
        return took, size

    def quit(self):
        self.ask("quit")
        self.process.wait()


def timed(act, *args):
    start = time.monotonic()
    act(*args)
    return (time.monotonic() - start) * 1e3


def measure_qemu(args, folder, kernel, initrd):
    qemu = Qemu(args, folder, kernel, initrd)
    await_text(qemu.serial.recv, b"SHELL", "qemu")
    time.sleep(2)
    rows = {"savevm": [], "loadvm": [], "migrate": [], "savevm-random": []}
    for _ in range(args.rounds):
        rows["savevm"].append(timed(qemu.human, "savevm one"))
        rows["loadvm"].append(timed(qemu.human, "loadvm one"))
        took, size = qemu.migrate(os.path.join(folder, "migrated"))
        rows["migrate"].append(took)
        qemu.human("delvm one")
    qemu.serial.sendall(RANDOM)
    await_text(qemu.serial.recv, b"DONE-2", "qemu")
    for _ in range(args.rounds):
        rows["savevm-random"].append(timed(qemu.human, "savevm two"))
        qemu.human("delvm two")
    qemu.quit()
    return {**{name: statistics.median(times) for name, times in rows.items()}, "file": size / 1e6}


def measure_amber(args, folder, kernel, initrd):
    store, control = os.path.join(folder, "store"), os.path.join(folder, "control")
    run = [args.amber, "run", "--headless", "--kernel", kernel, "--initrd", initrd, "--append", APPEND,
           "--memory", f"{args.memory}M", "--store", store, "--control", control]
    process = subprocess.Popen(run, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    await_text(process.stdout.read1, b"SHELL", "amber")
    time.sleep(2)
    for request in (["save", "idle"], ["quit"]):
        subprocess.run([args.amber, "ctl", control, *request], check=True, stdout=subprocess.DEVNULL)
    process.wait()
    bench = [args.amber, "bench", "snapshot", "--json", "--store", store, "--from", "idle"]
    return json.loads(subprocess.run(bench, check=True, stdout=subprocess.PIPE).stdout)


# Of QEMU's figures, what stands beside which of Amber's.
BESIDE = {
    "full-save-pause": ("savevm", "savevm"),
    "full-save": ("savevm", "savevm"),
    "random-save-pause": ("savevm-random", "savevm"),
    "random-save": ("savevm-random", "savevm"),
    "export": ("migrate", "migrate to a file"),
    "file": ("file", "file of the migration"),
    "cold-start": ("loadvm", "loadvm"),
}


def table(qemu, amber, memory):
    heads = ("", "Amber", "", "target", "", "QEMU", "", "")
    rows = [heads]
    for figure in amber:
        beside = BESIDE.get(figure["name"])
        target = figure.get("target")
        if figure["name"] == "file" and memory == 512:
            target = qemu["file"] / 2
        met = None if target is None else (figure["value"] >= target if figure.get("at-least") else figure["value"] <= target)
        rows.append((
            figure["what"], f"{figure['value']:,.2f}", figure["unit"],
            "" if target is None else (">= " if figure.get("at-least") else "<= ") + f"{target:,.1f}",
            {None: "", True: "met", False: "MISSED"}[met],
            f"{qemu[beside[0]]:,.1f}" if beside else "", figure["unit"] if beside else "", beside[1] if beside else ""))
    widths = [max(len(row[n]) for row in rows) for n in range(len(heads))]
    right = (1, 3, 5)
    for row in rows:
        cells = (cell.rjust(w) if n in right else cell.ljust(w) for n, (cell, w) in enumerate(zip(row, widths)))
        print("  ".join(cells).rstrip())


def main():
    home = os.path.expanduser("~/.cache/amber-debian")
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--amber", default=os.path.join(root, "target/release/amber"))
    parser.add_argument("--qemu", default="qemu-system-x86_64")
    parser.add_argument("--debian", default=os.environ.get("AMBER_DEBIAN", home))
    parser.add_argument("--memory", type=int, default=512, help="MiB of RAM of both guests")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    kernel = os.path.join(args.debian, "vmlinuz")
    with tempfile.TemporaryDirectory() as folder:
        initrd = os.path.join(folder, "initrd.gz")
        with open(os.path.join(args.debian, "busybox"), "rb") as busybox, open(initrd, "wb") as out:
            out.write(initramfs(busybox.read()))
        qemu = measure_qemu(args, folder, kernel, initrd)
        amber = measure_amber(args, folder, kernel, initrd)
    load = os.getloadavg()[0]
    if args.json:
        print(json.dumps({"memory-mib": args.memory, "load": load, "qemu": qemu, "amber": amber}, indent=2))
    else:
        print(f"{args.memory} MiB guest, load of the host {load:.1f}\n")
        table(qemu, amber, args.memory)


if __name__ == "__main__":
    main()
