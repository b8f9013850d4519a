//! A menu within a menu. By keyboard the right arrow or Enter goes into it, and the left arrow back.

use egui::containers::menu::{MenuState, SubMenu, SubMenuButton};
use egui::{FocusDirection, Id, Key, Modifiers, Ui};

/// Draws its title, and what `add` adds while it is open.
pub fn submenu(ui: &mut Ui, title: &str, add: impl FnOnce(&mut Ui)) {
    let own = ui.next_auto_id();
    let id = SubMenu::id_from_widget_id(own);
    let was_open = MenuState::from_ui(ui, |state, _| state.open_item == Some(id));
    let has_keys = ui.memory(|memory| memory.has_focus(own));
    let mut goes_in = has_keys && !was_open && pressed(ui, Key::Enter) | pressed(ui, Key::Space);
    if has_keys && turned(ui, Key::ArrowRight) {
        set_open(ui, Some(id));
        goes_in = true;
    }
    SubMenuButton::new(title).ui(ui, |ui| {
        let first = ui.next_auto_id();
        add(ui);
        if goes_in {
            ui.memory_mut(|memory| memory.request_focus(first));
        }
    });
    if was_open && !has_keys && turned(ui, Key::ArrowLeft) {
        set_open(ui, None);
        ui.memory_mut(|memory| memory.request_focus(own));
    }
}

fn set_open(ui: &Ui, id: Option<Id>) {
    // One that was not shown is not opened.
    id.iter().for_each(|id| MenuState::mark_shown(ui.ctx(), *id));
    MenuState::from_ui(ui, |state, _| state.open_item = id);
}

fn pressed(ui: &Ui, key: Key) -> bool {
    ui.input(|input| input.key_pressed(key))
}

/// Whether the arrow was pressed; then it is for nobody else.
fn turned(ui: &Ui, arrow: Key) -> bool {
    let turned = ui.input_mut(|input| input.consume_key(Modifiers::NONE, arrow));
    if turned {
        ui.memory_mut(|memory| memory.move_focus(FocusDirection::None));
    }
    turned
}
