//! Forward-only migrations: the files of `/migrations`, embedded, applied in order by the owner.

use refinery::{Migration, Runner};
use tokio_postgres::error::SqlState;

use super::{Client, Db, Error};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Where the applied migrations are listed.
const HISTORY: &str = "governance.schema_history";

/// Names the lock under which one process of many migrates; any number that nobody else uses.
const LOCK_KEY: i64 = 0x6672_6175_6470_6c74;

/// Applies what is pending and returns its names (`V1__ground`), in order. Of processes that race,
/// one applies and the others find nothing left to do. `db` must connect as the owner.
///
/// # Errors
/// [`Error::Schema`] when the database holds migrations that this executable does not know, or
/// knows with another text; else what the database refused.
pub async fn migrate(db: &Db) -> Result<Vec<String>, Error> {
    // Taken out of the pool: closing the session is what frees the lock, whatever happens here.
    let mut client = Client::take(db.get().await?);
    // Waiting for a slow migration of another process is no fault.
    client
        .batch_execute("SET statement_timeout = 0; SET lock_timeout = 0")
        .await?;
    client
        .execute("SELECT pg_advisory_lock($1)", &[&LOCK_KEY])
        .await?;
    client
        .batch_execute("CREATE SCHEMA IF NOT EXISTS governance")
        .await?;
    let report = runner().run_async(&mut *client).await.map_err(refused)?;
    Ok(names(report.applied_migrations()))
}

/// The names of the migrations that are still to be applied, in order; empty means ready. Works
/// as the owner and as the application.
///
/// # Errors
/// As [`migrate`].
pub async fn check(db: &Db) -> Result<Vec<String>, Error> {
    let mut client = db.get().await?;
    let runner = runner();
    let applied = match runner
        .get_applied_migrations_async(&mut **client as &mut tokio_postgres::Client)
        .await
    {
        Ok(applied) => applied,
        Err(error) if is_missing_history(&error) => Vec::new(),
        Err(error) => return Err(refused(error)),
    };
    let known = runner.get_migrations();
    if let Some(stray) = applied.iter().find(|it| !known.contains(it)) {
        return Err(Error::Schema {
            what: format!("it holds {stray}, which this executable has not or has otherwise"),
        });
    }
    let pending: Vec<Migration> = known
        .iter()
        .filter(|it| !applied.contains(it))
        .cloned()
        .collect();
    Ok(names(&pending))
}

fn runner() -> Runner {
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name(HISTORY);
    runner
}

fn names(migrations: &[Migration]) -> Vec<String> {
    let mut sorted: Vec<_> = migrations.iter().collect();
    sorted.sort();
    sorted.iter().map(ToString::to_string).collect()
}

fn refused(error: refinery::Error) -> Error {
    use refinery::error::Kind;
    match error.kind() {
        Kind::DivergentVersion(..) | Kind::MissingVersion(..) => Error::Schema {
            what: error.to_string(),
        },
        _ => Error::Migrate {
            source: Box::new(error),
        },
    }
}

/// Before the first migration neither the table nor its schema is there.
fn is_missing_history(error: &refinery::Error) -> bool {
    let refinery::error::Kind::Connection(_, cause) = error.kind() else {
        return false;
    };
    let code = cause
        .downcast_ref::<tokio_postgres::Error>()
        .and_then(tokio_postgres::Error::code);
    code.is_some_and(|it| *it == SqlState::UNDEFINED_TABLE || *it == SqlState::INVALID_SCHEMA_NAME)
}
