//! The snapshot store, on a thread of its own: what is slow there keeps neither the window nor the machine.

use crate::status::size;
use crate::thumbnail;
use amber_emu::cli::diff::{Table, table_of};
use amber_emu::cli::snapshot::{self, Row};
use amber_emu::cli::snapshot_args::{DiffArgs, Print};
use amber_emu::cli::stores;
use amber_snapshot::{Snapshot, Store, export};
use anyhow::Result;
use egui::ColorImage;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Pages of each region whose bytes a comparison shows.
const PAGES_SHOWN: usize = 64;

/// What the store is asked for. Snapshots are meant by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Job {
    List,
    Rename {
        id: String,
        name: String,
    },
    /// The pages only it has are freed as well.
    Remove {
        id: String,
    },
    Export {
        id: String,
        file: PathBuf,
    },
    Import {
        file: PathBuf,
    },
    Compare {
        a: String,
        b: String,
    },
}

/// A snapshot, as the window shows it.
#[derive(Clone)]
pub struct Entry {
    pub row: Row,
    /// Bytes of pages its parent has not.
    pub own: Option<u64>,
    pub thumbnail: Option<Arc<ColorImage>>,
}

/// What became of a job.
pub enum Told {
    Listed(Vec<Entry>),
    /// Something was done: a sentence.
    Done(String),
    Compared(Box<Table>),
    /// A sentence that says what could not be done, and why.
    Failed(String),
}

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listed(entries) => write!(f, "Listed({})", entries.len()),
            Self::Done(sentence) | Self::Failed(sentence) => f.write_str(sentence),
            Self::Compared(table) => f.write_str(&table.summary),
        }
    }
}

/// The way to the store's thread, which ends when this is dropped.
pub struct Shelf(Sender<Job>);

impl Shelf {
    /// Opens the store in `folder`, or the user's; `tell` hears what became of the jobs.
    pub fn new(folder: Option<PathBuf>, tell: impl Fn(Told) + Send + 'static) -> Self {
        let (sender, jobs) = channel();
        // A thread that cannot be had is told of at the first job: nobody answers it.
        let thread = std::thread::Builder::new().name("snapshots".to_owned());
        let _ = thread.spawn(move || serve(folder, &jobs, &tell));
        Self(sender)
    }

    /// Asks for a job. Whether anybody does it.
    pub fn ask(&self, job: Job) -> bool {
        self.0.send(job).is_ok()
    }
}

fn serve(folder: Option<PathBuf>, jobs: &Receiver<Job>, tell: &dyn Fn(Told)) {
    let mut store = None;
    let mut known = BTreeMap::new();
    for job in jobs {
        let opened = match &store {
            Some(store) => Ok(Arc::clone(store)),
            None => stores::open(folder.as_deref()),
        };
        let told = opened.and_then(|opened| {
            let told = done(&opened, folder.as_ref(), job, &mut known);
            store = Some(opened);
            told
        });
        tell(told.unwrap_or_else(|error| Told::Failed(format!("{error:#}"))));
    }
}

/// What of a snapshot never changes.
type Known = BTreeMap<String, (Option<u64>, Option<Arc<ColorImage>>)>;

fn done(store: &Arc<Store>, folder: Option<&PathBuf>, job: Job, known: &mut Known) -> Result<Told> {
    match job {
        Job::List => Ok(Told::Listed(entries(store, known)?)),
        Job::Rename { id, name } => {
            snapshot::rename(store, &id, &name)?;
            Ok(Told::Done(format!("The snapshot is called {name} now.")))
        }
        Job::Remove { id } => {
            store.remove(store.resolve(&id)?)?;
            let freed = store.collect(&mut |_, _| {})?;
            Ok(Told::Done(format!("The snapshot is gone; that freed {}.", size(freed.bytes))))
        }
        Job::Export { id, file } => {
            let found = stores::find(folder.map(PathBuf::as_path), &id)?;
            let Snapshot { manifest, objects } = &found.snapshot;
            let written = export(manifest, objects, found.label, &file, &mut |_, _| {})?;
            Ok(Told::Done(format!("{} has it all in {}.", file.display(), size(written))))
        }
        Job::Import { file } => {
            let (id, name) = snapshot::import_as(store, &file, None, &mut |_, _| {})?;
            let name = name.unwrap_or_else(|| id.to_string()[..snapshot::SHORT].to_owned());
            Ok(Told::Done(format!("{name} came from {}.", file.display())))
        }
        Job::Compare { a, b } => {
            let (a, b) = stores::find_two(folder.map(PathBuf::as_path), &a, &b)?;
            Ok(Told::Compared(Box::new(table_of(&a, &b, &shown(&a.id.to_string(), &b.id.to_string()))?)))
        }
    }
}

/// All is compared, code as instructions.
fn shown(a: &str, b: &str) -> DiffArgs {
    DiffArgs {
        a: a.to_owned(),
        b: b.to_owned(),
        only: Vec::new(),
        ignore: Vec::new(),
        symbols: None,
        hex: false,
        limit: PAGES_SHOWN,
        html: None,
        exit_code: false,
        print: Print { json: false },
    }
}

fn entries(store: &Arc<Store>, known: &mut Known) -> Result<Vec<Entry>> {
    let entry = |row: Row| {
        let id = row.id.clone();
        let (own, thumbnail) = known.entry(id).or_insert_with_key(|id| looked_up(store, id)).clone();
        Entry { row, own, thumbnail }
    };
    Ok(snapshot::rows(store)?.into_iter().map(entry).collect())
}

/// What a snapshot takes, and its picture; unknown where it is damaged.
fn looked_up(store: &Arc<Store>, id: &str) -> (Option<u64>, Option<Arc<ColorImage>>) {
    let Ok(id) = store.resolve(id) else { return (None, None) };
    let own = store.own_pages(id).ok().map(|pages| pages * 4096);
    let picture = |bytes: Vec<u8>| thumbnail::read(Cursor::new(bytes), thumbnail::OF_SNAPSHOT);
    let thumbnail = store.manifest(id).ok().and_then(|manifest| picture(manifest.thumbnail?));
    (own, thumbnail.map(Arc::new))
}
