//! How far two places are apart.

/// The mean radius of the Earth in kilometres (IUGG, R1).
const EARTH_RADIUS_KM: f64 = 6_371.008_8;
const MICRO_DEGREES_A_TURN: i64 = 360_000_000;

/// Kilometres along the great circle between two places (haversine), each its latitude and its
/// longitude in millionths of a degree; within half a percent of the ellipsoid. `None` where a
/// coordinate is none.
pub(crate) fn distance_km([lat_a, lon_a, lat_b, lon_b]: [i64; 4]) -> Option<f64> {
    let is_lat = |it: i64| it.unsigned_abs() <= MICRO_DEGREES_A_TURN.unsigned_abs() / 4;
    let is_lon = |it: i64| it.unsigned_abs() <= MICRO_DEGREES_A_TURN.unsigned_abs() / 2;
    if !(is_lat(lat_a) && is_lat(lat_b) && is_lon(lon_a) && is_lon(lon_b)) {
        return None;
    }
    let radians = |it: i64| it as f64 / 1e6 * (std::f64::consts::PI / 180.0);
    let half_sine = |it: i64| libm::sin(radians(it) / 2.0);
    let (of_lat, of_lon) = (half_sine(lat_b - lat_a), half_sine(lon_b - lon_a));
    let narrowed = libm::cos(radians(lat_a)) * libm::cos(radians(lat_b));
    // Rounding may lift it above one at the far side of the Earth.
    let chord = (of_lat * of_lat + narrowed * of_lon * of_lon).min(1.0);
    Some(2.0 * EARTH_RADIUS_KM * libm::asin(libm::sqrt(chord)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_as_far_apart_as_the_map_says() {
        let berlin = [52_520_000, 13_405_000];
        for (name, [lat, lon], km) in [
            ("itself", berlin, 0.0),
            ("Paris", [48_856_600, 2_352_200], 877.46),
            ("Sydney", [-33_868_800, 151_209_300], 16_089.0),
            ("its antipode", [-52_520_000, -166_595_000], 20_015.11),
        ] {
            let found = distance_km([berlin[0], berlin[1], lat, lon]).unwrap();
            assert!((found - km).abs() <= km * 1e-3, "{name}: {found}");
            assert_eq!(distance_km([lat, lon, berlin[0], berlin[1]]), Some(found));
        }
        assert!(distance_km([0, -179_999_999, 0, 179_999_999]).unwrap() < 0.001);
        for not_there in [
            [90_000_001, 0, 0, 0],
            [0, 0, 0, -180_000_001],
            [i64::MIN; 4],
        ] {
            assert_eq!(distance_km(not_there), None);
        }
    }
}
