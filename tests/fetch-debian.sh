#!/bin/bash
# Fetches what the tests that boot Debian need, with Debian's own tools: kernel, busybox, and a System.map, which Debian
# ships as a stub and the guest's /proc/kallsyms makes up for.
# usage: fetch-debian.sh [DIR]     DIR: $AMBER_DEBIAN, else ~/.cache/amber-debian
#
# Needs apt, cpio, gzip and an emulator that boots the kernel once: $AMBER (a path), else qemu-system-x86_64.
set -euo pipefail
out=${1:-${AMBER_DEBIAN:-$HOME/.cache/amber-debian}}
mkdir -p "$out/packages" "$out/unpacked"
cd "$out"

download() {
    (cd packages && apt-get download -qq "$1")
    dpkg -x packages/"$1"_*.deb "unpacked/$1"
}

if [ ! -e vmlinuz ]; then
    package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[^ ]*\)/\1/p' | head -1)
    download "$package"
    cp unpacked/"$package"/boot/vmlinuz-* vmlinuz.new
    mv vmlinuz.new vmlinuz
fi
if [ ! -e busybox ]; then
    download busybox-static
    cp "$(find unpacked/busybox-static -path '*bin/busybox' -type f | head -1)" busybox.new
    mv busybox.new busybox
fi

# pack NAME: an initramfs with busybox and the init script on standard input.
pack() {
    local root
    root=$(mktemp -d)
    mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev"
    cp busybox "$root/bin/busybox"
    cat >"$root/init"
    chmod +x "$root/init"
    (cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --reproducible --quiet) | gzip -n9 >"$1.new"
    mv "$1.new" "$1"
    rm -r "$root"
}

pack initrd.gz <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
uname -a
grep -c ^processor /proc/cpuinfo
echo PASS
poweroff -f
INIT

if [ ! -e System.map ]; then
    pack symbols.gz <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
echo; echo SYMBOLS
gzip -c /proc/kallsyms | base64
echo END
poweroff -f
INIT
    append='console=ttyS0 nokaslr quiet panic=-1'
    if [ -n "${AMBER:-}" ]; then
        boot=("$AMBER" run --headless --no-reboot)
    else
        boot=(qemu-system-x86_64 -nographic -net none -no-reboot -m 512)
    fi
    if [ "${boot[0]}" = "${AMBER:-}" ]; then kernel=--kernel initrd=--initrd option=--append; else
        kernel=-kernel initrd=-initrd option=-append; fi
    "${boot[@]}" "$kernel" vmlinuz "$initrd" symbols.gz "$option" "$append" </dev/null >symbols.log
    tr -d '\r' <symbols.log | sed -n '/^SYMBOLS$/,/^END$/p' | sed '1d;$d' | base64 -d | gzip -dc |
        sed 's/\t.*//' >System.map.new
    grep -q ' T start_kernel$' System.map.new
    mv System.map.new System.map
fi
echo "$out: vmlinuz, busybox, initrd.gz, System.map ($(wc -l <System.map) symbols)"
