//! A form as it is drawn.

use super::form::{Fault, Field, Form, Medium, Starts};
use super::image::Image;
use super::saved;
use super::templates::EMBEDDED;
use amber_devices::{DiskInterface, DisplayKind};
use amber_emu::config::{CdChoice, DiskChoice, FloppyChoice, MachineConfig, VgaChoice};
use egui::{
    Button, CentralPanel, ComboBox, Frame, Grid, Key, Modifiers, Panel, RichText, ScrollArea, TextEdit, Ui,
};
use std::path::{Path, PathBuf};

/// Points of the word before a row.
const LABEL: f32 = 110.0;

/// What became of a form.
pub enum Verdict {
    Cancel,
    /// A file is to be chosen.
    Browse(Field),
    Save {
        config: Box<MachineConfig>,
        file: PathBuf,
        run: bool,
    },
}

/// See the module.
pub struct Sheet {
    pub form: Form,
    /// What the machine is made of.
    about: Option<String>,
    /// Its file has notes, which are not kept.
    has_notes: bool,
    focused: bool,
}

impl Sheet {
    pub fn new(form: Form) -> Self {
        let text = form.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok()).unwrap_or_default();
        let has_notes = text.lines().any(|line| line.trim_start().starts_with('#'));
        Self { form, about: None, has_notes, focused: false }
    }

    /// A new machine with an image.
    pub fn about(image: &Image) -> Self {
        let about = format!("{} is {}.", image.file.display(), image.kind.words());
        Self { about: Some(about), ..Self::new(Form::with(image)) }
    }

    /// Where a field's file is.
    pub fn folder(&self, field: Field) -> Option<PathBuf> {
        let form = &self.form;
        let text = match field {
            Field::Kernel => Some(&form.kernel),
            Field::Initrd => Some(&form.initrd),
            Field::Disk(n) => form.disks.get(n).map(|medium| &medium.file),
            Field::Cd(n) => form.cds.get(n).map(|medium| &medium.file),
            Field::Floppy(n) => form.floppies.get(n).map(|medium| &medium.file),
            _ => None,
        };
        text.and_then(|text| Path::new(text).parent().map(Path::to_owned)).filter(|folder| folder.is_dir())
    }

    /// Draws it; `machines` is the folder of new ones. Keys are for it with `free`.
    pub fn draw(&mut self, ui: &mut Ui, machines: &Path, free: bool) -> Option<Verdict> {
        let (config, mut faults) = self.form.config();
        let file = saved::target(&self.form, machines).map_err(|fault| faults.insert(0, fault)).ok();
        let mut verdict = None;
        let frame = Frame::central_panel(ui.style()).inner_margin(12.0);
        Panel::bottom("verdict").frame(frame).show(ui, |ui| {
            let fine = faults.is_empty();
            let run = self.buttons(ui, fine, free, &mut verdict);
            if let Some((file, run)) = file.filter(|_| fine).zip(run) {
                verdict = Some(Verdict::Save { config: Box::new(config), file, run });
            }
        });
        CentralPanel::no_frame().frame(frame).show(ui, |ui| {
            let title = if self.form.file.is_some() { "Edit machine" } else { "New machine" };
            ui.label(RichText::new(title).strong().size(18.0));
            if let Some(about) = &self.about {
                ui.label(about);
            }
            if self.has_notes {
                ui.label("The notes (lines with #) in its file are not kept when it is saved here.");
            }
            ui.add_space(6.0);
            ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                let mut drawing = Drawing { faults: &faults, browse: None };
                drawing.all(ui, &mut self.form, &mut self.focused);
                verdict = verdict.take().or(drawing.browse.map(Verdict::Browse));
            });
        });
        verdict
    }

    /// Whether it is to be saved, and then to run.
    fn buttons(&self, ui: &mut Ui, fine: bool, free: bool, verdict: &mut Option<Verdict>) -> Option<bool> {
        let mut run = None;
        ui.horizontal(|ui| {
            if ui.add_enabled(fine, Button::new("Save and start").shortcut_text("Ctrl+Enter")).clicked() {
                run = Some(true);
            }
            if ui.add_enabled(fine, Button::new("Save")).clicked() {
                run = Some(false);
            }
            if ui.add(Button::new("Cancel").shortcut_text("Esc")).clicked() {
                *verdict = Some(Verdict::Cancel);
            }
            if !fine {
                ui.label("What is still wrong is said in red.");
            }
        });
        let open = ui.ctx().any_popup_open();
        ui.input_mut(|input| {
            if free && !open && input.consume_key(Modifiers::NONE, Key::Escape) {
                *verdict = Some(Verdict::Cancel);
            }
            if free && fine && input.consume_key(Modifiers::CTRL, Key::Enter) {
                run = Some(true);
            }
        });
        run
    }
}

/// One drawing of a form.
struct Drawing<'a> {
    faults: &'a [Fault],
    browse: Option<Field>,
}

