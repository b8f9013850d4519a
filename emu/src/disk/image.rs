//! An image as the guest sees it: a file, or a chain of files of which each shows through where the one above has nothing.

use super::base::DiskError;
use super::format::{Format, LOOKED_AT};
use super::holes::hole;
use super::lock::{self, Hold};
use super::qcow2::{Backing, Fault, Mapping, Qcow2};
use amber_snapshot::host_file::read_exact_at;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Most files in a chain.
const CHAIN_MAX: usize = 64;

/// A file of a chain.
#[derive(Debug)]
pub struct Layer {
    path: PathBuf,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Raw { file: File, len: u64 },
    Qcow2(Box<Qcow2>),
}

impl Layer {
    /// Opens a file, whose bytes are in `format`, or in the one they look like.
    fn open(path: &Path, format: Option<Format>, hold: Hold) -> Result<Self, DiskError> {
        let read = |cause| DiskError::Read { file: path.to_owned(), cause };
        let unfit = |why: String| DiskError::Unfit { file: path.to_owned(), why };
        // To open a pipe would wait for somebody to write it.
        if !std::fs::metadata(path).map_err(read)?.is_file() {
            return Err(unfit("it is no plain file".to_owned()));
        }
        let open = OpenOptions::new().read(true).write(hold == Hold::Write).open(path);
        let file = open.map_err(|cause| match hold {
            Hold::Read => read(cause),
            Hold::Write => DiskError::Write { file: path.to_owned(), cause },
        })?;
        if !lock::take(&file, hold).map_err(read)? {
            return Err(DiskError::Locked { file: path.to_owned(), hold });
        }
        let len = file.metadata().map_err(read)?.len();
        let format = match format {
            Some(format) => format,
            None => look(&file, len).map_err(read)?.map_err(|name| {
                unfit(format!(
                    "it is a {name} image, which Amber does not read; `qemu-img convert -O qcow2` makes one that it \
                     does, and format=raw takes its bytes as they are"
                ))
            })?,
        };
        let content = match format {
            Format::Raw => Content::Raw { file, len },
            Format::Qcow2 => {
                Content::Qcow2(Box::new(Qcow2::open(file, len).map_err(|fault| match fault {
                    Fault::Read(cause) => read(cause),
                    Fault::Unfit(why) => unfit(why),
                })?))
            }
        };
        Ok(Self { path: path.to_owned(), content })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self) -> &File {
        match &self.content {
            Content::Raw { file, .. } => file,
            Content::Qcow2(qcow2) => qcow2.file(),
        }
    }

    /// The image, if it is a qcow2.
    pub fn qcow2(&self) -> Option<&Qcow2> {
        match &self.content {
            Content::Raw { .. } => None,
            Content::Qcow2(qcow2) => Some(qcow2),
        }
    }

    pub fn format(&self) -> Format {
        self.qcow2().map_or(Format::Raw, |_| Format::Qcow2)
    }

    /// Bytes the guest would see of it.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Raw { len, .. } => *len,
            Content::Qcow2(qcow2) => qcow2.header().size,
        }
    }

    fn backing(&self) -> Option<&Backing> {
        self.qcow2()?.header().backing.as_ref()
    }

    /// Says where the bytes from `at` on are, for at most `len`.
    fn map(&self, at: u64, len: u64) -> io::Result<(Mapping, u64)> {
        let there = self.size().saturating_sub(at);
        if there == 0 {
            return Ok((Mapping::Zero, len));
        }
        let (mapping, run) = match &self.content {
            Content::Raw { .. } => (Mapping::Data(at), there),
            Content::Qcow2(qcow2) => qcow2.map(at)?,
        };
        Ok((mapping, run.min(there).min(len)))
    }
}

/// What a file looks like; the name of its format, if it is one Amber does not read.
fn look(file: &File, len: u64) -> io::Result<Result<Format, &'static str>> {
    let mut start = vec![0; len.min(LOOKED_AT as u64) as usize];
    read_exact_at(file, &mut start, 0)?;
    Ok(Format::of(&start))
}

/// A file and what it lies over, from the top down.
#[derive(Debug)]
pub struct Image {
    layers: Vec<Layer>,
}

