//! placeholder
pub mod lanes;
pub mod softfloat;
pub mod x87;
