//! Minor units as people write amounts.

use crate::app::commands::table::grouped;

/// `EUR 1,234.56` of 123456 and `EUR`.
#[must_use]
pub(crate) fn money(minor: i64, currency: &str) -> String {
    let decimals = decimals(currency);
    let unit = 10i64.pow(decimals);
    let (whole, part) = (minor / unit, (minor % unit).unsigned_abs());
    let sign = if minor < 0 && whole == 0 { "-" } else { "" };
    let part = match decimals {
        0 => String::new(),
        decimals => format!(".{part:0width$}", width = decimals as usize),
    };
    format!("{currency} {sign}{}{part}", grouped(whole))
        .trim_start()
        .to_owned()
}

/// The amount in major units, for an axis.
#[must_use]
pub(super) fn major(minor: f64, currency: &str) -> f64 {
    minor / f64::from(10i32.pow(decimals(currency)))
}

/// Decimals of a currency by ISO 4217; two but for a few.
fn decimals(currency: &str) -> u32 {
    const NONE: [&str; 16] = [
        "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
        "VUV", "XAF", "XOF",
    ];
    const THREE: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
    match currency {
        it if NONE.contains(&it) => 0,
        it if THREE.contains(&it) => 3,
        _ => 2,
    }
}
