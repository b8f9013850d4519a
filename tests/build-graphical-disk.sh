#!/bin/bash
# Builds a guest with a graphical desktop from Debian's packages: X with a window manager, a terminal, a calculator and eyes, on
# the kernel of fetch-debian.sh, with keyboard and tablet at USB.
# usage: build-graphical-disk.sh [DIR]     DIR: $AMBER_DEBIAN, else ~/.cache/amber-debian; makes graphical.img and graphical.gz in it
#
#     amber-desktop --kernel vmlinuz --initrd graphical.gz --disk graphical.img --memory 1G \
#         --append 'console=tty0 console=ttyS0' --device usb-keyboard --device usb-tablet
#
# Needs what fetch-debian.sh left there, mmdebstrap, fakeroot, e2fsprogs, and apt as the host has it configured; no root where
# users may have namespaces of their own.
set -euo pipefail
out=${1:-${AMBER_DEBIAN:-$HOME/.cache/amber-debian}}
PATH=$PATH:/usr/sbin:/sbin
for tool in mmdebstrap fakeroot mke2fs cpio; do
    command -v "$tool" >/dev/null || {
        echo "no $tool: apt-get install mmdebstrap fakeroot e2fsprogs cpio" >&2
        exit 2
    }
done
[ -e "$out/vmlinuz" ] || {
    echo "no $out/vmlinuz: run tests/fetch-debian.sh first" >&2
    exit 2
}
work=$(mktemp -d "$out/graphical.XXXXXX")
trap 'rm -rf "$work"' EXIT
# mmdebstrap may be another user there.
chmod 777 "$work"

# The initramfs loads the drivers, mounts the disk and goes on there. In the order they are loaded.
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk"
modules="$modules crc16 mbcache jbd2 crc32c_generic ext4"
modules="$modules usb-common usbcore xhci-hcd xhci-pci hid usbhid hid-generic evdev"
modules="$modules drm drm_kms_helper ttm drm_ttm_helper drm_vram_helper bochs"
root=$work/initramfs
mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/mnt" "$root/modules"
for module in $modules; do
    cp "$(find "$out"/unpacked/linux-image-* -name "$module.ko" | head -1)" "$root/modules/"
done
cp "$out/busybox" "$root/bin/"
cat >"$root/init" <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $modules; do insmod /modules/\$module.ko; done
while [ ! -b /dev/vda ]; do usleep 10000; done
mount -t ext4 /dev/vda /mnt || exec poweroff -f
for at in proc sys dev; do mount --move /\$at /mnt/\$at; done
exec switch_root /mnt /sbin/start
INIT
chmod +x "$root/init"
(cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --reproducible --quiet) | gzip -n9 >"$out/graphical.gz.new"
mv "$out/graphical.gz.new" "$out/graphical.gz"
[ ! -e "$out/graphical.img" ] || exit 0

# No daemon finds the devices: they are named here.
cat >"$work/xorg.conf" <<'CONF'
Section "ServerFlags"
    Option "AutoAddDevices" "false"
    Option "BlankTime" "0"
    Option "DPMS" "false"
EndSection
Section "InputDevice"
    Identifier "keyboard"
    Driver "evdev"
    Option "Device" "/dev/input/keyboard"
    Option "CoreKeyboard" "true"
EndSection
Section "InputDevice"
    Identifier "tablet"
    Driver "evdev"
    Option "Device" "/dev/input/tablet"
    Option "CorePointer" "true"
EndSection
Section "Device"
    Identifier "screen"
    Driver "modesetting"
    Option "AccelMethod" "none"
EndSection
Section "Screen"
    Identifier "screen"
    DefaultDepth 24
    SubSection "Display"
        Depth 24
        Modes "800x600"
    EndSubSection
EndSection
Section "ServerLayout"
    Identifier "layout"
    InputDevice "keyboard"
    InputDevice "tablet"
EndSection
CONF
cat >"$work/start" <<'START'
#!/bin/bash
# Process 1: starts the desktop, says READY on serial port 0 when it stands, and powers off when the window manager ends.
export HOME=/root DISPLAY=:0 PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
hostname amber
event() {
    grep -A4 "Name=.*$1" /proc/bus/input/devices | grep -o 'event[0-9]*' | head -1
}
while [ -z "$(event Tablet)" ] || [ -z "$(event 'USB.*Keyboard')" ]; do sleep 0.1; done
ln -s "$(event Tablet)" /dev/input/tablet
ln -s "$(event 'USB.*Keyboard')" /dev/input/keyboard
setsid Xorg :0 vt7 -noreset -nolisten tcp >/dev/ttyS0 2>&1 &
until xset q >/dev/null 2>&1; do sleep 0.2; done
icewm >/dev/null 2>&1 &
manager=$!
until xprop -root _NET_SUPPORTING_WM_CHECK | grep -q '#'; do sleep 0.2; done
xterm -geometry 80x20+20+40 -title Terminal &
xcalc -geometry 230x300+540+40 &
xeyes -geometry 200x130+560+400 &
until [ "$(xwininfo -root -children | grep -c -e '"Terminal"' -e '"Calculator"' -e '"xeyes"')" -ge 3 ]; do sleep 0.2; done
# The window manager paints a background of its own when it starts.
sleep 3
xsetroot -solid '#30506c'
sleep 2
echo READY >/dev/ttyS0
wait $manager
mount -o remount,ro /
echo o >/proc/sysrq-trigger
sleep 60
START

packages=xserver-xorg-core,xserver-xorg-input-evdev,icewm,xterm,x11-apps,x11-utils,x11-xserver-utils,xfonts-base,fonts-dejavu-core
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -s "$file" ] && sources+=("$file")
done
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="cp '$work/xorg.conf' \"\$1/etc/X11/xorg.conf\"" \
    --customize-hook="cp '$work/start' \"\$1/sbin/start\"; chmod 755 \"\$1/sbin/start\"" \
    --customize-hook='rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*' \
    bookworm "$work/root.tar" "${sources[@]}"
mkdir "$work/root"
truncate -s 640M "$work/graphical.img"
export work
# fakeroot remembers whose the files are.
fakeroot bash -euc '
    tar -x -C "$work/root" --exclude="./dev/*" -f "$work/root.tar"
    E2FSPROGS_FAKE_TIME=1700000000 mke2fs -q -t ext4 -U 5eed5eed-5eed-5eed-5eed-5eed5eed5e13 -L graphical -d "$work/root" \
        -E hash_seed=5eed5eed-5eed-5eed-5eed-5eed5eed5e13,lazy_itable_init=0,lazy_journal_init=0 "$work/graphical.img"'
mv "$work/graphical.img" "$out/graphical.img"
