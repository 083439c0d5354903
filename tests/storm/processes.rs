//! The storm of processes: two gates, two inlets and two decision processes on Kinesis, S3 and a
//! Postgres by URL, while any of them, and any of the servers, is killed or put to sleep for longer
//! than its lease.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fraudplat::contracts::groups;
use fraudplat::runtime::lease::{LEASE_MS, LeaseRow};

use crate::checks::check;
use crate::events::{JSON, Port};
use crate::home::{DONE, Home, LONG, until};
use crate::labeller::Labeller;
use crate::labels;
use crate::ledger::{self, Ledger};
use crate::payments::events;
use crate::producers::{self, Producer, Stream};
use crate::servers::{self, Server, Servers};
use crate::shop::{self, Shop};
use crate::site::{self, Site};
use crate::weather::{Draws, Weather};

/// Small, so that memory comes back from snapshots that are older than what is decided.
const SNAPSHOT_DECISIONS: &str = "300";
/// Slower than this it does not come on: about a tenth of what it does.
const PAYMENTS_PER_LONG: u64 = 20_000;
/// Of these a sample is replayed; the whole run by its range.
const SAMPLED: u64 = 100;
/// Beside so many kills somebody sleeps for longer than a lease, too.
const KILLS_PER_PAUSE: u64 = 5;
const LEASE: Duration = Duration::from_millis(LEASE_MS as u64);

/// Whom it strikes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    KillGate,
    KillInlet,
    KillActive,
    KillStandby,
    KillServer(Server),
    PauseGate,
    PauseInlet,
    PauseActive,
}

/// When it strikes: as the stream comes on, not as time goes by.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// When producers know of so many payments that they are admitted.
    Admitted(u64),
    /// When so many payments are decided.
    Decided(u64),
    /// While the strike before is still felt.
    After(Duration),
}

#[derive(Debug, Clone, Copy)]
struct Strike {
    kind: Kind,
    /// Which of two.
    which: usize,
    moment: Moment,
    /// How long it stays down, or asleep.
    time: Duration,
    /// Payments that may be sent until then.
    let_out: u64,
}

pub(crate) fn storm(weather: &Weather) {
    let setting = (
        "FRAUDPLAT__DECISION__SNAPSHOT_DECISIONS",
        SNAPSHOT_DECISIONS,
    );
    let mut home = weather.home(&[setting]);
    let (servers, key) = servers::provisioned(&mut home, &[]);
    let bundle = labels::bundle(&home);
    let deciding = ("FRAUDPLAT__DECISION__BUNDLE_DIR", bundle.to_str().unwrap());
    home.under("local_parity", &[deciding]);
    let ledger = Ledger::of(&servers);
    let shop = shop::open(&home, weather.payments);
    weather.say("the servers are up, the run is pinned");

    let mut field = Field {
        weather,
        home: &home,
        servers: &servers,
        ledger: &ledger,
        shop: &shop,
        key,
        site: Site::new(&home),
        stream: &Stream::default(),
        kills: BTreeMap::new(),
    };
    field.live();
    field.end();
    let Field { site, kills, .. } = field;
    site.stop();
    weather.say("drained");
    check_left_behind(&home, &ledger);
    let kills: Vec<String> = kills
        .iter()
        .map(|(kind, n)| format!("{kind} {n}"))
        .collect();
    weather.say(&format!(
        "{} decisions; {}",
        shop.payments,
        kills.join(", ")
    ));
}

