#!/bin/bash
# Fetches what the tests that boot Debian need, with Debian's own tools: kernel, busybox, the kernel's modules for disks, and
# a System.map, which Debian ships as a stub and the guest's /proc/kallsyms makes up for.
# usage: fetch-debian.sh [DIR]     DIR: $AMBER_DEBIAN, else ~/.cache/amber-debian
#
# Needs apt, cpio, gzip, gcc, mke2fs, mkfs.fat (of dosfstools) and an emulator that boots the kernel once: $AMBER (a path), else qemu-system-x86_64.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
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

# pack NAME [MODULE...]: an initramfs with busybox, $program if there is one, modules, and the init script on standard input.
pack() {
    local root module file
    root=$(mktemp -d)
    mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/mnt" "$root/modules"
    for module in "${@:2}"; do
        file=$(find unpacked/linux-image-* -name "$module.ko*" | head -1)
        case $file in
            *.xz) xz -dc "$file" >"$root/modules/$module.ko" ;;
            *.ko) cp "$file" "$root/modules/" ;;
        esac
    done
    cp busybox ${program:+"$program"} "$root/bin/"
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

# Says what it is and which tasks it has, and stays at a shell.
pack shell.gz <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
sleep 1000000 &
exec sh -c 'cat /proc/version; echo TASKS; ps -o pid,comm; echo READY; exec sh'
INIT

# A file system with a journal, the same every time. It is an image below overlays: guests write those.
if [ ! -e ext4.img ]; then
    rm -f ext4.new
    truncate -s 48M ext4.new
    E2FSPROGS_FAKE_TIME=1700000000 /sbin/mke2fs -q -t ext4 -b 4096 -U 5eed5eed-5eed-5eed-5eed-5eed5eed5eed \
        -E hash_seed=5eed5eed-5eed-5eed-5eed-5eed5eed5eed,lazy_itable_init=0,lazy_journal_init=0 ext4.new
    mv ext4.new ext4.img
fi

# Diskettes with file systems, the same every time.
if [ ! -e diskette-ext2.img ]; then
    rm -f diskette.new
    truncate -s 1440K diskette.new
    E2FSPROGS_FAKE_TIME=1700000000 /sbin/mke2fs -q -t ext2 -U 5eed5eed-5eed-5eed-5eed-5eed5eed5eed \
        -E hash_seed=5eed5eed-5eed-5eed-5eed-5eed5eed5eed,lazy_itable_init=0 diskette.new
    mv diskette.new diskette-ext2.img
fi
if [ ! -e diskette-fat.img ]; then
    rm -f diskette.new
    /sbin/mkfs.fat -C --invariant -i 5eed5eed -F 12 diskette.new 1440 >/dev/null
    mv diskette.new diskette-fat.img
fi

# Two of these talk over a cable: one asks for a file, the other has it. The command line says host=1 or host=2.
network="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net"
pack network.gz $network <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $network; do insmod /modules/\$module.ko; done
ifconfig eth0 10.0.0.\$host up
cat /sys/class/net/eth0/address
if [ \$host = 2 ]; then
    nc -l -p 5000 </bin/busybox && echo PASS
else
    until ping -c 1 -W 1 10.0.0.2; do :; done
    ping -c 3 -s 1400 10.0.0.2
    # Its side stays open: at the end of it the other nc would end, too, with all that it has not sent.
    until sleep 5 | nc 10.0.0.2 5000 >/copy; do sleep 1; done
    cmp /bin/busybox /copy && echo PASS
fi
poweroff -f
INIT

# Has its address by DHCP, asks for a name, fetches a file from the host, sends it back, and takes a call. The command line
# says at which ports of the host (down=, up=), and one where nobody listens (closed=).
nat="$network e1000"
pack nat.gz $nat <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /etc
for module in $nat; do insmod /modules/\$module.ko; done
cat >/lease <<'LEASE'
#!/bin/busybox sh
[ "\$1" = bound ] || exit 0
ifconfig \$interface \$ip netmask \$subnet
route add default gw \$router
echo nameserver \$dns >/etc/resolv.conf
echo LEASE \$ip \$subnet \$router \$dns
LEASE
chmod +x /lease
ifconfig lo 127.0.0.1 up
ifconfig eth0 up
udhcpc -i eth0 -n -q -s /lease
cat /sys/class/net/eth0/address
ping -c 3 -s 1400 10.0.2.2
nslookup host.amber.test
echo BEGIN down
nc 10.0.2.2 \$down </dev/null >/file && echo END down
sha256sum </file
echo BEGIN up
nc 10.0.2.2 \$up </file && echo END up
nc 10.0.2.2 \$closed </dev/null || echo REFUSED
echo LISTENING
echo from the guest | nc -l -p 7
grep -e eth0 -e virtio /proc/interrupts
echo PASS
poweroff -f
INIT

