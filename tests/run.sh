#!/usr/bin/env bash
# Formats, lints and tests everything that is headless. Installs the Debian packages the tests use where they are
# missing and this is root: gcc and binutils (the images in roms/ are rebuilt and compared), gdb (the gdb server).
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
for package in gcc binutils gdb; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if ((${#missing[@]})) && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

cargo fmt --check
cargo clippy --workspace --exclude amber-frontend --all-targets -- -D warnings
# Where there is no JIT: as far as this machine can tell.
check_for() {
    local target=$1 compiler=$2
    if [[ $(rustup target list --installed 2>/dev/null) == *$target* ]] && command -v "$compiler" >/dev/null; then
        RUSTFLAGS="-D warnings" cargo check --target "$target" -p amber-emu
    fi
}
check_for aarch64-unknown-linux-gnu aarch64-linux-gnu-gcc
check_for x86_64-pc-windows-gnu x86_64-w64-mingw32-gcc
cargo build --release
cargo test --workspace --exclude amber-frontend
cargo run --release </dev/null
