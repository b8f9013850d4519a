//! A drive for media, as the machine tells of it.

use serde_json::Value;
use std::path::Path;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drive {
    /// `cd0`, `floppy1`.
    pub name: String,
    pub medium: Option<Medium>,
    pub tray_open: bool,
    /// The guest keeps the tray closed.
    pub held: bool,
    /// It was asked to let go of the medium.
    pub asked: bool,
}

/// What is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Medium {
    pub file: String,
    pub bytes: u64,
    pub read_only: bool,
    /// Bytes the guest wrote.
    pub written: u64,
}

impl Drive {
    /// Those of an answer to `media-list`.
    pub fn all(answer: &Value) -> Vec<Self> {
        answer["drives"].as_array().into_iter().flatten().map(Self::of).collect()
    }

    fn of(value: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let flag = |value: &Value| value.as_bool().unwrap_or_default();
        let medium = &value["medium"];
        let medium = (!medium.is_null()).then(|| Medium {
            file: text(&medium["file"]),
            bytes: medium["bytes"].as_u64().unwrap_or_default(),
            read_only: flag(&medium["read-only"]),
            written: medium["written"].as_u64().unwrap_or_default(),
        });
        Self {
            name: text(&value["drive"]),
            medium,
            tray_open: value["tray"] == "open",
            held: flag(&value["held"]),
            asked: flag(&value["asked"]),
        }
    }

    pub fn is_cd(&self) -> bool {
        self.name.starts_with("cd")
    }

    pub fn kind(&self) -> &'static str {
        if self.is_cd() { "CD drive" } else { "Floppy drive" }
    }
}

impl Medium {
    /// The name of its file.
    pub fn name(&self) -> String {
        let name = Path::new(&self.file).file_name();
        name.map_or_else(|| self.file.clone(), |name| name.to_string_lossy().into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn drives_are_as_the_machine_tells_of_them() {
        let answer = json!({ "drives": [
            { "drive": "cd0", "tray": "open", "held": false, "asked": true, "medium": null },
            { "drive": "floppy1", "asked": false,
              "medium": { "file": "/a/b.img", "bytes": 1_474_560, "read-only": true, "written": 4096 } },
        ]});
        let drives = Drive::all(&answer);
        assert_eq!((drives[0].kind(), drives[0].tray_open, drives[0].asked), ("CD drive", true, true));
        assert!(drives[0].medium.is_none() && drives[0].is_cd());
        let medium = drives[1].medium.clone().unwrap();
        assert_eq!((drives[1].kind(), medium.name()), ("Floppy drive", "b.img".to_owned()));
        assert_eq!((medium.bytes, medium.read_only, medium.written), (1_474_560, true, 4096));
        assert_eq!(Drive::all(&json!({})), []);
    }
}