/// Strikes spread over the stream: each kind comes, as often as any other, in an order, at moments
/// and for times that the seed gives.
fn plan(n_kills: u64, payments: u64, draws: &mut Draws) -> Vec<Strike> {
    // A small storm has the first of these.
    let kills = [
        Kind::KillGate,
        Kind::KillActive,
        Kind::KillInlet,
        Kind::KillServer(Server::Postgres),
        Kind::KillServer(Server::Kinesis),
        Kind::KillServer(Server::S3),
        Kind::KillStandby,
    ];
    let mut pauses = [Kind::PauseActive, Kind::PauseGate, Kind::PauseInlet];
    pauses.rotate_left(usize::try_from(draws.below(3)).unwrap());
    let mut kinds = rounds(&kills, n_kills);
    kinds.extend(rounds(&pauses, (n_kills / KILLS_PER_PAUSE).max(1)));
    for at in (1..kinds.len()).rev() {
        let other = usize::try_from(draws.below(at as u64 + 1)).unwrap();
        kinds.swap(at, other);
    }
    let step = payments / (kinds.len() as u64 + 1);
    let strike = |(nth, (round, kind)): (usize, (usize, Kind))| {
        let reached = nth as u64 * step + 1 + draws.below(step);
        let moment = match draws.below(8) {
            0..3 if nth > 0 => Moment::After(Duration::from_millis(draws.below(1_000))),
            3..5 => Moment::Admitted(reached),
            _ => Moment::Decided(reached),
        };
        Strike {
            kind,
            which: usize::try_from(draws.below(2)).unwrap(),
            moment,
            time: how_long(kind, round, draws),
            // More than the strike waits for: it meets a stream that flows.
            let_out: (nth as u64 + 2) * step,
        }
    };
    kinds.into_iter().enumerate().map(strike).collect()
}

/// So many of these, each as often as any other, with how often it came before.
fn rounds(kinds: &[Kind], n: u64) -> Vec<(usize, Kind)> {
    let n = usize::try_from(n).unwrap();
    let rounds = (0..n).map(|nth| (nth / kinds.len(), kinds[nth % kinds.len()]));
    rounds.collect()
}

fn other([one, two]: [usize; 2], than: usize) -> usize {
    if than == one { two } else { one }
}

fn how_long(kind: Kind, round: usize, draws: &mut Draws) -> Duration {
    let up_to = |ms: u64, draws: &mut Draws| Duration::from_millis(draws.below(ms));
    match kind {
        Kind::PauseGate | Kind::PauseInlet | Kind::PauseActive => {
            LEASE + Duration::from_millis(500) + up_to(2_500, draws)
        }
        // Now and then a server is away for so long that nobody could renew a lease.
        Kind::KillServer(_) if round > 0 && draws.below(5) == 0 => LEASE + up_to(4_000, draws),
        _ => up_to(2_500, draws),
    }
}

/// Where it rages.
struct Field<'f> {
    weather: &'f Weather,
    home: &'f Home,
    servers: &'f Servers,
    ledger: &'f Ledger,
    shop: &'f Shop,
    /// Of whoever calls from outside.
    key: String,
    site: Site<'f>,
    stream: &'f Stream,
    kills: BTreeMap<String, u64>,
}

