//! Colours, type and sizes of what is not the guest's.

use egui::{Color32, Context, FontId, Stroke, Style, TextStyle, Theme};

/// Sets them, in light and dark.
pub fn set(egui: &Context) {
    // Ctrl and plus are the guest's.
    egui.options_mut(|options| options.zoom_with_keyboard = false);
    egui.style_mut_of(Theme::Light, |style| {
        ink(style, 60, 100, 150);
        // Names and what changed are read, too.
        style.visuals.hyperlink_color = Color32::from_rgb(0, 95, 175);
        style.visuals.warn_fg_color = Color32::from_rgb(195, 75, 0);
        style.visuals.error_fg_color = Color32::from_rgb(200, 0, 0);
        keyboard_is_seen(style);
    });
    egui.style_mut_of(Theme::Dark, |style| {
        ink(style, 175, 130, 85);
        style.visuals.error_fg_color = Color32::from_rgb(255, 105, 105);
        keyboard_is_seen(style);
    });
    egui.all_styles_mut(|style| {
        style.text_styles.insert(TextStyle::Small, FontId::proportional(11.5));
        style.spacing.button_padding.x = 6.0;
    });
}

/// Shades of grey of words, of words that matter less, and of the edges of fields, boxes and buttons: all can be told from
/// what is behind them.
fn ink(style: &mut Style, words: u8, less: u8, edge: u8) {
    let visuals = &mut style.visuals;
    visuals.widgets.noninteractive.fg_stroke.color = Color32::from_gray(words);
    visuals.weak_text_color = Some(Color32::from_gray(less));
    visuals.widgets.inactive.bg_stroke = Stroke::new(1.0, Color32::from_gray(edge));
}

/// What has the keyboard is to be seen at once.
fn keyboard_is_seen(style: &mut Style) {
    let visuals = &mut style.visuals;
    visuals.widgets.active.bg_stroke = Stroke::new(2.0, visuals.selection.stroke.color);
    visuals.widgets.active.weak_bg_fill = visuals.widgets.hovered.weak_bg_fill;
}
