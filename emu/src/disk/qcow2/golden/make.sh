#!/usr/bin/env bash
# Makes the images beside this script with qemu-img, each with the bytes a guest sees of it (.raw), as qemu-img has them.
# Made with qemu-img 7.2.22; the tests read what is checked in and need no QEMU.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

python3 - <<'PYTHON'
import random
random.seed(2026)
blocks = [b'\0' * 512, b'Amber disk block' * 32, random.randbytes(512), random.randbytes(512)]
disk = b''.join(random.choice(blocks) for _ in range(131))
open('disk.raw', 'wb').write(disk)
PYTHON

made=(disk.raw)
convert() {
    local name=$1
    shift
    qemu-img convert -O qcow2 "$@" disk.raw "$name.qcow2"
    made+=("$name.qcow2")
}
convert version2 -o compat=0.10,cluster_size=512
convert version3 -o cluster_size=4k
convert zlib -c -o cluster_size=4k
convert zlib2 -c -o compat=0.10,cluster_size=64k
convert zstd -c -o cluster_size=4k,compression_type=zstd

# A chain: parts of clusters, over compressed ones, over a raw file that is shorter.
qemu-img create -q -f qcow2 -o cluster_size=4k -b disk.raw -F raw middle.qcow2 100k
qemu-io -c 'write -P 1 3k 6k' -c 'write -z 16k 8k' -c 'write -c -P 2 32k 4k' -c 'write -P 3 90k 2k' middle.qcow2 >/dev/null
qemu-img create -q -f qcow2 -o cluster_size=16k,extended_l2=on -b middle.qcow2 -F qcow2 top.qcow2 90k
qemu-io -c 'write -P 4 1k 512' -c 'write -z 20k 1k' -c 'write -P 5 48k 17k' top.qcow2 >/dev/null
qemu-img convert -O raw top.qcow2 top.raw
qemu-img convert -O raw middle.qcow2 middle.raw
made+=(middle.qcow2 middle.raw top.qcow2 top.raw)

for file in "${made[@]}"; do
    gzip -9n <"$file" >"$here/$file.gz"
done