impl Field<'_> {
    /// Lets the stream flow and strikes, until everything is decided.
    fn live(&mut self) {
        let shop = self.shop;
        let mut draws = Draws::new(self.weather.seed.wrapping_add(99));
        let lanes = producers::lanes(events(shop, &shop.read()), &mut draws);
        self.site.until_well();
        self.weather.say("every process listens");
        let (stream, seed, key) = (self.stream, self.weather.seed, self.key.clone());
        // Lent to the producers; the addresses in them change.
        let addresses = std::sync::Arc::clone(&self.site.addresses);
        std::thread::scope(|scope| {
            let _over = stream.guard();
            let mut running = Vec::new();
            for (nth, events) in lanes.iter().enumerate() {
                let producer = Producer {
                    stream,
                    gates: &addresses,
                    key: &key,
                    draws: Draws::new(seed.wrapping_add(1 + nth as u64)),
                };
                running.push(scope.spawn(move || producer.produce(events)));
            }
            let (payments, labeller) = (shop.read(), Labeller::of(self.servers, &shop.run));
            let labels = scope.spawn(move || labels::say(&labeller, &payments, stream));
            self.strike_all();
            stream.let_out(shop.payments);
            self.until_moment(Moment::Decided(shop.payments));
            stream.all_decided();
            for producer in running {
                if let Err(cause) = producer.join() {
                    std::panic::resume_unwind(cause);
                }
            }
            let said = labels.join().unwrap();
            self.weather
                .say(&format!("{said} payments were labelled meanwhile"));
        });
        self.site.until_well();
        let refused = &self.site.refusals;
        self.weather.say(&format!(
            "{}; {} starts refused: {refused:?}",
            stream.summary(),
            refused.len()
        ));
    }

    fn strike_all(&mut self) {
        let (kills, payments) = (self.weather.size, self.shop.payments);
        let plan = plan(kills, payments, &mut self.weather.draws());
        for (nth, strike) in plan.iter().enumerate() {
            let begun = Instant::now();
            self.stream.let_out(strike.let_out);
            let Some(seen) = self.until_moment(strike.moment) else {
                return;
            };
            let struck = self.strike(*strike);
            *self.kills.entry(struck.clone()).or_default() += 1;
            self.weather.say(&format!(
                "strike {} of {}: {struck} for {:.1} s, {:?} after {:.2} s: {seen} decided",
                nth + 1,
                plan.len(),
                strike.time.as_secs_f64(),
                strike.moment,
                begun.elapsed().as_secs_f64(),
            ));
        }
    }

    /// How long the whole stream may take at most.
    fn patience(&self) -> Duration {
        LONG * (1 + u32::try_from(self.shop.payments / PAYMENTS_PER_LONG).unwrap())
    }

    /// Tends the site until the moment has come; returns how many payments are decided, as far as
    /// the database tells, or nothing if the producers have failed.
    fn until_moment(&mut self, moment: Moment) -> Option<u64> {
        let begun = Instant::now();
        until("the moment", self.patience(), || {
            self.site.tend();
            if self.stream.is_over() {
                return Some(None);
            }
            let decided = self.ledger.decided(&self.shop.run);
            let has_come = match moment {
                Moment::Admitted(payments) => self.stream.admitted() >= payments,
                Moment::Decided(payments) => decided? >= payments,
                Moment::After(time) => begun.elapsed() >= time,
            };
            has_come.then(|| Some(decided.unwrap_or_default()))
        })
    }

    /// Strikes, and says what.
    fn strike(&mut self, strike: Strike) -> String {
        let Strike { which, time, .. } = strike;
        let gate = site::GATES[which];
        match strike.kind {
            Kind::KillGate => self.kill(gate, time, "gate"),
            Kind::KillInlet => {
                let inlet = self.inlet();
                let inlet = if which == 0 {
                    inlet
                } else {
                    other(site::INLETS, inlet)
                };
                self.kill(inlet, time, "inlet")
            }
            Kind::KillActive => {
                let active = self.active();
                self.kill(active, time, "active decision")
            }
            Kind::KillStandby => {
                let standby = other(site::DECISIONS, self.active());
                self.kill(standby, time, "standby decision")
            }
            Kind::PauseGate => self.pause(gate, time, "gate"),
            Kind::PauseInlet => {
                let inlet = self.inlet();
                self.pause(inlet, time, "inlet")
            }
            Kind::PauseActive => {
                let active = self.active();
                self.pause(active, time, "active decision")
            }
            Kind::KillServer(server) => {
                self.servers.kill(server);
                self.until_moment(Moment::After(time));
                self.servers.up_again(self.home);
                format!("kill {server:?}")
            }
        }
    }

    fn kill(&mut self, at: usize, time: Duration, what: &str) -> String {
        self.site.kill(at, time);
        format!("kill {what}")
    }

    fn pause(&mut self, at: usize, time: Duration, what: &str) -> String {
        self.site.pause(at, time);
        format!("pause {what}")
    }

    /// The decision process that has the run.
    fn active(&mut self) -> usize {
        self.at_work(groups::DECISION, site::DECISIONS)
    }

    /// The inlet that has the first of the contexts, and mostly the others.
    fn inlet(&mut self) -> usize {
        self.at_work(groups::CONTEXT_ARRIVAL_EVENTS, site::INLETS)
    }

    /// Which of two has the lease of a group.
    fn at_work(&mut self, group: &str, places: [usize; 2]) -> usize {
        until("somebody at work", LONG, || {
            self.site.tend();
            let leases = self.ledger.leases()?;
            let lease = leases.iter().find(|row| row.key.group == group)?;
            let holder = self.site.holder_among(&places, &lease.holder);
            holder.filter(|_| ledger::is_held(lease))
        })
    }

    /// What the strikes have come to.
    fn tell_of_takeovers(&self) {
        let [gates, inlets, decisions] = until("the takeovers", LONG, || self.ledger.takeovers());
        let ambiguous = until("unknown outcomes", LONG, || self.ledger.ambiguous());
        let said = self.home.said();
        let lost = ["was lost", "lost its lease"];
        let tells = |line: &&str| lost.iter().any(|words| line.contains(words));
        let lost = said.iter().flat_map(|text| text.lines());
        let lost = lost
            .filter(|line| line.contains("lease"))
            .filter(tells)
            .count();
        self.weather.say(&format!(
            "takeovers: gates {gates}, inlets and archive {inlets}, decisions {decisions}; \
             a holder was told {lost} times that its lease was lost; \
             {ambiguous} puts of unknown outcome"
        ));
    }

    /// Has everyone write out what it holds back.
    fn flush(&self) {
        let path = format!("/v1/runs/{}/flush", self.shop.run);
        for addr in self.site.everywhere() {
            let port = Port::impatient(addr, &self.key, LONG);
            let answer = port.try_post(&path, JSON, "");
            check(
                "a flush is heard",
                answer.is_some_and(|it| it.status == 202),
                addr,
            );
        }
    }

    /// The stream once more, by the platform's own streamer, to its end: nothing in it is new. Then
    /// what must hold after every storm, and what must hold of leases.
    fn end(&mut self) {
        let (home, shop) = (self.home, self.shop);
        let gate = self.site.addresses[0].lock().unwrap().clone().unwrap();
        let args = [
            "--json",
            "wsp",
            "stream",
            "--run",
            &shop.run,
            "--speedup",
            "max",
        ];
        let streamed = home.start_with(&args, &[("FRAUDPLAT__GATE__ADDR", &gate)]);
        let streamed = streamed.wait().expect(DONE).json();
        let is_known = streamed["duplicates"] == streamed["events"] && streamed["ended"] == true;
        check("the streamer finds nothing new", is_known, &streamed);
        self.tell_of_takeovers();
        // What the dead owed in receipts others write when a lease is over.
        let begun = Instant::now();
        until("a reconciliation", self.patience() * 2, || {
            self.site.tend();
            self.flush();
            let reconciled = home.run(&["--json", "reconcile", "run", "--run", &shop.run]);
            let is_balanced = reconciled.json()["balanced"] == true;
            // What is not balanced by then never will be; the check below says why.
            (is_balanced || begun.elapsed() > self.patience()).then_some(())
        });
        self.weather.say("reconciled");
        shop::check_whole(home, shop, &shop.payments.min(SAMPLED).to_string());
        self.check_history();
        let open = home.json(&["ig", "ambiguous", "list"]);
        check(
            "nothing is left ambiguous",
            open == serde_json::json!([]),
            &open,
        );
        let open = until("open batches", LONG, || self.ledger.open_batches());
        check("nothing is left in flight", open == 0, open);
        self.check_leases();
    }

    /// The dead hold none, once the one that they had is over: it is renewed no more.
    fn check_leases(&mut self) {
        let begun = Instant::now();
        let everybody = [site::GATES, site::INLETS, site::DECISIONS].concat();
        let wrong = until("leases", LONG, || {
            self.site.tend();
            let leases = self.ledger.leases()?;
            let is_living = |it: &LeaseRow| self.site.holder_among(&everybody, &it.holder);
            let mut held = leases.into_iter().filter(ledger::is_held);
            let wrong = held.find(|it| is_living(it).is_none());
            (wrong.is_none() || begun.elapsed() > LEASE * 2).then_some(wrong)
        });
        check(
            "only the living hold leases",
            wrong.is_none(),
            format!("{wrong:?}"),
        );
    }

    /// The whole run is recomputed from the archive, what was decided without context included.
    fn check_history(&self) {
        let (home, shop) = (self.home, self.shop);
        let count = || self.ledger.degraded(&shop.run);
        let degraded = until("degraded decisions", LONG, count);
        check("withheld context degrades", degraded > 0, degraded);
        let seen = labels::seen(home, &shop.run);
        check("decisions knew labels", seen > 0, seen);
        shop::check_history(home, &shop.run, shop.payments);
        self.weather.say(&format!(
            "{} recomputed, {degraded} of them degraded, 0 differ",
            shop.payments
        ));
    }
}

/// When all have drained nobody holds a lease, and nobody had broken a law.
fn check_left_behind(home: &Home, ledger: &Ledger) {
    let leases = until("leases", LONG, || ledger.leases());
    let held: Vec<_> = leases.into_iter().filter(ledger::is_held).collect();
    check(
        "who drains releases its leases",
        held.is_empty(),
        format!("{held:?}"),
    );
    for said in home.said() {
        let is_lawful = !said.contains("panicked") && !said.contains("a law was broken");
        check("nobody breaks a law", is_lawful, &said);
    }
}
