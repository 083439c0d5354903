//! A number for each pair of two lists of names, as a field of shaded cells.

use plotters::element::Rectangle;
use plotters::style::text_anchor::HPos;
use plotters::style::{Color, RGBColor};

use crate::app::charts::ink::{CARD, GRID, Ink, MUTED, TEXT};
use crate::app::charts::sheet::{Sheet, font, px, text_width, write};

const MARGIN: i32 = 14;
const CELL_HEIGHT: i32 = 28;
const CELL_WIDTH_MAX: i32 = 92;

/// Draws `cells[row][column]`, shares of 0 to 1, as shades with the percentage in them; `None` is an
/// empty cell. The size of the sheet follows from the number of rows.
#[must_use]
pub(crate) fn matrix(
    sheet: &Sheet,
    rows: &[String],
    columns: &[String],
    cells: &[Vec<Option<f64>>],
) -> String {
    if rows.is_empty() || columns.is_empty() {
        return sheet.empty();
    }
    let widest = rows.iter().map(|name| text_width(name, 12)).max();
    let left = MARGIN + widest.unwrap_or(0) + 10;
    let n_columns = i32::try_from(columns.len()).unwrap_or(i32::MAX);
    let room = sheet.width.cast_signed() - MARGIN - left;
    let cell_width = (room / n_columns).clamp(8, CELL_WIDTH_MAX);
    let head = sheet.top() + 20;
    let n_rows = i32::try_from(rows.len()).unwrap_or(i32::MAX / CELL_HEIGHT);
    let height = head + n_rows * CELL_HEIGHT + MARGIN;
    let sheet = sheet.clone().size(sheet.width, height.unsigned_abs());
    sheet.draw(|area| {
        for (at, name) in (0i32..).zip(columns) {
            let x = left + at * cell_width + cell_width / 2;
            let style = font(11, MUTED, HPos::Center);
            write(area, name, (x, head - 10), &style)?;
        }
        for (nth, (name, row)) in (0i32..).zip(rows.iter().zip(cells)) {
            let y = head + nth * CELL_HEIGHT;
            let middle = y + CELL_HEIGHT / 2;
            let style = font(12, TEXT, HPos::Right);
            write(area, name, (left - 10, middle), &style)?;
            for (at, share) in (0i32..).zip(row) {
                let x = left + at * cell_width;
                let corners = [
                    (px(x + 1), px(y + 1)),
                    (px(x + cell_width - 1), px(y + CELL_HEIGHT - 1)),
                ];
                let Some(share) = share else {
                    area.draw(&Rectangle::new(corners, GRID.mix(0.5).filled()))?;
                    continue;
                };
                area.draw(&Rectangle::new(corners, shade(*share).filled()))?;
                let ink = if *share > 0.55 { CARD } else { TEXT };
                let style = font(11, ink, HPos::Center);
                let text = percent(*share);
                write(area, &text, (x + cell_width / 2, middle), &style)?;
            }
        }
        Ok(())
    })
}

/// From the card's white to the palette's blue.
fn shade(share: f64) -> RGBColor {
    let RGBColor(red, green, blue) = Ink::Blue.colour();
    let share = 0.04 + 0.96 * share.clamp(0.0, 1.0);
    let mixed = |ink: u8| (255.0 + (f64::from(ink) - 255.0) * share).round() as u8;
    RGBColor(mixed(red), mixed(green), mixed(blue))
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 1.0 => "<1".to_owned(),
        percent => format!("{percent:.0}"),
    }
}