# In the order they are loaded.
ext4="crc16 mbcache jbd2 crc32c_generic ext4"
modules="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk $ext4"
nvme_only="crc64 crc64-rocksoft crct10dif_common crc-t10dif t10-pi nvme-core nvme"
nvme_modules="$nvme_only $ext4"

scsi_disks="crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi sd_mod cdrom sr_mod $ext4 isofs"
ahci_modules="scsi_common scsi_mod libata libahci ahci $scsi_disks"
ide_modules="scsi_common scsi_mod libata ata_piix $scsi_disks"

# with_disk WORD DISK MODULES: an init script that mounts /dev/DISK, says WORD and goes on as standard input says. What the
# command line has as libata= is for that module.
with_disk() {
    cat <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(echo $3); do
    if [ \$module = libata ]; then insmod /modules/libata.ko \$libata; else insmod /modules/\$module.ko; fi
done
disk=$2
INIT
    cat <<'INIT'
# Some drivers look for disks in the background.
n=0
while [ ! -b /dev/$disk ] && [ $n -lt 1000 ]; do usleep 10000; n=$((n + 1)); done
cat /sys/block/$disk/serial /sys/block/$disk/device/serial 2>/dev/null; echo
mount -t ext4 /dev/$disk /mnt || exec poweroff -f
INIT
    cat <<INIT
echo $1
INIT
    cat
}

# Writes the disk for a while, and reads it back.
writing() {
    cat <<'INIT'
n=0
while [ $n -lt 40 ]; do
    head -c $((n * 5000)) /bin/busybox >/mnt/new
    mv /mnt/new /mnt/$((n % 7))
    sync
    n=$((n + 1))
done
cp /bin/busybox /mnt/copy
sync
umount /mnt
echo WRITTEN
echo 3 >/proc/sys/vm/drop_caches
mount -t ext4 /dev/$disk /mnt
while [ $n -gt 33 ]; do
    n=$((n - 1))
    head -c $((n * 5000)) /bin/busybox | cmp - /mnt/$((n % 7)) || exec poweroff -f
done
cmp /bin/busybox /mnt/copy || exec poweroff -f
umount /mnt
INIT
}

passed() {
    cat <<'INIT'
echo PASS
poweroff -f
INIT
}
{ writing; passed; } | with_disk WRITING vda "$modules" | pack disk.gz $modules

