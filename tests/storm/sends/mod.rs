//! The storm of sends: every event many times, over sixty-four connections that are cut, delayed and
//! delivered twice, some events with another payload under their id. Each is admitted once, each
//! other payload is refused, and every reply stands in a receipt; on embedded substrates, and on
//! Kinesis, S3 and a Postgres by URL, whose wires break too.

mod audit;
mod faults;
mod plan;
mod producers;
mod told;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::aws_proxy::{AwsProxy, Fault};
use crate::checks::check;
use crate::events::Port;
use crate::home::{DONE, Finished, Home};
use crate::sends::audit::{Audit, Found};
use crate::sends::plan::Plan;
use crate::sends::producers::{Market, Tally};
use crate::sends::told::Told;
use crate::servers::Servers;
use crate::tcp_proxy::{self, End, TcpProxy, Wire};
use crate::weather::{Draws, Weather};

const LIVE: [&str; 4] = ["sr", "run", "--live", "till"];

/// On embedded substrates, in one process.
pub(crate) fn storm(weather: &Weather) {
    let runtime = runtime();
    let home = weather.home(&[]);
    let (all, port) = home.serve();
    let pins = home.json(&LIVE);
    let gates = [port.addr().to_owned()];
    let (market, wires) = runtime.block_on(send(weather, &pins, &gates, home.key("local")));
    let command = |args: &[&str]| home.run(&[&["--json"], args].concat());
    let found = audit(weather, &market, &pins, &port, &command);
    say(weather, &market, &wires, &found);
    weather.say(&memory("all", &home.data()));
    drop(runtime);
    all.stop(Signal::TERM).expect(DONE);
}

fn runtime() -> Runtime {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap()
}

/// Sends all of a plan through bad wires to these gates.
async fn send(
    weather: &Weather,
    pins: &Value,
    gates: &[String],
    key: String,
) -> (Arc<Market>, Vec<TcpProxy>) {
    let plan = Plan::new(weather.seed, weather.size, weather.payments, pins);
    weather.say(&format!(
        "{} sends of {} events, {} planted payloads",
        plan.n_sends,
        plan.n_events(),
        plan.n_planted()
    ));
    let mut wires = Vec::new();
    for (nth, gate) in (0..).zip(gates) {
        wires.push(bad(gate, weather.seed + nth, faults::of_producers).await);
    }
    let market = Arc::new(Market {
        told: Told::new(&plan),
        tally: Tally::default(),
        gates: wires.iter().map(|it| it.address).collect(),
        key,
        plan,
    });
    producers::produce(weather, &market).await;
    weather.say("every send is settled");
    (market, wires)
}

/// A wire to this address that is drawn.
async fn bad(to: &str, seed: u64, wire: fn(&mut Draws) -> Wire) -> TcpProxy {
    let proxy = TcpProxy::to(to.parse().unwrap()).await;
    begin(&proxy, seed, wire);
    proxy
}

fn begin(proxy: &TcpProxy, seed: u64, wire: fn(&mut Draws) -> Wire) {
    let mut draws = Draws::new(seed);
    proxy.draw(move || wire(&mut draws));
}

fn audit(
    weather: &Weather,
    market: &Market,
    pins: &Value,
    port: &Port,
    command: &dyn Fn(&[&str]) -> Finished,
) -> Found {
    let audit = Audit {
        weather,
        plan: &market.plan,
        run: pins["platform_run_id"].as_str().unwrap(),
        port,
        command,
    };
    audit.run(&market.told.take())
}

fn say(weather: &Weather, market: &Market, wires: &[TcpProxy], found: &Found) {
    let tally = &market.tally;
    let n = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let sum =
        |of: fn(&tcp_proxy::Tally) -> u64| -> u64 { wires.iter().map(|it| of(&it.tally())).sum() };
    weather.say(&format!(
        "{} sends, {} distinct, {} requests, {} sends again ({} answers lost, {} requests put off, \
         {} verdicts in flight), {} cuts, {} delays, {} repeats",
        market.plan.n_sends,
        market.plan.n_events(),
        n(&tally.requests),
        n(&tally.retries),
        n(&tally.lost),
        n(&tally.put_off),
        n(&tally.in_flight),
        sum(|it| it.ended),
        sum(|it| it.delayed),
        sum(|it| it.repeated),
    ));
    weather.say(&format!(
        "{} received, {} mismatches in {} refusals, {} ambiguous puts, {} second copies on the bus",
        found.n_received,
        found.n_mismatches,
        found.n_refusals,
        found.n_ambiguous,
        found.n_bus_repeats
    ));
}

/// The most memory that the owner of a data directory, and this test, ever had.
fn memory(name: &str, data: &Path) -> String {
    let owner = std::fs::read_to_string(data.join("LOCK")).unwrap();
    let peak = |pid: &str| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|it| it.starts_with("VmHWM")).unwrap();
        let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib >> 10
    };
    format!(
        "peak memory of {name}: {} MiB, of this test: {} MiB",
        peak(owner.trim()),
        peak("self")
    )
}

/// The servers, and the wires to them on which the gates stand.
struct Ground {
    servers: Servers,
    bus: AwsProxy,
    objects: TcpProxy,
    database: TcpProxy,
}

