// The numbers of wasm/shared/abi.ts and aead.ts that this side needs: where the fields of a descriptor stand. Those files have
// the pictures and are the ones to change; `layoutConstants` hands these to a test that compares the two.

use napi_derive::napi;

macro_rules! constants {
    ($($name:ident = $value:expr;)*) => {
        $(pub const $name: i32 = $value;)*

        /// Every constant with its name in abi.ts, for the test that holds both sides together.
        const ALL: &[(&str, i32)] = &[$((stringify!($name), $name)),*];
    };
}

constants! {
    RX_DESCRIPTOR_LENGTH = 16;
    RX_OFFSET = 0;
    RX_LENGTH = 4;
    RX_PORT = 8;
    RX_SEGMENT = 10;
    RX_FLAGS = 12;
    RX_SENDER_ADDRESS = -32;
    RX_SENDER_PORT = -16;
    RX_LOCAL_ADDRESS = -64;
    RX_FLAG_TRUNCATED = 1;
    RX_FLAG_VLAN = 4;
    RX_FLAG_VLAN_SERVICE = 8;
    RX_VLAN_TCI = 14;
    TX_DESCRIPTOR_LENGTH = 32;
    TX_PORT = 0;
    TX_SOCKET = 2;
    TX_IOVEC = 4;
    TX_IOVECS = 8;
    TX_SEGMENT = 12;
    TX_DESTINATION = 16;
    TX_DESTINATION_PORT = 20;
    TX_ERRNO = 30;
    IOVEC_LENGTH = 8;
    IOVEC_OFFSET = 0;
    IOVEC_BYTES = 4;
    VNET_HEADER_LENGTH = 10;
    AEAD_OP_LENGTH = 48;
    AEAD_KIND = 0;
    AEAD_ICV_BYTES = 1;
    AEAD_KEY = 2;
    AEAD_OFFSET = 4;
    AEAD_BYTES = 8;
    AEAD_STATUS = 12;
    AEAD_AAD = 16;
    AEAD_AAD_BYTES = 28;
    AEAD_IV = 32;
    AEAD_NONE = 0;
    AEAD_SEAL = 1;
    AEAD_OPEN = 2;
    AEAD_DONE = 1;
    AEAD_FORGED = 2;
    AEAD_REFUSED = 3;
    AEAD_ALGORITHM_AES_128_GCM = 1;
    AEAD_ALGORITHM_AES_256_GCM = 2;
    AEAD_ALGORITHM_CHACHA20_POLY1305 = 3;
    AEAD_KEYS = 8192;
    AEAD_OPS = 16384;
    AEAD_BYTES_MAX = 65535;
    AEAD_AAD_MAX = 12;
    AEAD_SALT_BYTES = 4;
}

#[napi(object)]
pub struct LayoutConstant {
    pub name: String,
    pub value: i32,
}

/// The layout constants this addon was built with.
#[napi(catch_unwind)]
pub fn layout_constants() -> Vec<LayoutConstant> {
    ALL.iter().map(|(name, value)| LayoutConstant { name: (*name).to_owned(), value: *value }).collect()
}
