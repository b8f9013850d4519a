#!/bin/sh
# Rebuilds all images: build.sh [OUTPUT_DIR]. Without a directory, the committed images are replaced.
# Needs gcc and binutils only. The same compiler makes the same bytes; compiler.txt names the one used.
set -eu
export LC_ALL=C
roms=$(cd "$(dirname "$0")" && pwd)
out=${1:-$roms}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$roms"

flags="-Os -std=gnu11 -Wall -Wextra -Werror -Wno-unused-function -Wno-array-bounds -Wno-clobbered -ffreestanding -nostdlib -fno-pic -fno-pie
 -mgeneral-regs-only -mno-red-zone -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables
 -fno-omit-frame-pointer -fno-strict-aliasing -fno-ident -fno-tree-loop-distribute-patterns -Icommon"

# Code of all modes is linked into one ELF64: 16- and 32-bit C goes through assembly, marked with its mode.
compile() { # SOURCE OBJECT
    case $1 in
        *.S) gcc -m64 -c -Wa,--noexecstack -Icommon "$1" -o "$2" ;;
        *real.c)
            gcc $flags -m16 -DREAL_UNIT -S "$1" -o "$work/unit.s"
            as --64 -o "$2" "$work/unit.s" ;;
        *32.c)
            gcc $flags -m32 -S "$1" -o "$work/unit32.s"
            { echo .code32; cat "$work/unit32.s"; } > "$work/unit.s"
            as --64 -o "$2" "$work/unit.s" ;;
        *) gcc $flags -m64 -c "$1" -o "$2" ;;
    esac
}

image() { # NAME SIZE
    objects=
    for source in common/start.S common/shared.c common/idt64.c "$1"/src/*.[cS]; do
        object="$work/$1-$(basename "${source%.*}").o"
        compile "$source" "$object"
        objects="$objects $object"
    done
    ld -n --no-warn-rwx-segments -T common/program.ld -o "$work/$1.elf" $objects
    objcopy -O binary "$work/$1.elf" "$work/$1.bin"
    gcc -m64 -c -Icommon -DROM_SIZE="$2" -DPROGRAM_FILE="\"$work/$1.bin\"" common/rom.S -o "$work/$1-rom.o"
    mkdir -p "$out/$1"
    objcopy -O binary -j .text "$work/$1-rom.o" "$out/$1/image.bin"
}

for rom in ${ROMS:-selftest interrupts paging smp requests disk display monitor boottable}; do
    case $rom in
        selftest) image selftest 0x20000 ;;
        *) image "$rom" 0x10000 ;;
    esac
done
# A program for Linux guests, not firmware.
mkdir -p "$out/amberctl"
gcc -Os -std=gnu11 -Wall -Wextra -Werror -ffreestanding -nostdlib -static -fno-pic -no-pie -fno-stack-protector -fcf-protection=none \
    -fno-asynchronous-unwind-tables -fno-ident -Icommon -Wl,--build-id=none -Wl,-z,noseparate-code -Wl,-s \
    -o "$out/amberctl/image.bin" amberctl/src/amberctl.c

{ gcc -dumpfullversion; as --version | head -n 1; } > "$out/compiler.txt"
