"""Runs a guest of tests/fetch-debian.sh under Amber or under QEMU's TCG and takes the time of its loads by the host's clock."""
import os
import pathlib
import re
import subprocess
import threading
import time

AMBER = os.environ.get("AMBER", "target/release/amber")
FOLDER = pathlib.Path(os.environ.get("AMBER_DEBIAN", pathlib.Path.home() / ".cache/amber-debian"))
LIMIT = 600


def guest(option, initramfs, append):
    append = "console=ttyS0 quiet panic=-1 mitigations=off " + append
    return [option + "kernel", str(FOLDER / "vmlinuz"), option + "initrd", str(FOLDER / initramfs), option + "append", append]


def amber(initramfs, append):
    """The command that runs a guest in Amber."""
    command = [AMBER, "run", "--headless", "--pace", "none", "--no-reboot", "--memory", "512M", "--cpus", "1"]
    return command + guest("--", initramfs, append)


def qemu(machine, initramfs, append):
    """The command that runs a guest in QEMU, on its machine `pc` or `q35`."""
    command = ["qemu-system-x86_64", "-M", machine, "-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", "512M", "-nographic"]
    return command + ["-no-reboot", "-net", "none"] + guest("-", initramfs, append)


def measure(command, cpu):
    """Runs a command on one CPU of the host: ({load: seconds}, {load: sum}), from the BEGIN, SUM and END the guest says."""
    run = subprocess.Popen(["taskset", "-c", str(cpu)] + command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL)
    late = threading.Timer(LIMIT, run.kill)
    late.start()
    began, seconds, sums = {}, {}, {}
    for line in run.stdout:
        now = time.monotonic()
        said = re.search(r"(BEGIN|SUM|END) (\S+) ?(\S*)", line.decode("latin1"))
        word, load, value = said.groups() if said else ("", "", "")
        if word == "BEGIN":
            began[load] = now
        elif word == "SUM":
            sums[load] = value
        elif word == "END":
            seconds[load] = now - began[load]
    run.wait()
    late.cancel()
    return seconds, sums
