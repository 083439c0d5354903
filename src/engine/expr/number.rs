//! Integers and floats compared exactly: converting either to the other would call 2^53 and
//! 2^53 + 1 equal.

use std::cmp::Ordering;

/// Two to the power of 63, the first float beyond i64.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

/// `float` is finite.
pub(crate) fn compare_int_float(int: i64, float: f64) -> Ordering {
    if float >= I64_END {
        return Ordering::Less;
    }
    if float < -I64_END {
        return Ordering::Greater;
    }
    // In range, so the cast cuts the fraction off and nothing else.
    let whole = float as i64;
    int.cmp(&whole).then_with(|| {
        let fraction = float - whole as f64;
        0.0_f64.total_cmp(&(fraction + 0.0))
    })
}

/// The float cut towards zero; `None` beyond i64.
pub(crate) fn to_int(float: f64) -> Option<i64> {
    (-I64_END..I64_END).contains(&float).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_is_exact() {
        let two53 = 9_007_199_254_740_992_i64;
        for (int, float, expect) in [
            (two53 + 1, two53 as f64, Ordering::Greater),
            (two53, two53 as f64, Ordering::Equal),
            (i64::MAX, I64_END, Ordering::Less),
            (i64::MIN, -I64_END, Ordering::Equal),
            (i64::MIN, -1e300, Ordering::Greater),
            (1, 1.5, Ordering::Less),
            (-1, -1.5, Ordering::Greater),
            (0, -0.0, Ordering::Equal),
            (0, -0.5, Ordering::Greater),
            (0, 1e-300, Ordering::Less),
        ] {
            assert_eq!(compare_int_float(int, float), expect, "{int} {float}");
        }
        assert_eq!(to_int(-1.9), Some(-1));
        assert_eq!(to_int(I64_END), None);
        assert_eq!(to_int(-I64_END), Some(i64::MIN));
    }
}
