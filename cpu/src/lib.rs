//! placeholder
pub mod softfloat;
