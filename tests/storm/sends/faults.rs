//! What befalls wires while a storm of sends is on, drawn at a rate that leaves progress possible.

use std::time::Duration;

use crate::aws_proxy::Fault;
use crate::tcp_proxy::{At, End, Way, Wire};
use crate::weather::Draws;

const KIB: u64 = 1 << 10;

fn ms(draws: &mut Draws, at_most: u64) -> Duration {
    Duration::from_millis(1 + draws.below(at_most))
}

fn one_in(draws: &mut Draws, n: u64) -> bool {
    draws.below(n) == 0
}

/// Every connection comes to its end, else those without one would be left over.
fn ending(draws: &mut Draws, up_max: u64, down_max: u64) -> Wire {
    let end = if one_in(draws, 3) {
        End::Reset
    } else {
        End::Cut
    };
    match draws.below(2) {
        0 => Wire::up(At::Bytes(draws.below(up_max)), end),
        _ => Wire::down(At::Bytes(draws.below(down_max)), end),
    }
}

/// Between a producer and its gate: a request has 15 KiB on average, its answer 12.
pub(crate) fn of_producers(draws: &mut Draws) -> Wire {
    let mut wire = ending(draws, 256 * KIB, 256 * KIB);
    let way: &mut Way = if one_in(draws, 2) {
        &mut wire.up
    } else {
        &mut wire.down
    };
    match draws.below(12) {
        0..3 => way.delay = ms(draws, 15),
        3 => way.bytes_per_s = Some(300 * KIB),
        _ => {}
    }
    wire.again = one_in(draws, 10).then(|| ms(draws, 300));
    wire
}

/// Between a process and its database. Most of the bytes go up; a transaction of a full batch has
/// some megabytes, so some connections must live that long.
pub(crate) fn of_database(draws: &mut Draws) -> Wire {
    let at_most = (32 * KIB) << draws.below(9);
    let mut wire = ending(draws, at_most, at_most / 2);
    if one_in(draws, 8) {
        wire.up.delay = ms(draws, 3);
    }
    wire
}

/// Between a process and its objects.
pub(crate) fn of_objects(draws: &mut Draws) -> Wire {
    let at_most = (8 * KIB) << draws.below(8);
    let mut wire = ending(draws, at_most, at_most);
    if one_in(draws, 4) {
        wire.down.delay = ms(draws, 40);
    }
    wire
}

const THROTTLED: &str = "ProvisionedThroughputExceededException";
const FAILED: &str = "InternalFailure";

/// Of one request to Kinesis.
pub(crate) fn of_bus(draws: &mut Draws, action: &str, n_records: usize) -> Fault {
    let throttled = Fault::Refuse {
        status: 400,
        code: THROTTLED,
    };
    if action != "PutRecords" {
        return match draws.below(60) {
            0 => throttled,
            1 => Fault::Lose,
            2 => Fault::LoseReply,
            3 => Fault::Delay(ms(draws, 50)),
            _ => Fault::Pass,
        };
    }
    let mut some = |code| {
        let places: Vec<usize> = (0..n_records).filter(|_| one_in(draws, 3)).collect();
        (places, code)
    };
    let refuse = some(THROTTLED);
    let deny = some(FAILED);
    match draws.below(60) {
        0..3 => throttled,
        3..9 => Fault::RefuseRecords {
            places: refuse.0,
            code: refuse.1,
        },
        9 => Fault::DenyRecords {
            places: deny.0,
            code: deny.1,
        },
        10 => Fault::LoseReply,
        11 => Fault::FailAfter,
        12 => Fault::Lose,
        13 => Fault::Reset,
        14..17 => Fault::Delay(ms(draws, 100)),
        _ => Fault::Pass,
    }
}

/// The first puts meet one of each, however small the storm.
pub(crate) fn first_of_bus() -> Vec<Fault> {
    let throttled = Fault::Refuse {
        status: 400,
        code: THROTTLED,
    };
    vec![
        Fault::Pass,
        Fault::LoseReply,
        throttled,
        Fault::RefuseRecords {
            places: vec![0],
            code: THROTTLED,
        },
        Fault::DenyRecords {
            places: vec![0],
            code: FAILED,
        },
        Fault::Lose,
        Fault::FailAfter,
    ]
}
