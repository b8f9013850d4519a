//! How a command ended (NVM Express 1.4, 4.6.1.2).

/// Status code, its type above it, and "do not retry", as in bits 31:17 of a completion's last dword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub u16);

const DO_NOT_RETRY: u16 = 1 << 14;

const fn generic(code: u16) -> Status {
    Status(DO_NOT_RETRY | code)
}

const fn specific(code: u16) -> Status {
    Status(DO_NOT_RETRY | 1 << 8 | code)
}

const fn medium(code: u16) -> Status {
    Status(DO_NOT_RETRY | 2 << 8 | code)
}

impl Status {
    pub const SUCCESS: Self = Self(0);
    pub const INVALID_OPCODE: Self = generic(0x01);
    pub const INVALID_FIELD: Self = generic(0x02);
    /// The driver asked for it: whether it tries again is its affair.
    pub const ABORTED: Self = Self(0x07);
    pub const QUEUE_DELETED: Self = Self(0x08);
    pub const INVALID_NAMESPACE: Self = generic(0x0b);
    pub const PRP_OFFSET: Self = generic(0x13);
    pub const WRITE_PROTECTED: Self = generic(0x20);
    pub const OUT_OF_RANGE: Self = generic(0x80);

    pub const INVALID_COMPLETION_QUEUE: Self = specific(0x00);
    pub const INVALID_QUEUE: Self = specific(0x01);
    pub const INVALID_QUEUE_SIZE: Self = specific(0x02);
    pub const TOO_MANY_EVENT_REQUESTS: Self = specific(0x05);
    pub const INVALID_VECTOR: Self = specific(0x08);
    pub const INVALID_LOG_PAGE: Self = specific(0x09);
    pub const INVALID_QUEUE_DELETION: Self = specific(0x0c);
    pub const NOT_SAVEABLE: Self = specific(0x0d);

    pub const WRITE_FAULT: Self = medium(0x80);
    pub const READ_ERROR: Self = medium(0x81);
    pub const COMPARE_FAILURE: Self = medium(0x85);
}
