//! How large a storm is, and where its chance comes from.

use std::time::Instant;

use crate::home::Home;

/// For producers who take no 429 for an answer: on a slow disk the oldest request may wait for long.
pub(crate) const UNLIMITED_BACKLOG: (&str, &str) = ("FRAUDPLAT__GATE__BACKLOG_MS_MAX", "600000");

/// One storm to come.
pub(crate) struct Weather {
    name: String,
    /// How much of what it is named after.
    pub(crate) size: u64,
    pub(crate) payments: u64,
    pub(crate) seed: u64,
    /// Settings of every process.
    pub(crate) env: Vec<(String, String)>,
    begun: Instant,
}

impl Weather {
    pub(crate) fn new(name: &str, size: u64, payments: u64, seed: u64) -> Weather {
        Weather {
            name: name.to_owned(),
            size,
            payments,
            seed,
            env: Vec::new(),
            begun: Instant::now(),
        }
    }

    /// As large as the environment says, else as here; a size asks for payments in proportion.
    pub(crate) fn given(name: &str, size: u64, payments: u64) -> Weather {
        let asked = setting("FRAUDPLAT_STORM_SIZE", size);
        let payments = payments.max(payments * asked / size.max(1));
        let payments = setting("FRAUDPLAT_STORM_PAYMENTS", payments);
        let seed = setting("FRAUDPLAT_STORM_SEED", random_seed());
        Weather::new(name, asked, payments, seed)
    }

    /// A data directory whose processes have the settings, and these.
    pub(crate) fn home(&self, settings: &[(&str, &str)]) -> Home {
        let own = self.env.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        let all: Vec<(&str, &str)> = settings.iter().copied().chain(own).collect();
        Home::with(&all)
    }

    /// Runs it, and prints its seed before and its verdict after.
    pub(crate) fn run(&self, storm: fn(&Weather)) {
        let Weather {
            name,
            size,
            payments,
            seed,
            ..
        } = self;
        self.say(&format!("size {size}, payments {payments}, seed {seed}"));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| storm(self)));
        let verdict = match &result {
            Ok(()) => "balanced".to_owned(),
            Err(cause) => format!("FAILED: {}", first_line(&said_by(cause.as_ref()))),
        };
        self.say(&format!("verdict {verdict}"));
        self.say(&format!(
            "again: just storm {name} --size {size} --payments {payments} --seed {seed}"
        ));
        if let Err(cause) = result {
            std::panic::resume_unwind(cause);
        }
    }

    pub(crate) fn say(&self, text: &str) {
        use std::io::Write as _;
        let at = self.begun.elapsed().as_secs_f64();
        let line = format!("storm {}: {at:>6.1} s: {text}", self.name);
        drop(writeln!(std::io::stderr().lock(), "{line}"));
    }

    pub(crate) fn draws(&self) -> Draws {
        Draws(self.seed)
    }
}

/// The words of a panic.
pub(crate) fn said_by(cause: &(dyn std::any::Any + Send)) -> String {
    let owned = cause.downcast_ref::<String>().cloned();
    let text = owned.or_else(|| cause.downcast_ref::<&str>().map(|it| (*it).to_owned()));
    text.unwrap_or_default()
}

fn first_line(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    let end = line.char_indices().nth(300).map_or(line.len(), |it| it.0);
    &line[..end]
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sizes of a storm are given to the test, not to the platform"
)]
fn setting(name: &str, otherwise: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().unwrap(),
        _ => otherwise,
    }
}

fn random_seed() -> u64 {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).unwrap();
    u64::from(u32::from_le_bytes(bytes))
}

/// SplitMix64.
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(seed: u64) -> Draws {
        Draws(seed)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let it = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (it ^ (it >> 31)) % limit.max(1)
    }
}
