//! `amber disk info`: what an image is.

use super::size;
use crate::cli::disk_args::InfoArgs;
use crate::disk::{Access, Base, Compression, DiskError, Format, Hold, Image, Layer, Purpose, allocated};
use anyhow::Result;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Where the first volume descriptor of ISO 9660 has its name.
const ISO_NAME_AT: u64 = 0x8001;
const ISO_NAME: &[u8; 5] = b"CD001";

#[derive(Serialize)]
struct Description {
    file: PathBuf,
    format: String,
    /// What a raw image holds, if it can be told.
    contents: Option<&'static str>,
    /// Bytes the guest sees.
    size: u64,
    /// What a machine and its snapshots know the image by: blake3 of what the guest sees.
    identity: Option<String>,
    /// The file itself, and what it lies over.
    chain: Vec<File>,
}

#[derive(Serialize)]
struct File {
    file: PathBuf,
    format: String,
    size: u64,
    /// Length of the file, bytes.
    length: Option<u64>,
    /// Bytes of the host's disk that it takes.
    allocated: Option<u64>,
    #[serde(flatten)]
    qcow2: Option<Container>,
}

#[derive(Serialize)]
struct Container {
    version: u32,
    cluster_size: u64,
    compression: &'static str,
    snapshots: u32,
    backing_file: Option<String>,
    backing_format: Option<String>,
}

/// Does what was asked; returns the exit code.
///
/// # Errors
/// Names the file that cannot be read.
pub fn run(args: &InfoArgs) -> Result<i32> {
    let describe = |file: &PathBuf| describe(file, args.format, args.quick);
    let all = args.files.iter().map(describe).collect::<Result<Vec<_>, _>>()?;
    if args.print.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(0);
    }
    for (n, description) in all.iter().enumerate() {
        if n > 0 {
            println!();
        }
        print(description);
    }
    Ok(0)
}

fn describe(file: &Path, format: Option<Format>, quick: bool) -> Result<Description, DiskError> {
    if quick {
        return Ok(description(file, &Image::open(file, format, Hold::Read)?, None));
    }
    let base = Base::open_as(file, Access { format, purpose: Purpose::Read })?;
    Ok(description(file, base.chain(), Some(base.hash())))
}

fn description(file: &Path, image: &Image, hash: Option<[u8; 32]>) -> Description {
    let mut name = [0; ISO_NAME.len()];
    let iso = image.read(ISO_NAME_AT, &mut name).is_ok() && name == *ISO_NAME;
    Description {
        file: file.to_owned(),
        format: image.top().format().to_string(),
        contents: iso.then_some("ISO 9660"),
        size: image.size(),
        identity: hash.map(|hash| blake3::Hash::from_bytes(hash).to_hex().to_string()),
        chain: image.layers().iter().map(layer).collect(),
    }
}

fn layer(layer: &Layer) -> File {
    let metadata = layer.file().metadata().ok();
    let container = layer.qcow2().map(|qcow2| {
        let header = qcow2.header();
        Container {
            version: header.version,
            cluster_size: 1 << header.cluster_bits,
            compression: match header.compression {
                Compression::Deflate => "zlib",
                Compression::Zstd => "zstd",
            },
            snapshots: header.snapshots,
            backing_file: header.backing.as_ref().map(|backing| backing.file.clone()),
            backing_format: header.backing.as_ref().and_then(|backing| backing.format.clone()),
        }
    });
    File {
        file: layer.path().to_owned(),
        format: layer.format().to_string(),
        size: layer.size(),
        length: metadata.as_ref().map(std::fs::Metadata::len),
        allocated: metadata.as_ref().and_then(allocated),
        qcow2: container,
    }
}

fn print(description: &Description) {
    let Description { file, format, contents, size: seen, identity, chain } = description;
    let contents = contents.map_or_else(String::new, |contents| format!(" ({contents})"));
    println!("image     {}\nformat    {format}{contents}\nsize      {}", file.display(), size(*seen));
    let taken: Option<u64> = chain.iter().map(|file| file.allocated).sum();
    if let Some(taken) = taken {
        println!("takes     {}", size(taken));
    }
    if let Some(identity) = identity {
        println!("identity  {identity}");
    }
    for (n, file) in chain.iter().enumerate() {
        let what = if n == 0 { "file" } else { "over" };
        println!("{what:9} {}", file.file.display());
        let Some(qcow2) = &file.qcow2 else {
            println!("          raw, {}", size(file.size));
            continue;
        };
        println!(
            "          qcow2 version {}, clusters of {} bytes, {}, {}",
            qcow2.version,
            qcow2.cluster_size,
            qcow2.compression,
            size(file.size)
        );
        if qcow2.snapshots > 0 {
            println!("          {} snapshots of its own, which are not shown to the guest", qcow2.snapshots);
        }
    }
}