# The same on NVMe, which can discard, too.
nvme_writing() {
    cat <<'INIT'
cat /sys/block/$disk/queue/write_cache
ls -d /sys/block/$disk/mq/*
fstrim -v /mnt
INIT
    writing
    passed
}
nvme_writing | with_disk WRITING nvme0n1 "$nvme_modules" | pack nvme.gz $nvme_modules

# The same at an ATA controller, where all of a CD is read, too.
ata_writing() {
    cat <<'INIT'
n=0
while [ ! -b /dev/sr0 ] && [ $n -lt 1000 ]; do usleep 10000; n=$((n + 1)); done
cat /sys/block/$disk/device/queue_depth /sys/block/$disk/device/model /sys/block/sr0/device/model
cat /sys/block/$disk/queue/write_cache /sys/block/$disk/queue/fua
cat /sys/class/ata_device/dev1.0/xfer_mode
INIT
    writing
    cat <<'INIT'
mount -t iso9660 -o ro /dev/sr0 /mnt || exec poweroff -f
find /mnt -type f | wc -l
umount /mnt
md5sum /dev/sr0
INIT
    passed
}
ata_writing | with_disk WRITING sda "$ahci_modules" | pack ahci.gz $ahci_modules
ata_writing | with_disk WRITING sda "$ide_modules" | pack ide.gz $ide_modules

# The same on USB, where there are a keyboard and a tablet, too: says what they do.
usb_modules="usb-common usbcore xhci-hcd xhci-pci hid usbhid hid-generic evdev scsi_common scsi_mod usb-storage"
usb_modules="$usb_modules crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi sd_mod $ext4"
usb_writing() {
    writing
    cat <<'INIT'
grep -e Name -e Handlers /proc/bus/input/devices
for event in $(grep -h -A4 'USB' /proc/bus/input/devices | grep -o 'event[0-9]*'); do
    hexdump -v -e '4/4 "%x " 1/2 " '$event' %x " 1/2 "%x " 1/4 "%d\n"' /dev/input/$event &
done
usleep 100000
echo LISTENING
n=0
while [ $n -lt 300 ]; do usleep 10000; n=$((n + 1)); done
INIT
    passed
}
usb_writing | with_disk WRITING sda "$usb_modules" | pack usb.gz $usb_modules

# Reads a diskette, writes it and reads it back; the one in the other drive is protected.
pack floppy.gz floppy <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
insmod /modules/floppy.ko
n=0
while [ ! -b /dev/fd1 ] && [ $n -lt 1000 ]; do usleep 10000; n=$((n + 1)); done
grep -i -e floppy -e cascade /proc/interrupts /proc/dma /proc/ioports
md5sum /dev/fd0 /dev/fd1
head -c 300000 /bin/busybox | dd of=/dev/fd0 bs=5000 seek=100 conv=notrunc 2>/dev/null || exec poweroff -f
sync
echo 3 >/proc/sys/vm/drop_caches
head -c 300000 /bin/busybox >/copy
dd if=/dev/fd0 bs=5000 skip=100 count=60 2>/dev/null | cmp - /copy || exec poweroff -f
if echo 1 2>/dev/null >/dev/fd1; then exec poweroff -f; fi
echo PASS
poweroff -f
INIT

# Writes two diskettes in turns, an ext2 and a FAT, and reads them back.
diskettes="floppy $ext4 fat vfat nls_cp437 nls_ascii"
pack diskettes.gz $diskettes <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in $(echo $diskettes); do insmod /modules/\$module.ko; done
$(cat <<'WRITES'
n=0
while [ ! -b /dev/fd1 ] && [ $n -lt 1000 ]; do usleep 10000; n=$((n + 1)); done
mkdir /fat
mounted() {
    mount -t ext2 /dev/fd0 /mnt && mount -t vfat /dev/fd1 /fat || exec poweroff -f
}
mounted
echo WRITING
n=0
while [ $n -lt 12 ]; do
    for at in /mnt /fat; do
        head -c $((n * 4001)) /bin/busybox >$at/new
        mv $at/new "$at/A file with number $((n % 4))"
        sync
    done
    n=$((n + 1))
done
umount /mnt
umount /fat
echo WRITTEN
echo 3 >/proc/sys/vm/drop_caches
mounted
while [ $n -gt 8 ]; do
    n=$((n - 1))
    for at in /mnt /fat; do
        head -c $((n * 4001)) /bin/busybox | cmp - "$at/A file with number $((n % 4))" || exec poweroff -f
    done
done
umount /mnt
umount /fat
echo PASS
poweroff -f
WRITES
)
INIT

# The devices on virtio that are no disks and no network.
virtio="virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci"
greet() {
    cat <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $*; do insmod /modules/\$module.ko; done
INIT
}

# Reads random numbers.
{
    greet $virtio virtio-rng
    cat <<'INIT'
cat /sys/class/misc/hw_random/rng_available
echo "READ $(dd if=/dev/hwrng bs=64 count=1000 2>/dev/null | md5sum)"
echo PASS
poweroff -f
INIT
} | pack rng.gz $virtio virtio-rng

# Says on the virtio console what is typed there, and answers at the channel.
{
    greet $virtio virtio_console
    cat <<'INIT'
while [ ! -c /dev/hvc0 ]; do usleep 10000; done
for port in /sys/class/virtio-ports/*; do
    [ "$(cat $port/name 2>/dev/null)" = amber.channel.0 ] && channel=/dev/$(basename $port)
done
dmesg >/dev/hvc0
exec </dev/hvc0 >/dev/hvc0 2>&1
(read line <$channel; echo "heard $line" >$channel; echo CHANNEL $line) &
echo READY
while read line; do
    echo "TYPED $line"
    [ "$line" = end ] && break
done
wait
echo PASS
poweroff -f
INIT
} | pack console.gz $virtio virtio_console

gcc -O2 -static -o files "$here/debian/files.c"
# Uses a share in all the ways there are: lists it, copies it in itself, writes and reads 64 MiB, and many small files.
share="$virtio netfs fscache 9pnet 9pnet_virtio 9p"
{
    greet $share
    cat <<'INIT'
fail() { echo FAIL "$@"; poweroff -f; }
mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 share /mnt || fail mount
cd /mnt
echo LIST
find . -print0 | sort -z | xargs -0 stat -c '%f %u %g %h %Y %n'
find . -type f -print0 | sort -z | xargs -0 md5sum
find . -type l | sort | while read link; do echo "$link leads to $(readlink $link)"; done
echo END
cp -a tree copy || fail copy
(cd tree; find . -type f -print0 | sort -z | xargs -0 md5sum) >/1
(cd copy; find . -type f -print0 | sort -z | xargs -0 md5sum) | cmp - /1 || fail copy differs
echo COPIED
dd if=/dev/urandom of=/random bs=1M count=64 2>/dev/null
dd if=/random of=big bs=1M 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
cmp big /random || fail big
echo one >>log; echo two >>log
mv log moved; ln moved linked; ln -s linked followed
[ "$(cat followed)" = "$(printf 'one\ntwo')" ] || fail append
truncate -s 3 moved; truncate -s 5 moved
[ "$(od -An -tx1 linked)" = " 6f 6e 65 00 00" ] || fail truncate
mkdir bin && cp /bin/busybox bin/ && [ "$(bin/busybox echo runs)" = runs ] || fail exec
mkdir -p many/a
n=0; while [ $n -lt 1000 ]; do echo $n >many/a/$n.tmp; mv many/a/$n.tmp many/a/$n; n=$((n + 1)); done
[ $(ls many/a | wc -l) = 1000 ] || fail many
cat many/a/* | md5sum
rm -rf many
exec 3>gone; echo data >&3; rm gone; [ "$(cat /proc/self/fd/3)" = data ] || fail gone
exec 3>&-
files /mnt/locked || fail files
mkfifo pipe && mknod null c 1 3 && echo x >null || fail nodes
dd if=/dev/zero of=full bs=1M count=400 2>/dev/null && fail full
rm full
touch -d '2001-02-03 04:05:06' moved
cd / && umount /mnt && mount -t 9p -o trans=virtio,version=9p2000.L,ro share /mnt && cmp /mnt/big /random || fail again
umount /mnt
echo PASS
poweroff -f
INIT
} | program=files pack share.gz $share

# Plays a tone of 440 Hz on the sound card, and then one of 1000 Hz on the PC speaker.
sound_modules="soundcore snd snd-timer snd-pcm snd-hwdep snd-hda-core snd-hda-codec ledtrig-audio snd-hda-codec-generic"
sound_modules="$sound_modules snd-intel-sdw-acpi snd-intel-dspcfg snd-hda-intel"
gcc -O2 -static -o tone "$here/debian/tone.c" -lm
{
    cat <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(echo $sound_modules); do insmod /modules/\$module.ko; done
INIT
    cat <<'INIT'
n=0
while [ ! -c /dev/snd/pcmC0D0p ] && [ $n -lt 1000 ]; do usleep 10000; n=$((n + 1)); done
cat /proc/asound/cards /proc/asound/card0/codec#0
/bin/tone card 440 3000 || exec poweroff -f
usleep 300000
/bin/tone speaker 1000 500 || exec poweroff -f
usleep 300000
echo PASS
poweroff -f
INIT
} | program=tone pack sound.gz $sound_modules

# A bit of everything: processes, a tree of files, pipes, and several writers of the disk at the same time.
with_disk WORKING vda "$modules" <<'INIT' | pack work.gz $modules
for round in 1 2 3 4; do
    n=0
    while [ $n -lt 300 ]; do /bin/true; n=$((n + 1)); done
    for n in 1 2 3 4 5 6 7 8; do
        mkdir -p /mnt/tree/$n
        for file in a b c d e f g h; do echo $n $file >/mnt/tree/$n/$file; done
    done
    find /mnt/tree -type f | sort | xargs cat | md5sum
    gzip -c /bin/busybox >/mnt/gz &
    cp /bin/busybox /mnt/copy &
    dd if=/dev/zero of=/mnt/zeroes bs=5000 count=800 2>/dev/null &
    tar cf - /modules | tee /mnt/tar | sha256sum &
    n=0
    while [ $n -lt 200 ]; do
        echo $n >/mnt/log
        sync
        usleep 1000
        n=$((n + 1))
    done
    wait
    sync
    gzip -dc /mnt/gz | cmp - /bin/busybox || exec poweroff -f
    rm -r /mnt/tree /mnt/zeroes
done
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount -t ext4 /dev/vda /mnt
cmp /bin/busybox /mnt/copy && tar tf /mnt/tar >/dev/null || exec poweroff -f
umount /mnt
echo PASS
poweroff -f
INIT

# Takes what is plugged in, and says what is there whenever that changes: adapters have their address by DHCP, and ask the
# gateway. The kernel gives back what is asked for by itself.
hotplug="$modules $nvme_only failover net_failover virtio_net e1000"
pack hotplug.gz $hotplug <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(echo $hotplug); do insmod /modules/\$module.ko; done
$(cat <<'LOOP'
cat >/lease <<'LEASE'
#!/bin/busybox sh
[ "$1" = bound ] && ifconfig $interface $ip netmask $subnet && echo "LEASE $ip"
LEASE
chmod +x /lease
cd /sys/devices/system
while true; do
    for cpu in cpu/cpu*/online; do
        if [ "$(cat $cpu 2>/dev/null)" = 0 ]; then echo 1 2>/dev/null >$cpu; fi
    done
    for block in memory/memory*/state; do
        if [ "$(cat $block 2>/dev/null)" = offline ]; then echo online_movable 2>/dev/null >$block; fi
    done
    online=$(grep -l '^online' memory/memory*/state 2>/dev/null | wc -l)
    now="cpus $(cat cpu/online) blocks $online disks $(ls /sys/block | grep -E '^(vd|nvme)' | tr '\n' ' ')"
    now="${now}nics $(ls /sys/class/net | grep eth | tr '\n' ' ')"
    if [ "$now" != "$last" ]; then
        for disk in $(ls /sys/block | grep -E '^(vd|nvme)'); do
            echo "READ $disk $(head -c 65536 /dev/$disk | md5sum)"
        done
        for nic in $(ls /sys/class/net | grep eth); do
            driver=$(basename "$(readlink /sys/class/net/$nic/device/driver)")
            echo "NIC $nic $(cat /sys/class/net/$nic/address) $driver $(readlink -f /sys/class/net/$nic/device)"
            ifconfig $nic up
            udhcpc -i $nic -n -q -t 4 -T 1 -s /lease 2>/dev/null
            ping -c 2 -s 1400 -W 1 10.0.2.2 | grep received
        done
        echo "NOW $now."
        last=$now
    fi
    usleep 20000
done
LOOP
)
INIT