impl Image {
    /// Opens the image at `path`, and those it lies over to read.
    ///
    /// # Errors
    /// Names the file that cannot be read, is in use, or asks for what Amber does not do.
    pub fn open(path: &Path, format: Option<Format>, hold: Hold) -> Result<Self, DiskError> {
        let mut layers = vec![Layer::open(path, format, hold)?];
        while let Some(top) = layers.last()
            && let Some(backing) = top.backing()
        {
            let unfit = |why: String| DiskError::Unfit { file: top.path.clone(), why };
            if layers.len() == CHAIN_MAX {
                return Err(unfit(format!(
                    "its chain of backing files is longer than {CHAIN_MAX}, or a circle"
                )));
            }
            let (path, format) = (backing_path(&top.path, &backing.file), backing_format(backing));
            let opened = Layer::open(&path.map_err(unfit)?, format.map_err(unfit)?, Hold::Read);
            layers.push(
                opened
                    .map_err(|error| DiskError::Below { file: top.path.clone(), error: Box::new(error) })?,
            );
        }
        Ok(Self { layers })
    }

    /// The files, from the top down: at least one.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    pub fn top(&self) -> &Layer {
        &self.layers[0]
    }

    /// Bytes the guest sees.
    pub fn size(&self) -> u64 {
        self.top().size()
    }

    /// Reads from byte `at` on; zeroes behind the end.
    ///
    /// # Errors
    /// When a file cannot be read, or is damaged there.
    pub fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_below(0, at, into)
    }

    fn read_below(&self, n: usize, mut at: u64, mut into: &mut [u8]) -> io::Result<()> {
        let Some(layer) = self.layers.get(n) else {
            into.fill(0);
            return Ok(());
        };
        let named = |error: io::Error| match n {
            0 => error,
            _ => io::Error::new(error.kind(), format!("{}: {error}", layer.path.display())),
        };
        while !into.is_empty() {
            let (mapping, run) = layer.map(at, into.len() as u64).map_err(named)?;
            let (here, rest) = into.split_at_mut(run as usize);
            match (mapping, &layer.content) {
                (Mapping::Below, _) => self.read_below(n + 1, at, here)?,
                (Mapping::Data(offset), _) => read_exact_at(layer.file(), here, offset).map_err(named)?,
                (Mapping::Compressed(entry), Content::Qcow2(qcow2)) => {
                    qcow2.unpack(entry, at, here).map_err(named)?;
                }
                (Mapping::Zero | Mapping::Compressed(_), _) => here.fill(0),
            }
            (at, into) = (at + run, rest);
        }
        Ok(())
    }

    /// How many bytes from `at` on are known to be zeroes without being read, at most `len`.
    ///
    /// # Errors
    /// When a table cannot be read, or is damaged.
    pub fn zeroes(&self, at: u64, len: u64) -> io::Result<u64> {
        self.zeroes_below(0, at, len)
    }

    fn zeroes_below(&self, n: usize, at: u64, len: u64) -> io::Result<u64> {
        let Some(layer) = self.layers.get(n) else { return Ok(len) };
        let mut found = 0;
        while found < len {
            let (mapping, run) = layer.map(at + found, len - found)?;
            let zeroes = match mapping {
                Mapping::Zero => run,
                Mapping::Below => self.zeroes_below(n + 1, at + found, run)?,
                Mapping::Data(offset) if layer.qcow2().is_none() => {
                    hole(layer.file(), offset, layer.size()).min(run)
                }
                Mapping::Data(_) | Mapping::Compressed(_) => 0,
            };
            found += zeroes;
            if zeroes < run {
                break;
            }
        }
        Ok(found)
    }
}

/// Where a backing file is: beside the image that names it, unless its name says all.
fn backing_path(image: &Path, name: &str) -> Result<PathBuf, String> {
    let plain = name.strip_prefix("file:").unwrap_or(name);
    let protocol = plain.split_once(':').map(|(protocol, _)| protocol).filter(|p| !p.contains('/'));
    if let Some(protocol) = protocol
        && !(cfg!(windows) && protocol.len() == 1)
    {
        return Err(format!("its backing file `{name}` is no file of this host ({protocol})"));
    }
    Ok(image.parent().unwrap_or(Path::new(".")).join(plain))
}

fn backing_format(backing: &Backing) -> Result<Option<Format>, String> {
    match backing.format.as_deref() {
        None => Ok(None),
        Some("file") => Ok(Some(Format::Raw)),
        Some(name) => name
            .parse()
            .map(Some)
            .map_err(|_| format!("its backing file is a {name} image, which Amber does not read")),
    }
}
