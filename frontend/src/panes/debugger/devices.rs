//! The machine's state as a tree: sections, and what their fields say. A double click on a value changes it.

use super::field::{Field as Edited, Written};
use super::{Shared, look};
use crate::wishes::Wishes;
use egui::{CollapsingHeader, Label, ScrollArea, Sense, TextEdit, Ui};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

struct Field {
    path: String,
    value: String,
    plain: String,
}

impl Field {
    /// What is written for it: in hexadecimal where it is shown so.
    fn written(&self) -> &str {
        self.value.split(' ').next().filter(|first| first.starts_with("0x")).unwrap_or(&self.plain)
    }
}

/// Fields by the parts of their names, in the order of the section.
#[derive(Default)]
struct Node {
    name: String,
    /// The field it is.
    field: Option<usize>,
    below: Vec<Node>,
}

impl Node {
    fn insert(&mut self, parts: &[&str], field: usize) {
        let Some((first, rest)) = parts.split_first() else {
            self.field = Some(field);
            return;
        };
        let n = self.below.iter().position(|node| node.name == *first).unwrap_or_else(|| {
            self.below.push(Self { name: (*first).to_owned(), ..Self::default() });
            self.below.len() - 1
        });
        self.below[n].insert(rest, field);
    }
}

#[derive(Default)]
struct Section {
    fields: Vec<Field>,
    tree: Node,
}

/// See the module.
#[derive(Default)]
pub struct Devices {
    names: Vec<String>,
    sections: BTreeMap<String, Section>,
    open: BTreeSet<String>,
    filter: String,
    edited: Edited,
}

/// The parts of a name such as `counters[0].mode`: an index belongs to what is before it.
fn parts(label: &str) -> Vec<&str> {
    label.split('.').filter(|part| !part.is_empty()).collect()
}

impl Devices {
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Sections whose fields are to be shown: the open ones, and all while one looks for something.
    pub fn wanted(&self) -> Vec<String> {
        let looks = !self.filter.is_empty();
        self.names.iter().filter(|name| looks || self.open.contains(*name)).cloned().collect()
    }

    /// Whether there are others than before.
    pub fn hear_sections(&mut self, answer: &Value) -> bool {
        let names: Vec<_> =
            answer["sections"].as_array().into_iter().flatten().map(|row| look::text(&row["path"])).collect();
        std::mem::replace(&mut self.names, names) != self.names
    }

    pub fn hear_fields(&mut self, answer: &Value) {
        let mut section = Section::default();
        for (n, row) in answer["fields"].as_array().into_iter().flatten().enumerate() {
            let label = look::text(&row["label"]);
            section.tree.insert(&parts(&label), n);
            let (path, value) = (look::text(&row["path"]), look::text(&row["value"]));
            section.fields.push(Field { path, value, plain: look::text(&row["plain"]) });
        }
        self.sections.insert(look::text(&answer["section"]), section);
    }

    pub fn draw(&mut self, ui: &mut Ui, shared: Shared, wishes: &mut Wishes) {
        let edit = TextEdit::singleline(&mut self.filter).hint_text("filter: a section or a field");
        if ui.add(edit.desired_width(260.0)).changed() {
            wishes.again();
        }
        ui.add_space(2.0);
        let Self { names, sections, open, filter, edited } = self;
        let filter = filter.to_lowercase();
        ScrollArea::vertical().id_salt("devices").auto_shrink(false).show(ui, |ui| {
            ui.spacing_mut().item_spacing.y = 2.0;
            for name in names.iter() {
                let known = sections.get(name);
                let whole = name.to_lowercase().contains(&filter);
                let fits = |field: &Field| whole || field.path.to_lowercase().contains(&filter);
                if !whole && !known.is_some_and(|known| known.fields.iter().any(&fits)) {
                    continue;
                }
                let forced = (!filter.is_empty() && known.is_some()).then_some(true);
                let shown = CollapsingHeader::new(look::mono(name.as_str())).open(forced).show(ui, |ui| {
                    let Some(known) = known else { return };
                    let mut drawing = Drawing { edited: &mut *edited, shared, wishes: &mut *wishes };
                    for node in &known.tree.below {
                        draw_node(ui, node, &known.fields, &fits, &mut drawing);
                    }
                });
                let is_open = shown.openness > 0.0;
                if is_open != open.contains(name) {
                    if is_open {
                        open.insert(name.clone())
                    } else {
                        open.remove(name)
                    };
                    wishes.again();
                }
            }
        });
    }
}

fn any(node: &Node, fields: &[Field], fits: &dyn Fn(&Field) -> bool) -> bool {
    node.field.is_some_and(|n| fits(&fields[n])) || node.below.iter().any(|node| any(node, fields, fits))
}

/// What values are drawn with.
struct Drawing<'a> {
    edited: &'a mut Edited,
    shared: Shared,
    wishes: &'a mut Wishes,
}

fn draw_node(
    ui: &mut Ui,
    node: &Node,
    fields: &[Field],
    fits: &dyn Fn(&Field) -> bool,
    drawing: &mut Drawing<'_>,
) {
    if !any(node, fields, fits) {
        return;
    }
    if let Some(n) = node.field {
        draw_field(ui, &node.name, &fields[n], drawing);
    }
    if !node.below.is_empty() {
        CollapsingHeader::new(look::mono(node.name.as_str())).default_open(node.below.len() <= 16).show(
            ui,
            |ui| {
                for node in &node.below {
                    draw_node(ui, node, fields, fits, drawing);
                }
            },
        );
    }
}

fn draw_field(ui: &mut Ui, name: &str, field: &Field, drawing: &mut Drawing<'_>) {
    ui.horizontal(|ui| {
        let column = ui.cursor().left() + look::width(ui, 26.0);
        ui.add(Label::new(look::mono(name).color(ui.visuals().weak_text_color())).truncate());
        ui.add_space((column - ui.cursor().left()).max(0.0));
        if drawing.edited.is_of(&field.path) {
            return drawing.edited.draw(ui, drawing.wishes);
        }
        let text = look::mono(field.value.as_str()).color(look::value(ui));
        let response = ui.add(Label::new(text).truncate().sense(Sense::click()).selectable(false));
        let begin = (field.path.as_str(), field.written(), Written::Plain);
        drawing.edited.offer(ui, &response, drawing.shared, begin, drawing.wishes);
        response.on_hover_text(format!("{}\nA double click changes it.", field.path));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_a_tree_in_the_order_of_the_section() {
        let field = |label: &str| json!({ "path": format!("pit.{label}"), "label": label, "value": "1", "plain": "1" });
        let fields: Vec<_> =
            ["counters[0].mode", "counters[0].bcd", "counters[1].mode", "nmi"].map(field).into();
        let mut devices = Devices::default();
        devices.hear_fields(&json!({ "section": "pit", "fields": fields }));
        let tree = &devices.sections["pit"].tree;
        let names = |node: &Node| node.below.iter().map(|node| node.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(tree), ["counters[0]", "counters[1]", "nmi"]);
        assert_eq!(names(&tree.below[0]), ["mode", "bcd"]);
        assert_eq!(tree.below[2].field, Some(3));
    }

    #[test]
    fn what_is_shown_in_hexadecimal_is_changed_in_it() {
        let field = |value: &str, plain: &str| Field {
            path: "cpu0.rflags".to_owned(),
            value: value.to_owned(),
            plain: plain.to_owned(),
        };
        assert_eq!(field("0x206 [PF IF]", "518").written(), "0x206");
        assert_eq!(field("131 (0x83)", "131").written(), "131");
    }
}