# Reads and writes a disk as fast as it can, for tests/bench/disks-beside-qemu.py. The command line says where the disk is (bus=)
# and what program=disk-load is told (megabytes=, count=).
gcc -O2 -static -o disk-load "$here/debian/disk-load.c"
ata_disks="scsi_common scsi_mod libata crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi sd_mod"
usb_disks="usb-common usbcore xhci-hcd xhci-pci scsi_common scsi_mod usb-storage crct10dif_common crc-t10dif crc64 crc64-rocksoft t10-pi sd_mod"
{
    cat <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
case \$bus in
    virtio) disk=vda modules="${modules%"$ext4"}" ;;
    nvme) disk=nvme0n1 modules="$nvme_only" ;;
    ahci) disk=sda modules="$ata_disks libahci ahci" ;;
    ide) disk=sda modules="$ata_disks ata_piix" ;;
    usb) disk=sda modules="$usb_disks" ;;
    floppy) disk=fd0 modules=floppy ;;
esac
INIT
    cat <<'INIT'
for module in $modules; do insmod /modules/$module.ko; done
n=0
while [ ! -b /dev/$disk ] && [ $n -lt 1000 ]; do usleep 10000; n=$((n + 1)); done
/bin/disk-load /dev/$disk $megabytes $count && echo ALL-DONE
poweroff -f
INIT
} | program=disk-load pack disk-load.gz ${modules%"$ext4"} $nvme_only $ata_disks libahci ahci ata_piix $usb_disks floppy