const KINESIS: &str = "FRAUDPLAT__SUBSTRATES__MANAGED__KINESIS__ENDPOINT_URL";
const S3: &str = "FRAUDPLAT__SUBSTRATES__MANAGED__S3__ENDPOINT_URL";
const POSTGRES: &str = "FRAUDPLAT__SUBSTRATES__MANAGED__POSTGRES__APP__URL";

impl Ground {
    /// Wires are good until the storm begins.
    async fn open(servers: Servers) -> Ground {
        let find = |name: &str| {
            let found = servers.env.iter().find(|it| it.0 == name);
            found.unwrap().1.clone()
        };
        let objects = find(S3);
        let objects = objects.trim_start_matches("http://").parse().unwrap();
        let database = find(POSTGRES);
        let database = database.split(['@', '/']).nth(3).unwrap().parse().unwrap();
        Ground {
            bus: AwsProxy::before(&find(KINESIS)).await,
            objects: TcpProxy::to(objects).await,
            database: TcpProxy::to(database).await,
            servers,
        }
    }

    /// Where the gates find the servers.
    fn env(&self) -> Vec<(String, String)> {
        let address = self.database.address;
        let wires = [
            (KINESIS, self.bus.endpoint_url.clone()),
            (S3, format!("http://{}", self.objects.address)),
            (
                POSTGRES,
                format!("postgres://fraud@{address}/fraudplat?sslmode=disable"),
            ),
        ];
        let wires = wires.map(|(name, value)| (name.to_owned(), value));
        self.servers.env.iter().cloned().chain(wires).collect()
    }

    fn begin(&self, seed: u64) {
        let mut draws = Draws::new(seed);
        self.bus.script("PutRecords", faults::first_of_bus());
        self.bus
            .draw(move |action, n_records| faults::of_bus(&mut draws, action, n_records));
        for (proxy, wire) in [
            (&self.objects, faults::of_objects as fn(&mut Draws) -> Wire),
            (&self.database, faults::of_database),
        ] {
            begin(proxy, seed, wire);
            proxy.end_all(End::Cut);
        }
    }

    fn end(&self) {
        self.bus.draw(|_, _| Fault::Pass);
        for proxy in [&self.objects, &self.database] {
            proxy.otherwise(Wire::default());
            proxy.end_all(End::Cut);
        }
    }
}

/// On kinesalite, SeaweedFS and a Postgres by URL, with two gates.
pub(crate) fn managed(weather: &Weather) {
    let runtime = runtime();
    let home = weather.home(&[]);
    let ground = runtime.block_on(Ground::open(Servers::up(&home)));
    let start = |name: &str, args: &[&str], env: &[(String, String)]| {
        let file = |name: &str| home.dir().join(name).display().to_string();
        let keys = file("keys/auth/keys.yaml");
        let token_key = file("token.key");
        let mut all: Vec<(&str, &str)> = vec![
            ("FRAUDPLAT__GATE__ID", name),
            ("FRAUDPLAT__GATE__TOKEN_KEY_FILE", &token_key),
        ];
        // What is lost is soon unknown to a gate; who looks at the end may wait for a slow server.
        if name == "all" || name == "other" {
            all.push((
                "FRAUDPLAT__SUBSTRATES__MANAGED__KINESIS__REQUEST_MS_MAX",
                "1000",
            ));
        }
        // They are made where no file of keys is named.
        if name != "keys" {
            all.push(("FRAUDPLAT__AUTH__KEYS_FILE", &keys));
        }
        all.extend(env.iter().map(|(k, v)| (k.as_str(), v.as_str())));
        let args = [&["--profile", "local_parity", "--json"], args].concat();
        home.start_at(name, &args, &all)
    };
    home.file("token.key", &"k".repeat(32));
    let good = &ground.servers.env;
    start("keys", &["provision"], good).wait().expect(DONE);
    let command = |args: &[&str]| start("job", args, good).wait();
    let mut all = start("all", &["--role", "all"], &ground.env());
    let mut other = start("other", &["--role", "ig"], &ground.env());
    let gates = [&mut all, &mut other].map(|it| it.listening());
    let pins = command(&LIVE).expect(DONE).json();
    let key = key(&home);
    ground.begin(weather.seed);
    let (market, wires) = runtime.block_on(send(weather, &pins, &gates, key.clone()));
    ground.end();
    let port = Port::at(&gates[0], &key);
    let found = audit(weather, &market, &pins, &port, &command);
    say(weather, &market, &wires, &found);
    let (objects, database) = (ground.objects.tally(), ground.database.tally());
    weather.say(&format!(
        "behind the gates: {} cuts to S3, {} to Postgres",
        objects.ended, database.ended
    ));
    check(
        "the first faults of the bus were met",
        ground.bus.is_played(),
        "",
    );
    check(
        "a gate met ambiguity",
        found.n_ambiguous > 0,
        found.n_ambiguous,
    );
    for name in ["all", "other"] {
        weather.say(&memory(name, &home.dir().join(name)));
    }
    let processes = [all, other];
    processes.iter().for_each(|it| it.signal(Signal::TERM));
    for process in processes {
        process.wait().expect(DONE);
    }
}

fn key(home: &Home) -> String {
    let path = home.dir().join("keys/auth/local.key");
    std::fs::read_to_string(path).unwrap().trim().to_owned()
}
