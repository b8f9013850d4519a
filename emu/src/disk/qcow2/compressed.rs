//! Compressed clusters.

use super::header::{Compression, Header};
use amber_snapshot::host_file::read_exact_at;
use std::fs::File;
use std::io::{self, Error, ErrorKind, Read};

/// The largest window a compressed cluster may ask for, as zstd counts: clusters have 2 MiB at most.
const WINDOW_LOG_MAX: u32 = 22;
const SECTOR: u64 = 512;

/// Where a cluster is compressed to: what the entry of its table says.
fn place(header: &Header, entry: u64) -> (u64, u64) {
    let offset_bits = 62 - (header.cluster_bits - 8);
    let offset = entry & ((1 << offset_bits) - 1);
    let sectors = (entry & ((1 << 62) - 1)) >> offset_bits;
    (offset, (sectors + 1) * SECTOR - offset % SECTOR)
}

/// The cluster of a table's entry that says it is compressed.
///
/// # Errors
/// When it cannot be read, or is not what a cluster is compressed to.
pub(super) fn cluster(header: &Header, file: &File, file_len: u64, entry: u64) -> io::Result<Vec<u8>> {
    let (at, most) = place(header, entry);
    if at >= file_len {
        return Err(Error::new(
            ErrorKind::UnexpectedEof,
            format!("a compressed cluster lies behind its end, at {at:#x}"),
        ));
    }
    // The length is in sectors: the file may end before.
    let mut packed = vec![0; most.min(file_len - at) as usize];
    read_exact_at(file, &mut packed, at)?;
    let mut bytes = vec![0; 1 << header.cluster_bits];
    let unpacked = match header.compression {
        Compression::Deflate => flate2::read::DeflateDecoder::new(&packed[..]).read_exact(&mut bytes),
        Compression::Zstd => unpack_zstd(&packed, &mut bytes),
    };
    match unpacked {
        Ok(()) => Ok(bytes),
        Err(error) => Err(Error::new(
            ErrorKind::InvalidData,
            format!("the compressed cluster at {at:#x} is damaged: {error}"),
        )),
    }
}

fn unpack_zstd(packed: &[u8], bytes: &mut [u8]) -> io::Result<()> {
    let mut decoder = zstd::stream::read::Decoder::new(packed)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    decoder.read_exact(bytes)
}