impl Drawing<'_> {
    fn all(&mut self, ui: &mut Ui, form: &mut Form, focused: &mut bool) {
        Grid::new("form").num_columns(2).spacing([10.0, 8.0]).min_col_width(LABEL).show(ui, |ui| {
            self.name(ui, form, focused);
            self.starts(ui, form);
            self.line(ui, "Memory", &mut form.memory, Field::Memory, "512M, 4G");
            self.line(ui, "Processors", &mut form.cpus, Field::Cpus, "1; with room for more: 2,max=8");
            self.media(ui, form);
            if matches!(form.starts, Starts::Bios | Starts::Uefi) {
                self.line(
                    ui,
                    "Boot order",
                    &mut form.boot,
                    Field::Boot,
                    "as the firmware likes; cd,disk,menu=3000",
                );
            }
            self.net(ui, form);
            self.devices(ui, form);
        });
        self.say(ui, Field::Whole);
    }

    /// What is wrong with a field.
    fn say(&self, ui: &mut Ui, field: Field) {
        for fault in self.faults.iter().filter(|fault| fault.field == field) {
            ui.label(RichText::new(&fault.sentence).color(ui.visuals().error_fg_color));
        }
    }

    fn name(&self, ui: &mut Ui, form: &mut Form, focused: &mut bool) {
        label_of(ui, "Name");
        ui.vertical(|ui| {
            let edit = TextEdit::singleline(&mut form.name).desired_width(260.0);
            let response = ui.add_enabled(form.file.is_none(), edit);
            if !std::mem::replace(focused, true) {
                response.request_focus();
            }
            if let Some(file) = &form.file {
                ui.label(RichText::new(file.display().to_string()).small());
            }
            self.say(ui, Field::Name);
        });
        ui.end_row();
    }

    fn line(&self, ui: &mut Ui, label: &str, text: &mut String, field: Field, hint: &str) {
        label_of(ui, label);
        ui.vertical(|ui| {
            ui.add(TextEdit::singleline(text).desired_width(260.0).hint_text(hint));
            self.say(ui, field);
        });
        ui.end_row();
    }

    /// A line for a file.
    fn file(&mut self, ui: &mut Ui, text: &mut String, field: Field, hint: &str) {
        let width = (ui.available_width() - 90.0).clamp(120.0, 420.0);
        ui.add(TextEdit::singleline(text).desired_width(width).hint_text(hint));
        if ui.button("Choose…").clicked() {
            self.browse = Some(field);
        }
    }

    fn file_line(&mut self, ui: &mut Ui, label: &str, text: &mut String, field: Field, hint: &str) {
        label_of(ui, label);
        ui.vertical(|ui| {
            ui.horizontal(|ui| self.file(ui, text, field, hint));
            self.say(ui, field);
        });
        ui.end_row();
    }

    fn starts(&mut self, ui: &mut Ui, form: &mut Form) {
        label_of(ui, "Starts with");
        ui.horizontal_wrapped(|ui| {
            if form.starts == Starts::Other {
                ui.label(form.other());
                return;
            }
            for (name, starts) in [
                ("BIOS", Starts::Bios),
                ("UEFI", Starts::Uefi),
                ("Kernel", Starts::Kernel),
                ("ROM image", Starts::Rom),
            ] {
                ui.radio_value(&mut form.starts, starts, name);
            }
            let built_in = matches!(form.starts, Starts::Embedded(_));
            if ui.radio(built_in, "Built-in guest").clicked() && !built_in {
                form.starts = Starts::Embedded(EMBEDDED[0].0);
            }
        });
        ui.end_row();
        match form.starts {
            Starts::Kernel => {
                self.file_line(ui, "Kernel", &mut form.kernel, Field::Kernel, "a bzImage, or an ELF kernel");
                self.file_line(ui, "Initrd", &mut form.initrd, Field::Initrd, "none");
                self.line(ui, "Command line", &mut form.append, Field::Whole, "console=tty0");
            }
            Starts::Bios => self.file_line(ui, "BIOS", &mut form.bios, Field::Firmware, "seabios"),
            Starts::Uefi => self.file_line(ui, "UEFI", &mut form.uefi, Field::Firmware, "ovmf, or CODE,VARS"),
            Starts::Rom => {
                self.file_line(ui, "ROM", &mut form.rom, Field::Firmware, "code at the reset vector")
            }
            Starts::Embedded(_) => embedded(ui, form),
            Starts::Other => {}
        }
    }

    fn media(&mut self, ui: &mut Ui, form: &mut Form) {
        label_of(ui, "Disks");
        ui.vertical(|ui| {
            self.list(ui, &mut form.disks, Field::Disk, "a raw or qcow2 image", disk_options);
            if ui.button("Add disk").clicked() {
                form.add_disk(String::new(), DiskInterface::Virtio);
            }
            ui.checkbox(&mut form.hotplug, "Disks can be plugged in while the machine runs (virtio, NVMe)");
        });
        ui.end_row();
        label_of(ui, "CDs");
        ui.vertical(|ui| {
            self.list(ui, &mut form.cds, Field::Cd, "an ISO image, or none", cd_options);
            if ui.button("Add CD").clicked() {
                form.add_cd(String::new());
            }
        });
        ui.end_row();
        label_of(ui, "Diskettes");
        ui.vertical(|ui| {
            self.list(
                ui,
                &mut form.floppies,
                Field::Floppy,
                "a raw image of 160K to 2880K, or none",
                floppy_options,
            );
            if form.floppies.len() < 2 && ui.button("Add diskette").clicked() {
                form.add_floppy(String::new());
            }
        });
        ui.end_row();
    }

    fn list<T>(
        &mut self,
        ui: &mut Ui,
        media: &mut Vec<Medium<T>>,
        field: fn(usize) -> Field,
        hint: &str,
        options: fn(&mut Ui, usize, &mut T),
    ) {
        let mut gone = None;
        for (n, medium) in media.iter_mut().enumerate() {
            ui.horizontal(|ui| {
                let width = (ui.available_width() - 320.0).clamp(120.0, 380.0);
                ui.add(TextEdit::singleline(&mut medium.file).desired_width(width).hint_text(hint));
                if ui.button("Choose…").clicked() {
                    self.browse = Some(field(n));
                }
                options(ui, n, &mut medium.choice);
                if ui.button("Remove").clicked() {
                    gone = Some(n);
                }
            });
            self.say(ui, field(n));
        }
        if let Some(n) = gone {
            media.remove(n);
        }
    }

    fn net(&self, ui: &mut Ui, form: &mut Form) {
        label_of(ui, "Network");
        ui.vertical(|ui| {
            ui.horizontal(|ui| {
                ui.add(TextEdit::singleline(&mut form.net).desired_width(260.0));
                for (name, words) in [
                    ("none", "No adapter"),
                    ("user", "Behind the host's network, virtio"),
                    ("user,model=e1000", "The same, Intel 82540EM"),
                ] {
                    if ui
                        .selectable_label(form.net == name, name.replace("user,model=e1000", "user e1000"))
                        .on_hover_text(words)
                        .clicked()
                    {
                        name.clone_into(&mut form.net);
                    }
                }
            });
            self.say(ui, Field::Net);
        });
        ui.end_row();
    }

    fn devices(&self, ui: &mut Ui, form: &mut Form) {
        label_of(ui, "Devices");
        ui.vertical(|ui| {
            ui.checkbox(&mut form.sound, "Sound card (HD Audio)");
            ui.checkbox(&mut form.keyboard, "USB keyboard");
            ui.checkbox(&mut form.tablet, "USB tablet: the mouse points without being taken");
        });
        ui.end_row();
        label_of(ui, "Display");
        ui.horizontal(|ui| {
            ui.radio_value(&mut form.vga, VgaChoice(DisplayKind::Std), "VGA, 16 MiB");
            ui.radio_value(&mut form.vga, VgaChoice(DisplayKind::Text), "text alone");
        });
        ui.end_row();
    }
}

