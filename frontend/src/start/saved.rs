//! A form as a MACHINE.toml, which `amber run` reads.

use super::form::{Fault, Field, Form};
use crate::settings::replace;
use amber_emu::config::MachineConfig;
use std::path::{Path, PathBuf};

/// The file a form is saved to, in `folder` unless the machine has one.
///
/// # Errors
/// What is wrong with its name.
pub fn target(form: &Form, folder: &Path) -> Result<PathBuf, Fault> {
    if let Some(file) = &form.file {
        return Ok(file.clone());
    }
    let wrong = |sentence: String| Err(Fault { field: Field::Name, sentence });
    let name = form.name.trim();
    if name.is_empty() {
        return wrong("give the machine a name".to_owned());
    }
    if name.starts_with('.') || name.contains(['/', '\\', ':', '\0']) || name.len() > 100 {
        return wrong(
            "a name is at most 100 bytes long, begins without a dot, and has no / \\ or : in it".to_owned(),
        );
    }
    let file = folder.join(format!("{name}.toml"));
    if file.exists() {
        return wrong(format!(
            "there is a machine called {name} already; choose another name, or edit that one"
        ));
    }
    Ok(file)
}

/// The text of a machine's file: what is not as for any machine.
///
/// # Errors
/// One sentence.
pub fn text(config: &MachineConfig) -> Result<String, String> {
    let keys = |config: &MachineConfig| -> Result<toml::Table, String> {
        let text = config.to_toml().map_err(|error| error.to_string())?;
        toml::from_str(&text).map_err(|error| error.to_string())
    };
    let usual = keys(&MachineConfig::default())?;
    let mut own = keys(config)?;
    own.retain(|key, value| usual.get(key) != Some(value));
    toml::to_string(&own).map_err(|error| error.to_string())
}

/// Writes a machine's file as a whole.
///
/// # Errors
/// One sentence.
pub fn write(config: &MachineConfig, file: &Path) -> Result<(), String> {
    let text = text(config)?;
    replace(file, text.as_bytes()).map_err(|error| format!("{} cannot be written: {error}.", file.display()))
}

/// Reads a machine's file into a form.
///
/// # Errors
/// One sentence.
pub fn edit(file: &Path) -> Result<Form, String> {
    let config = MachineConfig::from_file(file)
        .map_err(|error| format!("This machine cannot be edited here: {error}."))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Form::of(&name, Some(file.to_owned()), config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::image::recognise;
    use crate::start::templates::Template;
    use amber_devices::DiskInterface;
    use amber_emu::boot::installed;
    use amber_tests::program::{Scratch, run};

    fn sentences(form: &Form) -> Vec<(Field, String)> {
        form.config().1.into_iter().map(|fault| (fault.field, fault.sentence)).collect()
    }

    #[test]
    fn a_form_makes_a_small_file_that_amber_run_reads() {
        let scratch = Scratch::new("form-file");
        let disk = scratch.file("a,b.img", &[0; 1 << 20]);
        let floppy = scratch.file("boot", &[0; 1440 << 10]);
        let mut form = Template::Retro.form();
        form.starts = super::super::form::Starts::Rom;
        form.rom = scratch.file("rom.bin", &[0xF4; 4096]).display().to_string();
        form.choose(Field::Disk(0), &disk);
        form.choose(Field::Floppy(0), &floppy);
        form.cpus = "2,max=4".to_owned();
        form.tablet = true;
        let (config, faults) = form.config();
        assert_eq!(faults, []);
        let file = target(&form, &scratch.0).expect("it has a name");
        assert_eq!(file, scratch.0.join("Retro PC.toml"));
        write(&config, &file).unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.lines().count() < 12 && !text.contains("quantum"), "{text}");
        // The program says the same of it as of what was meant.
        let said = run(&["run", &file.display().to_string(), "--dump-config"]);
        assert_eq!(String::from_utf8_lossy(&said.stdout), config.to_toml().unwrap());
        let again = edit(&file).unwrap();
        assert_eq!(again.config(), (config, Vec::new()), "a form of the file is the form");
        assert_eq!(target(&again, Path::new("/elsewhere")), Ok(file), "it is written where it was");
        assert_eq!(
            (again.disks[0].choice.interface, again.tablet, again.sound),
            (DiskInterface::Ide, true, false)
        );
    }

    #[test]
    fn what_is_wrong_is_said_beside_its_field() {
        let mut form = Template::Linux.form();
        form.memory = "512".to_owned();
        form.cpus = "0".to_owned();
        form.net = "wire".to_owned();
        form.boot = "tape".to_owned();
        form.add_disk("/no/such/disk".to_owned(), DiskInterface::Nvme);
        let found = sentences(&form);
        for (field, words) in [
            (Field::Kernel, "choose a file"),
            (Field::Memory, "write 512M or 512G"),
            (Field::Cpus, "1..=255"),
            (Field::Net, "wire"),
            (Field::Boot, "tape"),
            (Field::Disk(0), "/no/such/disk"),
        ] {
            assert!(found.iter().any(|(at, why)| *at == field && why.contains(words)), "{field:?} {found:?}");
        }
        assert_eq!(found.len(), 6);
    }

    #[test]
    fn what_goes_with_nothing_is_said_of_the_whole() {
        let scratch = Scratch::new("form-whole");
        let disk = scratch.file("disk", &[0; 4096]).display().to_string();
        let mut form = Form::of("many", None, MachineConfig::default());
        (0..7).for_each(|_| form.add_disk(disk.clone(), DiskInterface::Ahci));
        assert!(
            matches!(&sentences(&form)[..], [(Field::Whole, why)] if why.contains("AHCI")),
            "{:?}",
            sentences(&form)
        );
    }

    #[test]
    fn names_are_names_of_files() {
        let scratch = Scratch::new("form-names");
        scratch.file("taken.toml", b"");
        let mut form = Template::Bios.form();
        for (name, fine) in
            [("x", true), ("", false), ("a/b", false), (".x", false), ("taken", false), ("é 1", true)]
        {
            name.clone_into(&mut form.name);
            assert_eq!(target(&form, &scratch.0).is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn an_image_becomes_a_machine_with_it() {
        let scratch = Scratch::new("form-image");
        let image = |name: &str, bytes: &[u8]| Form::with(&recognise(&scratch.file(name, bytes)).unwrap());
        let disk = image("data.img", &[0; 1 << 20]);
        assert_eq!((disk.disks.len(), disk.name.as_str()), (1, "data"));
        let floppy = image("f", &[0; 360 << 10]);
        assert_eq!((floppy.floppies.len(), floppy.boot.as_str()), (1, "floppy,disk"));
        if installed::seabios().is_ok() {
            assert_eq!(disk.config().1, []);
            assert_eq!(floppy.config().1, []);
        }
    }

    #[test]
    fn what_a_form_does_not_show_stays() {
        let scratch = Scratch::new("form-rest");
        let file =
            scratch.file("m.toml", b"firmware = \"smp\"\nseed = 7\nquantum = 9\ndevice = [\"virtio-rng\"]\n");
        let mut form = edit(&file).unwrap();
        form.sound = true;
        let (config, faults) = form.config();
        assert_eq!((config.seed.0, config.quantum, faults), (7, 9, Vec::new()));
        assert_eq!(text(&config).unwrap().lines().filter(|line| line.starts_with("device")).count(), 1);
        assert!(text(&config).unwrap().contains("[\"virtio-rng\", \"hda\"]"));
    }
}
