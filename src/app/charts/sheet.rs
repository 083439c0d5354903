//! The card that a chart is drawn on: size, title, legend, plot with its axes; and the way from
//! plotters' drawing to one SVG element.

use plotters::chart::{ChartBuilder, ChartContext, LabelAreaPosition};
use plotters::coord::Shift;
use plotters::prelude::{
    Cartesian2d, DrawingArea, DrawingAreaErrorKind, IntoDrawingArea, Rectangle, SVGBackend, Text,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, IntoFont, RGBColor, ShapeStyle, TextStyle};

use crate::app::charts::axis::Axis;
use crate::app::charts::ink::{AXIS, CARD, GRID, Ink, MUTED, TEXT};

/// What a chart is called, what its axes say, how large it is.
#[derive(Debug, Clone)]
pub(crate) struct Sheet {
    title: String,
    x_label: String,
    y_label: String,
    /// Pixels.
    pub(super) width: u32,
    pub(super) height: u32,
    is_headed: bool,
}

impl Sheet {
    /// A card of 720 × 260 pixels. The title is read out; it is drawn only if [`Sheet::headed`].
    #[must_use]
    pub(crate) fn new(title: impl Into<String>) -> Sheet {
        Sheet {
            title: title.into(),
            x_label: String::new(),
            y_label: String::new(),
            width: 720,
            height: 260,
            is_headed: false,
        }
    }

    /// What the axes measure, below and above the plot.
    #[must_use]
    pub(crate) fn labels(mut self, x: impl Into<String>, y: impl Into<String>) -> Sheet {
        self.x_label = x.into();
        self.y_label = y.into();
        self
    }

    /// The size in pixels, at least 160 × 80.
    #[must_use]
    pub(crate) fn size(mut self, width: u32, height: u32) -> Sheet {
        self.width = width.max(160);
        self.height = height.max(80);
        self
    }

    /// Draws the title into the card: for a chart that stands alone.
    #[must_use]
    pub(crate) fn headed(mut self) -> Sheet {
        self.is_headed = true;
        self
    }
}

pub(super) type Backend<'a> = SVGBackend<'a>;
pub(super) type Area<'a> = DrawingArea<Backend<'a>, Shift>;
pub(super) type Plot<'c, 'a> = ChartContext<'c, Backend<'a>, Cartesian2d<Axis, Axis>>;
pub(super) type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// plotters rounds to whole units: drawn this many times as large, nothing shows of it.
const SCALE: u32 = 4;
const MARGIN: i32 = 14;
const HEAD_HEIGHT: i32 = 26;
const LEGEND_HEIGHT: i32 = 22;
const X_TICKS_HEIGHT: i32 = 22;
const X_LABEL_HEIGHT: i32 = 18;
const FONT: &str = "system-ui, sans-serif";

/// Pixels in units of the drawing.
pub(super) const fn px(pixels: i32) -> i32 {
    pixels * SCALE.cast_signed()
}

pub(super) fn stroke(colour: RGBColor, quarter_px: u32) -> ShapeStyle {
    colour.stroke_width(quarter_px)
}

/// How wide a text of this size is, in pixels: an estimate, for what the reader's font is nobody knows.
pub(super) fn text_width(text: &str, size: i32) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * 0.6).ceil() as i32
}

/// Draws a text at a place given in pixels.
pub(super) fn write(
    area: &Area<'_>,
    text: &str,
    (x, y): (i32, i32),
    style: &TextStyle<'static>,
) -> Drawn {
    area.draw(&Text::new(text.to_owned(), (px(x), px(y)), style.clone()))
}

/// A text style: `size` in pixels.
pub(super) fn font(size: i32, colour: RGBColor, at: HPos) -> TextStyle<'static> {
    // plotters writes font-size as size / 1.24.
    let size = f64::from(px(size)) * 1.24;
    let style = (FONT, size).into_font().color(&colour);
    style.pos(Pos::new(at, VPos::Center))
}

pub(super) fn bold(size: i32, colour: RGBColor) -> TextStyle<'static> {
    let size = f64::from(px(size)) * 1.24;
    let style = (FONT, size, FontStyle::Bold).into_font().color(&colour);
    style.pos(Pos::new(HPos::Left, VPos::Center))
}

