//! The circuit breaker of one endpoint: who is ill is left alone, and asked by one call whether it is well.
//! Pure: it is told the time and what was heard.

use crate::domain::time::Time;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// So many calls in a row found the endpoint ill.
    pub failures_max: u32,
    pub open_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Calls are made; so many in a row found it ill.
    Closed { failures: u32 },
    /// None are made before then.
    Open { until: Time },
    /// One is made, and decides.
    HalfOpen,
}

#[derive(Debug)]
pub(super) struct Breaker {
    limits: Limits,
    state: State,
}

impl Breaker {
    pub(super) fn new(limits: Limits) -> Breaker {
        Breaker {
            limits,
            state: State::Closed { failures: 0 },
        }
    }

    pub(super) fn state(&self) -> State {
        self.state
    }

    /// How many calls may be under way now, of `calls_max`.
    pub(super) fn room(&mut self, now: Time, calls_max: usize) -> usize {
        if let State::Open { until } = self.state
            && until <= now
        {
            self.state = State::HalfOpen;
        }
        match self.state {
            State::Closed { .. } => calls_max,
            State::Open { .. } => 0,
            State::HalfOpen => 1,
        }
    }

    /// Takes in what one call found.
    pub(super) fn heard(&mut self, now: Time, is_ill: bool) {
        let open = State::Open {
            until: now.plus_ms(self.limits.open_ms),
        };
        self.state = match (self.state, is_ill) {
            (State::Closed { failures }, true) if failures + 1 >= self.limits.failures_max => open,
            (State::Closed { failures }, true) => State::Closed {
                failures: failures + 1,
            },
            (State::Closed { .. } | State::HalfOpen, false) => State::Closed { failures: 0 },
            (State::HalfOpen, true) => open,
            // A call from before it opened: its probe will ask.
            (open @ State::Open { .. }, _) => open,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Time = Time::from_micros(0);

    /// After these findings at these milliseconds, the calls there is room for at `at`, of 16.
    #[track_caller]
    fn check(heard: &[(u64, bool)], at: u64, room: usize, state: State) {
        let mut breaker = Breaker::new(Limits {
            failures_max: 3,
            open_ms: 100,
        });
        for (at, is_ill) in heard {
            breaker.room(T0.plus_ms(*at), 16);
            breaker.heard(T0.plus_ms(*at), *is_ill);
        }
        assert_eq!(
            (breaker.room(T0.plus_ms(at), 16), breaker.state()),
            (room, state)
        );
    }

    #[test]
    fn it_opens_probes_and_closes() {
        const ILL: bool = true;
        const WELL: bool = false;
        let closed = |failures| State::Closed { failures };
        let open = |ms| State::Open {
            until: T0.plus_ms(ms),
        };
        check(&[], 0, 16, closed(0));
        check(&[(1, ILL), (2, ILL)], 3, 16, closed(2));
        check(&[(1, ILL), (2, ILL), (3, WELL), (4, ILL)], 5, 16, closed(1));
        let opened = [(1, ILL), (2, ILL), (3, ILL)];
        check(&opened, 102, 0, open(103));
        check(&opened, 103, 1, State::HalfOpen);
        let with = |more: &[(u64, bool)]| [&opened, more].concat();
        // What was under way when it opened decides nothing.
        check(&with(&[(4, WELL), (5, ILL)]), 6, 0, open(103));
        check(&with(&[(110, WELL)]), 111, 16, closed(0));
        check(&with(&[(110, ILL)]), 209, 0, open(210));
        check(&with(&[(110, ILL)]), 210, 1, State::HalfOpen);
    }
}
