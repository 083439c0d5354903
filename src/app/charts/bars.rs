//! Named amounts as lying bars, each split into parts, with a remark behind.

use plotters::element::Rectangle;
use plotters::style::Color;
use plotters::style::text_anchor::HPos;

use crate::app::charts::ink::{GRID, Ink, MUTED, TEXT};
use crate::app::charts::sheet::{Sheet, font, px, text_width, write};

/// One bar.
#[derive(Debug, Clone)]
pub(crate) struct Bar {
    pub(crate) name: String,
    /// One number for each of the chart's parts.
    pub(crate) values: Vec<f64>,
    /// What stands behind the bar, such as the amount in words.
    pub(crate) note: String,
}

const MARGIN: i32 = 14;
const NAME_WIDTH_MAX: i32 = 260;
/// A bar with the air around it.
const ROW_HEIGHT: u32 = 26;

/// Draws a bar a row; the height of the sheet follows from their number.
#[must_use]
pub(crate) fn named_bars(sheet: &Sheet, parts: &[(&str, Ink)], bars: &[Bar]) -> String {
    let longest = bars.iter().map(|bar| bar.values.iter().sum::<f64>());
    let longest = longest.fold(0.0, f64::max);
    if longest <= 0.0 {
        return sheet.empty();
    }
    let n_bars = u32::try_from(bars.len()).unwrap_or(u32::MAX);
    let top = sheet.top() + 24;
    let height = top.unsigned_abs() + n_bars.saturating_mul(ROW_HEIGHT) + 8;
    let sheet = sheet.clone().size(sheet.width, height);
    let widest = |texts: &mut dyn Iterator<Item = &String>| {
        texts.map(|text| text_width(text, 12)).max().unwrap_or(0)
    };
    let name_width = widest(&mut bars.iter().map(|bar| &bar.name)).min(NAME_WIDTH_MAX);
    let note_width = widest(&mut bars.iter().map(|bar| &bar.note));
    let left = MARGIN + name_width + 10;
    let right = (sheet.width.cast_signed() - MARGIN - note_width - 10).max(left + 40);
    let length = |value: f64| (f64::from(px(right - left)) * value / longest).round() as i32;
    sheet.draw(|area| {
        sheet.legend(area, if parts.len() > 1 { parts } else { &[] })?;
        for (nth, bar) in (0i32..).zip(bars) {
            let y = top + nth * ROW_HEIGHT.cast_signed();
            let middle = y + ROW_HEIGHT.cast_signed() / 2;
            let end = (left - 10, middle);
            write(area, &bar.name, end, &font(12, TEXT, HPos::Right))?;
            let (high, low) = (px(y + 5), px(y + 21));
            let track = [(px(left), high), (px(right), low)];
            area.draw(&Rectangle::new(track, GRID.mix(0.55).filled()))?;
            let mut from = px(left);
            for ((_, ink), value) in parts.iter().zip(&bar.values) {
                let to = from + length(*value);
                if to > from {
                    let corners = [(from, high), (to, low)];
                    area.draw(&Rectangle::new(corners, ink.colour().filled()))?;
                }
                from = to;
            }
            let behind = (right + 10, middle);
            write(area, &bar.note, behind, &font(12, MUTED, HPos::Left))?;
        }
        Ok(())
    })
}
