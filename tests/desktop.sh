#!/usr/bin/env bash
# Lints and tests the desktop program, its windows in an X server without a screen. Installs the Debian packages it is built and
# tested with where they are missing and this is root; the README lists those that running it takes.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(pkg-config libasound2-dev libxkbcommon-x11-0 libx11-xcb1 libxcursor1 libxi6 libxrandr2 mesa-vulkan-drivers
    xvfb xdotool imagemagick pulseaudio pulseaudio-utils libasound2-plugins)
missing=()
for package in "${packages[@]}"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
if ((${#missing[@]})) && [ "$(id -u)" = 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

cargo clippy -p amber-frontend --all-targets -- -D warnings
# One window at a time: what they show depends on how soon they are drawn.
cargo test -p amber-frontend -- --test-threads=1
