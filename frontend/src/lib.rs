//! The desktop program `amber-desktop` (window, sound, input, panels) will live here.
