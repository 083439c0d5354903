//! Every statement in `src/**/*.sql` is prepared against a migrated database: a wrong column, type
//! or table is found here and not in production.

#![expect(clippy::unwrap_used, reason = "in a test an unwrap is an assertion")]

use std::path::{Path, PathBuf};

#[path = "support/postgres.rs"]
mod support;

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_prepares() {
    let db = support::fresh_database().await;
    let client = db.app.get().await.unwrap();
    let mut files = Vec::new();
    collect(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    assert!(
        files.len() > 30,
        "only {} statements were found",
        files.len()
    );
    let mut faults = Vec::new();
    for file in files {
        let sql = std::fs::read_to_string(&file).unwrap();
        // A COPY is no statement of the planner; the roles' own tests run it.
        if sql
            .lines()
            .any(|line| line.trim_start().starts_with("COPY "))
        {
            continue;
        }
        if let Err(error) = client.prepare(&sql).await {
            let cause = error
                .as_db_error()
                .map_or_else(|| error.to_string(), ToString::to_string);
            faults.push(format!("{}: {cause}", file.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|it| it == "sql") {
            files.push(path);
        }
    }
}
