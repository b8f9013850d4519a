#!/bin/bash
# Builds a Debian 12 system disk from Debian's packages: GPT, GRUB for BIOS and UEFI, an ext4 root with systemd, logins at ttyS0
# and tty1 (root, password amber). Any PC with AHCI, NVMe or virtio-blk boots it.
# usage: build-system-disk.sh [DIR]     DIR: $AMBER_DEBIAN, else ~/.cache/amber-debian; the disk is system.img in it
#
# Needs mmdebstrap, fakeroot, e2fsprogs, fdisk, dosfstools, mtools, and apt as the host has it configured. Root is not needed where users may
# have namespaces of their own, and no loop device anywhere: file systems are filled where they are made.
set -euo pipefail
out=${1:-${AMBER_DEBIAN:-$HOME/.cache/amber-debian}}
PATH=$PATH:/usr/sbin:/sbin
for tool in mmdebstrap fakeroot mke2fs sfdisk mkfs.vfat mcopy; do
    command -v "$tool" >/dev/null || {
        echo "no $tool: apt-get install mmdebstrap fakeroot e2fsprogs fdisk dosfstools mtools" >&2
        exit 2
    }
done
mkdir -p "$out"
[ ! -e "$out/system.img" ] || exit 0

work=$(mktemp -d "$out/system.XXXXXX")
trap 'rm -rf "$work"' EXIT
# mmdebstrap may be another user there.
chmod 777 "$work"

uuid=5eed5eed-5eed-5eed-5eed-5eed5eed5e12
# In sectors: what BIOS GRUB is embedded in, what UEFI reads, and the root.
bios_start=2048 bios_size=2048
esp_start=4096 esp_size=65536
root_start=69632 root_size=2621440
packages=linux-image-amd64,initramfs-tools,systemd-sysv,udev,dbus,libpam-systemd,kmod,e2fsprogs,grub-common
packages+=,grub-pc-bin,grub-efi-amd64-bin,util-linux,procps

cat >"$work/embedded.cfg" <<EOF
search --fs-uuid --set=root $uuid
set prefix=(\$root)/boot/grub
configfile (\$root)/boot/grub/grub.cfg
EOF
cat >"$work/grub.cfg" <<EOF
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=2
menuentry "Debian" {
    linux /vmlinuz root=UUID=$uuid ro console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
menuentry "Debian, single user" {
    linux /vmlinuz root=UUID=$uuid ro single console=tty0 console=ttyS0,115200
    initrd /initrd.img
}
EOF

# Runs when the packages are there, with the new root as its argument.
cat >"$work/customize" <<EOF
#!/bin/bash
set -euo pipefail
root=\$1
echo amber >"\$root/etc/hostname"
printf '127.0.0.1 localhost amber\n' >"\$root/etc/hosts"
printf 'UUID=$uuid / ext4 errors=remount-ro 0 1\n' >"\$root/etc/fstab"
echo root:amber | chroot "\$root" chpasswd
# Nothing asks for time or names of the net, and package lists are not needed.
rm -rf "\$root"/var/lib/apt/lists/* "\$root"/var/cache/apt/*
mkdir -p "\$root/boot/grub"
cp "$work/grub.cfg" "\$root/boot/grub/grub.cfg"
cp "$work/embedded.cfg" "\$root/tmp/embedded.cfg"
common="part_gpt ext2 fat search search_fs_uuid normal configfile linux echo serial terminal all_video gfxterm test sleep reboot halt ls cat"
chroot "\$root" grub-mkimage -O i386-pc -p /boot/grub -c /tmp/embedded.cfg -o /tmp/core.img biosdisk \$common
chroot "\$root" grub-mkimage -O x86_64-efi -p /boot/grub -c /tmp/embedded.cfg -o /tmp/grub.efi efi_gop \$common
cp "\$root/tmp/core.img" "\$root/usr/lib/grub/i386-pc/boot.img" "$work/"
cp "\$root/tmp/grub.efi" "$work/"
rm -f "\$root"/tmp/*
chmod 666 "$work"/*.img "$work/grub.efi"
EOF
chmod +x "$work/customize"

# The initramfs has what the three kinds of disks need, which makes it small.
mkdir "$work/modules"
printf '%s\n' virtio_pci virtio_blk nvme ahci sd_mod ext4 crc32c_generic >"$work/modules/modules"
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ -s "$file" ] && sources+=("$file")
done
mmdebstrap --quiet --variant=minbase --include="$packages" \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
    --essential-hook="cp '$work/modules/modules' \"\$1/etc/initramfs-tools/modules\"" \
    --essential-hook='printf "MODULES=list\nCOMPRESS=gzip\n" >"$1/etc/initramfs-tools/conf.d/disks"' \
    --customize-hook="$work/customize" \
    bookworm "$work/root.tar" "${sources[@]}"
mkdir "$work/root"
truncate -s $((root_size * 512)) "$work/root.ext4"
export uuid work
# fakeroot remembers whose the files are.
fakeroot bash -euc '
    tar -x -C "$work/root" --exclude="./dev/*" -f "$work/root.tar"
    E2FSPROGS_FAKE_TIME=1700000000 mke2fs -q -t ext4 -U $uuid -L system -d "$work/root" \
        -E hash_seed=$uuid,lazy_itable_init=0,lazy_journal_init=0 "$work/root.ext4"'

disk=$work/disk.img
truncate -s $(((root_start + root_size + 2048) * 512)) "$disk"
sfdisk --quiet "$disk" <<EOF
label: gpt
label-id: 5EED5EED-5EED-5EED-5EED-5EED5EED5E00
start=$bios_start, size=$bios_size, type=21686148-6449-6E6F-744E-656564454649
start=$esp_start, size=$esp_size, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start=$root_start, size=$root_size, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
EOF
put() { dd if="$1" of="$disk" bs=512 seek="$2" conv=notrunc,sparse status=none; }
# le VALUE BYTES: the value as so many bytes, the lowest first.
le() {
    local value=$1 n
    for ((n = 0; n < $2; n++)); do
        printf "\\x$(printf %02x $((value >> (8 * n) & 255)))"
    done
}

# GRUB's first sector has the sector of the second at 5Ch; that one, at its end, where the rest is and how long (GRUB,
# grub-core/boot/i386/pc: boot.S, diskboot.S). What is in the MBR from 1B8h on stays.
le $bios_start 8 | dd of="$work/boot.img" bs=1 seek=$((0x5c)) conv=notrunc status=none
head -c $((0x1b8)) "$work/boot.img" | dd of="$disk" bs=1 conv=notrunc status=none
sectors=$((($(stat -c %s "$work/core.img") + 511) / 512))
[ $sectors -le $bios_size ]
{ le $((bios_start + 1)) 8; le $((sectors - 1)) 2; le $((0x820)) 2; } |
    dd of="$work/core.img" bs=1 seek=$((512 - 12)) conv=notrunc status=none
put "$work/core.img" $bios_start

truncate -s $((esp_size * 512)) "$work/esp.img"
mkfs.vfat -i 5eed5e12 "$work/esp.img" >/dev/null
MTOOLS_SKIP_CHECK=1 mmd -i "$work/esp.img" ::EFI ::EFI/BOOT
MTOOLS_SKIP_CHECK=1 mcopy -i "$work/esp.img" "$work/grub.efi" ::EFI/BOOT/BOOTX64.EFI
put "$work/esp.img" $esp_start
put "$work/root.ext4" $root_start
chmod 644 "$disk"
mv "$disk" "$out/system.img"
