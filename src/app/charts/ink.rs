//! The one palette: seven colours that stay apart in print and for most colour-blind eyes, and the
//! greys of the card.

use plotters::style::RGBColor;

/// A colour by name; what it stands for is the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ink {
    Blue,
    Teal,
    Amber,
    Orange,
    Red,
    Violet,
    Grey,
    Dark,
}

impl Ink {
    /// The colour as CSS has it.
    #[must_use]
    pub(crate) fn css(self) -> String {
        let RGBColor(red, green, blue) = self.colour();
        format!("#{red:02x}{green:02x}{blue:02x}")
    }

    pub(super) const fn colour(self) -> RGBColor {
        match self {
            Ink::Blue => RGBColor(0x2f, 0x6f, 0xde),
            Ink::Teal => RGBColor(0x0f, 0x9d, 0x8a),
            Ink::Amber => RGBColor(0xf2, 0xb1, 0x34),
            Ink::Orange => RGBColor(0xe8, 0x74, 0x3b),
            Ink::Red => RGBColor(0xcf, 0x2f, 0x44),
            Ink::Violet => RGBColor(0x7b, 0x61, 0xc9),
            Ink::Grey => RGBColor(0xb4, 0xbf, 0xcc),
            Ink::Dark => TEXT,
        }
    }
}

pub(super) const CARD: RGBColor = RGBColor(0xff, 0xff, 0xff);
pub(super) const GRID: RGBColor = RGBColor(0xe8, 0xec, 0xf1);
pub(super) const AXIS: RGBColor = RGBColor(0xb4, 0xbf, 0xcc);
pub(super) const TEXT: RGBColor = RGBColor(0x1f, 0x29, 0x37);
pub(super) const MUTED: RGBColor = RGBColor(0x5b, 0x67, 0x78);
