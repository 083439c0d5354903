//! Every bench runs, small, in a directory of its own, and prints what it promises: ratios with both
//! numbers, CPU time per million, the load. What the numbers are is not a test's matter.

use serde_json::Value;

use crate::home::{DONE, FAILED, Home};

#[test]
fn a_bench_prints_ratios_with_both_numbers_and_leaves_nothing() {
    let home = Home::new();
    let number = |of: &Value, field: &str| of[field].as_f64().unwrap();
    let check = |args: &[&str], cpu_of: Option<&str>| {
        let report = home.bench(args).expect(DONE).json();
        assert_eq!(report["bench"], args[0], "{report}");
        let ratios = report["ratios"].as_array().unwrap();
        assert!(!ratios.is_empty(), "{report}");
        for ratio in ratios {
            let expect = number(ratio, "numerator") / number(ratio, "denominator");
            let found = number(ratio, "ratio");
            assert!(
                found > 0.0 && (found / expect - 1.0).abs() < 0.01,
                "{ratio}"
            );
            assert_eq!(ratio["met"].is_boolean(), ratio["goal"].is_string());
        }
        let measures = report["measures"].as_array().unwrap();
        assert!(measures.len() >= 3, "{report}");
        assert!(report["machine"]["load_average"][1].is_number(), "{report}");
        let cpu = &report["cpu"];
        assert_eq!(cpu["of"].as_str(), cpu_of, "{report}");
        if cpu_of.is_some() {
            assert!(number(cpu, "executable_s") > 0.0, "{report}");
            assert!(number(cpu, "postgres_s") > 0.0, "{report}");
        }
        report
    };
    check(&["features", "--events", "1000", "--keys", "100000"], None);
    check(&["score", "--trees", "20", "--rows", "200"], None);
    let overload = ["ingest", "--events", "3000", "--overload-seconds", "2"];
    let report = check(&overload, Some("events"));
    let measures = report["measures"].as_array().unwrap();
    let is_generator = |it: &Value| it["what"] == "16 connections: load generator";
    assert!(measures.iter().any(is_generator), "{report}");
    for goal in ["P1 ", "P7 ", "P9 "] {
        let ratios = report["ratios"].as_array().unwrap();
        let of_goal = |it: &&Value| it["what"].as_str().unwrap().starts_with(goal);
        assert!(ratios.iter().any(|it| of_goal(&it)), "{goal}: {report}");
    }
    // So many that each process of Postgres has used a hundredth of a second: the kernel tells no less.
    let looped = ["loop", "--payments", "2000", "--one-by-one", "20"];
    let report = check(&looped, Some("decisions"));
    for goal in ["P2 ", "P3 ", "P8 "] {
        let ratios = report["ratios"].as_array().unwrap();
        let of_goal = |it: &&Value| it["what"].as_str().unwrap().starts_with(goal);
        assert!(ratios.iter().any(|it| of_goal(&it)), "{goal}: {report}");
    }
    for room in [
        "time of its tasks: decision worker",
        "CPU of the executable's threads: tokio",
    ] {
        let measures = report["measures"].as_array().unwrap();
        let of_room = |it: &Value| it["what"].as_str().is_some_and(|it| it.starts_with(room));
        assert!(measures.iter().any(of_room), "{room}: {report}");
    }
    check(&["replay", "--payments", "200"], None);
    let few = home.bench(&["ingest", "--events", "10"]).expect(FAILED);
    assert!(few.stderr.contains("at least 3,000"), "{few:?}");
    let left = std::fs::read_dir(home.dir().join("tmp")).unwrap();
    let left = left.filter(|it| it.as_ref().is_ok_and(is_bench));
    assert_eq!(left.count(), 0, "a bench left its directory behind");
    assert!(!home.data().exists(), "a bench used another's directory");
}

#[test]
fn a_bench_in_a_used_directory_measures_a_run_of_its_own() {
    let home = Home::new();
    for _ in 0..2 {
        let args = [
            "--json",
            "bench",
            "loop",
            "--payments",
            "2000",
            "--one-by-one",
            "0",
        ];
        let report = home.run(&args).expect(DONE).json();
        let sent = &report["ratios"][0]["denominator"];
        assert!(sent.as_f64().is_some_and(|it| it > 0.0), "{report}");
        let postgres = &report["cpu"]["postgres_s"];
        assert!(postgres.as_f64().is_some_and(|it| it > 0.0), "{report}");
    }
    let runs = home.json(&["run", "list"]);
    assert_eq!(runs.as_array().map(Vec::len), Some(2), "{runs}");
}

fn is_bench(entry: &std::fs::DirEntry) -> bool {
    let name = entry.file_name();
    name.to_string_lossy().starts_with("fraudplat-bench.")
}