# Draws whole screens as fast as it can, and lines of text, for tests/bench/screens-beside-qemu.py.
gcc -O2 -static -o screen-load "$here/debian/screen-load.c"
program=screen-load pack screen-load.gz <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
seq 100000 200000 >/lines
echo BEGIN text-lines 100001
cat /lines >/dev/tty1
echo SUM text-lines $(md5sum </dev/vcs1)
echo END text-lines
/bin/screen-load && echo ALL-DONE
poweroff -f
INIT

# Has drives for media, and stays at a shell.
gcc -O2 -static -o media "$here/debian/media.c"
media_modules="$ahci_modules ata_piix floppy fat vfat nls_cp437 nls_ascii"
program=media pack media.gz $media_modules <<INIT
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in $(echo $media_modules); do insmod /modules/\$module.ko; done
$(cat <<'SHELL'
# As udev has it: the drives are asked what happened to their media.
echo 500 >/sys/module/block/parameters/events_dfl_poll_msecs
n=0
while [ ! -b /dev/sr0 ] && [ $n -lt 1000 ]; do usleep 10000; n=$((n + 1)); done
mkdir /floppy
echo READY
exec sh
SHELL
)
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
echo "$out: vmlinuz, busybox, initrd.gz, shell.gz, disk.gz, nvme.gz, ahci.gz, ide.gz, work.gz, hotplug.gz, rng.gz, console.gz, share.gz, disk-load.gz, screen-load.gz, media.gz, ext4.img, System.map ($(wc -l <System.map) symbols)"
