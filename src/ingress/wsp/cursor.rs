//! Which arrivals are done, when lanes finish out of order: the cursor is the first that is not.
//! Pure.

use std::collections::BTreeSet;

/// Arrivals below `next` are all done; those in `ahead` are done too.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    next: i64,
    ahead: BTreeSet<i64>,
}

impl Cursor {
    pub(super) fn at(next: i64) -> Cursor {
        Cursor {
            next,
            ahead: BTreeSet::new(),
        }
    }

    pub(super) fn done(&mut self, index: i64) {
        if index >= self.next {
            self.ahead.insert(index);
        }
        while self.ahead.remove(&self.next) {
            self.next += 1;
        }
    }

    /// The first arrival that is not done.
    pub(super) fn next(&self) -> i64 {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;

    #[test]
    fn the_cursor_waits_for_the_slowest_lane() {
        let mut cursor = Cursor::at(10);
        for (index, next) in [(11, 10), (12, 10), (10, 13), (9, 13), (14, 13), (13, 15)] {
            cursor.done(index);
            assert_eq!(cursor.next(), next, "after {index}");
        }
    }
}
