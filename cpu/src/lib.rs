//! placeholder
pub mod softfloat;
pub mod x87;