impl Sheet {
    /// Draws on an empty card and returns its SVG.
    pub(super) fn draw(&self, paint: impl FnOnce(&Area<'_>) -> Drawn) -> String {
        let mut text = String::new();
        let (width, height) = (self.width * SCALE, self.height * SCALE);
        {
            let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
            let painted = area
                .fill(&CARD)
                .and_then(|()| self.head(&area))
                .and_then(|()| paint(&area))
                .and_then(|()| area.present());
            painted.expect("a String takes every drawing");
        }
        let body = text
            .split_once("<svg")
            .and_then(|(_, rest)| rest.split_once('>'))
            .map_or("", |(_, body)| body);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{}\" height=\"{}\" \
             viewBox=\"0 0 {width} {height}\">\n<title>{}</title>{body}",
            self.width,
            self.height,
            escaped(&self.title),
        )
    }

    fn head(&self, area: &Area<'_>) -> Drawn {
        if !self.is_headed {
            return Ok(());
        }
        let at = (MARGIN, MARGIN + HEAD_HEIGHT / 2 - 4);
        write(area, &self.title, at, &bold(15, TEXT))
    }

    /// Pixels from the top down to what is below the title.
    pub(super) fn top(&self) -> i32 {
        if self.is_headed {
            MARGIN + HEAD_HEIGHT
        } else {
            MARGIN
        }
    }

    /// A card that says why it is empty.
    pub(super) fn empty(&self) -> String {
        self.draw(|area| {
            let (x, y) = (self.width.cast_signed() / 2, self.height.cast_signed() / 2);
            write(area, "no data", (x, y), &font(13, MUTED, HPos::Center))
        })
    }

    /// Names with their colours, from the right edge; what the upright axis measures, on the left.
    pub(super) fn legend(&self, area: &Area<'_>, names: &[(&str, Ink)]) -> Drawn {
        let y = self.top() + LEGEND_HEIGHT / 2 - 4;
        if !self.y_label.is_empty() {
            write(
                area,
                &self.y_label,
                (MARGIN, y),
                &font(11, MUTED, HPos::Left),
            )?;
        }
        let mut x = self.width.cast_signed() - MARGIN;
        for (name, ink) in names.iter().rev() {
            x -= text_width(name, 11);
            write(area, name, (x, y), &font(11, TEXT, HPos::Left))?;
            x -= 14;
            let corners = [(px(x), px(y - 5)), (px(x + 10), px(y + 5))];
            area.draw(&Rectangle::new(corners, ink.colour().filled()))?;
            x -= 14;
        }
        Ok(())
    }

    /// Legend, axes and grid; then what `paint` draws inside.
    pub(super) fn plot(
        &self,
        x: &Axis,
        y: &Axis,
        names: &[(&str, Ink)],
        paint: impl FnOnce(&mut Plot<'_, '_>) -> Drawn,
    ) -> String {
        self.draw(|area| {
            self.legend(area, names)?;
            let widest = y.ticks.iter().map(|(_, label)| text_width(label, 11)).max();
            let x_height = match self.x_label.is_empty() {
                true => X_TICKS_HEIGHT,
                false => X_TICKS_HEIGHT + X_LABEL_HEIGHT,
            };
            let mut chart = ChartBuilder::on(area)
                .margin_top(px(self.top() + LEGEND_HEIGHT))
                .margin_right(px(MARGIN + 8))
                .margin_bottom(px(6))
                .margin_left(px(6))
                .x_label_area_size(px(x_height))
                .y_label_area_size(px(widest.unwrap_or(20) + 12))
                .build_cartesian_2d(x.clone(), y.clone())?;
            self.mesh(&mut chart)?;
            paint(&mut chart)?;
            // The base line last, over the feet of what stands on it.
            chart.draw_series(std::iter::once(plotters::element::PathElement::new(
                vec![(x.from, y.from), (x.to, y.from)],
                stroke(AXIS, 5),
            )))?;
            Ok(())
        })
    }

    fn mesh(&self, chart: &mut Plot<'_, '_>) -> Drawn {
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(stroke(GRID, 4))
            .axis_style(CARD.mix(0.0))
            .set_tick_mark_size(LabelAreaPosition::Left, px(6))
            .set_tick_mark_size(LabelAreaPosition::Bottom, px(4))
            .label_style(font(11, MUTED, HPos::Center))
            .x_desc(self.x_label.clone())
            .axis_desc_style(font(11, MUTED, HPos::Center))
            .draw()
    }
}

/// Text as XML takes it.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
