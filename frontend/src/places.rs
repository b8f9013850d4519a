//! Where the program keeps what it writes by itself.

use anyhow::{Result, anyhow};
use directories::ProjectDirs;
use std::path::{Path, PathBuf};

/// See the module. None of it need be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// The file of the settings.
    pub settings: PathBuf,
    /// Folder of the machines that are made in the window.
    pub machines: PathBuf,
    /// Folder of the last screens of recent machines.
    pub pictures: PathBuf,
}

impl Places {
    /// The user's own folders, or with a file of settings the folders beside that.
    ///
    /// # Errors
    /// When the user has no home.
    pub fn find(settings: Option<&Path>) -> Result<Self> {
        if let Some(file) = settings {
            let file = std::path::absolute(file)?;
            let beside = |name| file.with_file_name(name);
            return Ok(Self { machines: beside("machines"), pictures: beside("pictures"), settings: file });
        }
        let folders = ProjectDirs::from("", "", "amber")
            .ok_or_else(|| anyhow!("there is no home folder to keep settings in; give --settings FILE"))?;
        Ok(Self {
            settings: folders.config_dir().join("desktop.toml"),
            machines: folders.data_dir().join("machines"),
            pictures: folders.cache_dir().join("pictures"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_settings_has_its_folders_beside_it() {
        let places = Places::find(Some(Path::new("/a/own.toml"))).unwrap();
        assert_eq!(places.settings, Path::new("/a/own.toml"));
        assert_eq!(places.machines, Path::new("/a/machines"));
        assert_eq!(places.pictures, Path::new("/a/pictures"));
    }
}