/// The word before a row, level with its first line.
fn label_of(ui: &mut Ui, text: &str) {
    ui.vertical(|ui| {
        ui.add_space(2.0);
        ui.label(text);
    });
}

fn embedded(ui: &mut Ui, form: &mut Form) {
    label_of(ui, "Guest");
    ui.horizontal_wrapped(|ui| {
        for (firmware, title, words) in EMBEDDED {
            ui.radio_value(&mut form.starts, Starts::Embedded(firmware), title).on_hover_text(words);
        }
    });
    ui.end_row();
}

fn disk_options(ui: &mut Ui, n: usize, choice: &mut DiskChoice) {
    ComboBox::from_id_salt(("interface", n)).selected_text(choice.interface.name()).width(70.0).show_ui(
        ui,
        |ui| {
            for (name, interface) in
                DiskInterface::NAMES.into_iter().filter(|(_, interface)| interface.is_hard())
            {
                ui.selectable_value(&mut choice.interface, interface, name);
            }
        },
    );
    if ui.checkbox(&mut choice.read_only, "read-only").changed() && choice.read_only {
        choice.write_through = false;
    }
}

fn cd_options(ui: &mut Ui, n: usize, choice: &mut CdChoice) {
    let name = |at_ide| if at_ide { "ide" } else { "ahci" };
    ComboBox::from_id_salt(("drive", n)).selected_text(name(choice.at_ide)).width(70.0).show_ui(ui, |ui| {
        for at_ide in [false, true] {
            ui.selectable_value(&mut choice.at_ide, at_ide, name(at_ide));
        }
    });
}

fn floppy_options(ui: &mut Ui, _: usize, choice: &mut FloppyChoice) {
    ui.checkbox(&mut choice.read_only, "write-protected");
}
