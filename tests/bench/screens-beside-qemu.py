#!/usr/bin/env python3
"""Whole screens drawn under Amber and under QEMU's TCG, one after the other on the same host: lines of text on Linux's console, a
linear frame buffer of 1024x768 filled and scrolled, 320x200 in 256 colours and 640x480 in four planes.

usage: screens-beside-qemu.py [--rounds N] [--cpu N]

Needs qemu-system-x86_64, the guest of tests/fetch-debian.sh, and AMBER, the program's path. Prints screens (or lines of text) a
second, medians of the rounds, by the host's clock; both must have drawn the same. Exits 1 if they did not, if a load is missing,
or if Amber is slower at one.
"""
import argparse
import statistics
import sys

from beside import amber, measure, qemu

COUNTS = {"text-lines": 100001, "linear-fill": 400, "linear-scroll": 100, "chained-320x200": 4000, "planar-640x480": 400}
GUEST = ("screen-load.gz", "")


def row(load, ours, theirs):
    """Prints a load's row. Returns whether Amber is at least as fast."""
    if not ours or not theirs:
        print(f"{load:18} missing")
        return False
    ours, theirs = (COUNTS[load] / statistics.median(seconds) for seconds in (ours, theirs))
    print(f"{load:18} {ours:10.1f} {theirs:10.1f} {ours / theirs:8.2f}", flush=True)
    return ours >= theirs


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", type=int, default=1)
    args = parser.parse_args()
    commands = [amber(*GUEST), qemu("q35", *GUEST)]
    runs = [[measure(command, args.cpu) for command in commands] for _ in range(args.rounds)]
    ours, theirs = zip(*runs)
    print(f"{'a second':18} {'Amber':>10} {'QEMU':>10} {'ratio':>8}")
    good = True
    for load in COUNTS:
        good &= row(load, *([seconds[load] for seconds, _ in runs if load in seconds] for runs in (ours, theirs)))
        drawn = {sums.get(load) for _, sums in ours + theirs}
        if len(drawn) != 1:
            print(f"{load}: what was drawn differs: {drawn}")
            good = False
    sys.exit(0 if good else 1)


main()
