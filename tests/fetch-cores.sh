#!/bin/bash
# Fetches what reads exported cores of the kernel that fetch-debian.sh fetched: its vmlinux with debug information (1 GB to
# fetch, 0.7 GB to keep), crash with the libraries it needs, and drgn and volatility3 in a Python environment. The symbol table that
# volatility3 wants is made from the vmlinux.
# usage: fetch-cores.sh [DIR]     DIR: $AMBER_CORES, else ~/.cache/amber-cores
#
# Needs apt and python3 with venv. gdb is taken from where it is installed.
set -euo pipefail
debian=${AMBER_DEBIAN:-$HOME/.cache/amber-debian}
here=$(dirname "$(readlink -f "$0")")
out=${1:-${AMBER_CORES:-$HOME/.cache/amber-cores}}
mkdir -p "$out"
cd "$out"
work=$(mktemp -d "$out/fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT

if [ ! -e vmlinux ]; then
    kernel=$(ls "$debian"/packages/linux-image-*.deb | head -1)
    symbols=$(dpkg-deb -f "$kernel" Package)-dbg=$(dpkg-deb -f "$kernel" Version)
    (cd "$work" && apt-get download -qq "$symbols")
    dpkg --fsys-tarfile "$work"/linux-image-*-dbg_*.deb | tar -x -C "$work" --wildcards './usr/lib/debug/boot/vmlinux-*'
    mv "$work"/usr/lib/debug/boot/vmlinux-* vmlinux
    rm "$work"/linux-image-*.deb
fi
if [ ! -e crash ]; then
    for package in crash liblzo2-2 libsnappy1v5; do
        (cd "$work" && apt-get download -qq "$package")
        dpkg -x "$work/$package"_*.deb unpacked
    done
    cat >crash.new <<'RUN'
#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/unpacked
LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu exec "$root/usr/bin/crash" "$@"
RUN
    chmod +x crash.new
    mv crash.new crash
fi
if [ ! -e python/bin/vol ]; then
    python3 -m venv python
    python/bin/pip install --quiet drgn volatility3
fi
if [ ! -e symbols/linux/vmlinux.json ]; then
    mkdir -p symbols/linux
    python/bin/python "$here/volatility-symbols.py" vmlinux "$work/vmlinux.json"
    mv "$work/vmlinux.json" symbols/linux/
fi
echo "$out: vmlinux, symbols, crash, python/bin/drgn, python/bin/vol"
