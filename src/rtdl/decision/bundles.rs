//! Which bundle decides for a tenant: asks the registry, looks at what it names, resolves, and remembers the
//! answer. Shared by all workers of a process.
//!
//! While the registry does not answer, what it said last stands for [`KEEP_MS`] and no longer (L8).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::contracts::attributes::Attributes;
use crate::contracts::bundle::Bundle;
use crate::contracts::bundle_resolver::{BundleResolver, Named, NamedBundles, ScopeKey};
use crate::contracts::permission::Corridor;
use crate::domain::digest::Digest;
use crate::domain::ids::TenantId;
use crate::domain::time::Time;
use crate::engine::attributes;
use crate::engine::bundle::{CompiledBundle, FileNames, PRIMARY_SLOT, fail_closed};
use crate::engine::resolution::{Found, Resolution, resolve};
use crate::rtdl::decision::Error;
use crate::runtime::bundles;
use crate::runtime::ground::Ground;

/// How long a bundle goes on deciding after the registry was heard last: a restart of it, and not so long
/// that one which was retired meanwhile does harm.
pub const KEEP_MS: u64 = 300_000;
/// How often a registry is asked about a scope, however many runs there are of it.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// So much of a reason is told.
const WHY_CHARS_MAX: usize = 500;

type Resolved = Resolution<Arc<CompiledBundle>>;

/// What is known of a bundle for as long as this process lives: an object never changes.
#[derive(Clone)]
enum Known {
    Fits(Arc<CompiledBundle>),
    Unfit(String),
}

/// What decides in a scope.
#[derive(Clone)]
pub struct InForce {
    pub bundle: Arc<CompiledBundle>,
    pub resolution: Arc<Resolved>,
}

/// An answer that is remembered.
#[derive(Clone)]
struct Kept {
    resolution: Arc<Resolved>,
    /// When registry and store last answered all that was needed.
    sure_at: Time,
    asked_at: Instant,
    /// It stands because nobody answers.
    is_held: bool,
}

/// The bundles that decide.
pub struct Bundles {
    ground: Ground,
    resolver: Arc<dyn BundleResolver>,
    /// Against which bundles are held.
    attributes: Option<Attributes>,
    /// By digest and slot.
    known: Mutex<BTreeMap<(Digest, String), Known>>,
    /// Evidence that is in the store: it never leaves it.
    seen: Mutex<BTreeSet<String>>,
    /// Held while a registry is asked, so that one asks for all; a registry answers within its own limit.
    kept: tokio::sync::Mutex<BTreeMap<ScopeKey, Kept>>,
    /// The bundle that decides where none may, once it is in the store.
    closed: tokio::sync::OnceCell<Arc<CompiledBundle>>,
}

impl Bundles {
    /// Those that a registry names.
    #[must_use]
    pub fn of(
        resolver: Arc<dyn BundleResolver>,
        ground: &Ground,
        attributes: Option<Attributes>,
    ) -> Bundles {
        Bundles {
            ground: ground.clone(),
            resolver,
            attributes,
            known: Mutex::default(),
            seen: Mutex::default(),
            kept: tokio::sync::Mutex::default(),
            closed: tokio::sync::OnceCell::new(),
        }
    }

    /// One bundle for everybody, which is known to fit; whoever brings it puts it into the store.
    #[must_use]
    pub fn only(bundle: Arc<CompiledBundle>, ground: &Ground) -> Bundles {
        let digest = bundle.bundle_digest;
        let bundles = Bundles::of(Arc::new(Only(digest)), ground, None);
        bundles.know((digest, PRIMARY_SLOT.to_owned()), Known::Fits(bundle));
        bundles
    }

    /// The scope of a tenant's decisions in a slot.
    #[must_use]
    pub fn scope(&self, tenant_id: Option<&TenantId>, bundle_slot: &str) -> ScopeKey {
        ScopeKey {
            environment: self.ground.stamps.environment,
            mode: self.ground.stamps.mode,
            bundle_slot: bundle_slot.to_owned(),
            tenant_id: tenant_id.cloned(),
        }
    }

    /// What decides in the scope now; asked anew once a second.
    ///
    /// # Errors
    /// The corridor's; the store's, where nothing may decide and the bundle that says so is not in it.
    pub async fn in_force(&self, scope: &ScopeKey) -> Result<InForce, Error> {
        let mut kept = self.kept.lock().await;
        let last = kept.get(scope);
        let fresh = match last {
            Some(last) if last.asked_at.elapsed() < ASK_EVERY => last.clone(),
            _ => {
                let (asked, now) = (self.ask(scope).await?, self.ground.clock.now());
                stands(last, asked, now)
            }
        };
        let resolution = Arc::clone(&fresh.resolution);
        kept.insert(scope.clone(), fresh);
        drop(kept);
        let bundle = match &resolution.bundle {
            Some(bundle) => Arc::clone(bundle),
            None => self.closed().await?,
        };
        Ok(InForce { bundle, resolution })
    }

    /// What registry and store say of the scope at this moment.
    ///
    /// # Errors
    /// That the ground's service may not ask.
    pub async fn ask(&self, scope: &ScopeKey) -> Result<Resolved, Error> {
        self.ground.enter(Corridor::MprResolve).await?;
        let NamedBundles {
            tenant,
            global,
            fallback,
        } = self.resolver.named(scope).await;
        let slot = &scope.bundle_slot;
        Ok(resolve([
            self.look_at(tenant, slot).await,
            self.look_at(global, slot).await,
            self.look_at(fallback, slot).await,
        ]))
    }

    /// The bundle that decides where none may, in the store before it decides.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn closed(&self) -> Result<Arc<CompiledBundle>, Error> {
        let make = || async {
            let bundle = fail_closed();
            bundles::store(self.ground.objects.as_ref(), &bundle).await?;
            let compiled = CompiledBundle::compile(&bundle, FileNames::PLAIN);
            Ok::<_, Error>(Arc::new(compiled.expect("the built-in bundle compiles")))
        };
        self.closed.get_or_try_init(make).await.cloned()
    }

    async fn look_at(&self, named: Named, slot: &str) -> Found<Arc<CompiledBundle>> {
        let (digest, evidence, unstored) = match named {
            Named::Absent => return Found::Absent,
            Named::Retired { bundle_digest } => {
                return Found::Retired {
                    digest: bundle_digest,
                };
            }
            Named::Unreachable { cause } => return Found::Unreachable { cause: cut(&cause) },
            Named::Active {
                bundle_digest,
                evidence,
                unstored,
            } => (bundle_digest, evidence, unstored),
        };
        match self.missing(&evidence).await {
            Ok(None) => {}
            Ok(Some(what)) => return Found::EvidenceMissing { digest, what },
            Err(cause) => return Found::Unreachable { cause },
        }
        let key = (digest, slot.to_owned());
        let known = self.known().get(&key).cloned();
        let known = match known {
            Some(known) => known,
            None => match bundles::read(self.ground.objects.as_ref(), &digest).await {
                Ok(Some(bundle)) => {
                    let known = self.fit(&bundle, slot);
                    self.know(key, known.clone());
                    known
                }
                Ok(None) => {
                    let what = format!("{} is not in the store", bundles::key(&digest));
                    let what = match unstored {
                        Some(why) => format!("{what}: {}", cut(&why)),
                        None => what,
                    };
                    return Found::EvidenceMissing { digest, what };
                }
                Err(error @ bundles::Error::Altered { .. }) => Known::Unfit(error.to_string()),
                Err(error) => {
                    let cause = cut(&error.to_string());
                    return Found::Unreachable { cause };
                }
            },
        };
        match known {
            Known::Fits(bundle) => Found::Fits { digest, bundle },
            Known::Unfit(why) => Found::Incompatible { digest, why },
        }
    }

    /// The first object that is not there.
    async fn missing(&self, evidence: &[String]) -> Result<Option<String>, String> {
        for key in evidence {
            if self.seen().contains(key) {
                continue;
            }
            let listed = self.ground.objects.list(key, None, 1).await;
            let listed = listed.map_err(|error| cut(&error.to_string()))?;
            if listed.first().is_none_or(|it| it.key.as_str() != key) {
                return Ok(Some(format!("{} is not in the store", cut(key))));
            }
            self.seen().insert(key.clone());
        }
        Ok(None)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this platform can run the bundle.
    fn fit(&self, bundle: &Bundle, slot: &str) -> Known {
        let compiled = match CompiledBundle::compile(bundle, FileNames::PLAIN) {
            Ok(compiled) => compiled.in_slot(slot),
            Err(diagnostics) => {
                let first = diagnostics
                    .iter()
                    .map(|it| format!("{}:{}:{} {}", it.file, it.line, it.column, it.message));
                return Known::Unfit(cut(&first.collect::<Vec<_>>().join("; ")));
            }
        };
        let declared = self.attributes.as_ref();
        let disagree = declared.map(|it| attributes::disagreements(&compiled, it));
        match disagree.unwrap_or_default() {
            none if none.is_empty() => Known::Fits(Arc::new(compiled)),
            found => Known::Unfit(cut(&found.join("; "))),
        }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<(Digest, String), Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn know(&self, key: (Digest, String), known: Known) {
        self.known().insert(key, known);
    }
}

/// What is in force when `asked` was just answered: that, or what was sure a while ago.
fn stands(last: Option<&Kept>, asked: Resolved, now: Time) -> Kept {
    let asked_at = Instant::now();
    let until = |it: &Kept| it.sure_at.plus_ms(KEEP_MS);
    match last.filter(|it| asked.is_unsure() && !it.resolution.is_unsure() && now < until(it)) {
        Some(last) => {
            if !last.is_held {
                let passed = asked.steps.iter().find_map(|it| it.why.as_deref());
                tracing::warn!(
                    cause = passed,
                    keep_ms = KEEP_MS,
                    "the registry of bundles does not answer; what it said last stands"
                );
            }
            Kept {
                asked_at,
                is_held: true,
                ..last.clone()
            }
        }
        None => Kept {
            is_held: false,
            resolution: Arc::new(asked),
            sure_at: now,
            asked_at,
        },
    }
}

fn cut(text: &str) -> String {
    text.chars().take(WHY_CHARS_MAX).collect()
}

/// The registry of a process that has one bundle.
struct Only(Digest);

#[async_trait]
impl BundleResolver for Only {
    async fn named(&self, scope: &ScopeKey) -> NamedBundles {
        let is_it = scope.bundle_slot == PRIMARY_SLOT;
        NamedBundles {
            tenant: Named::Absent,
            global: match is_it {
                true => Named::Active {
                    bundle_digest: self.0,
                    evidence: Vec::new(),
                    unstored: None,
                },
                false => Named::Absent,
            },
            fallback: Named::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contracts::decision::BundleState;

    fn at(ms: u64) -> Time {
        Time::from_micros(0).plus_ms(ms)
    }

    fn bundle() -> Arc<CompiledBundle> {
        let compiled = CompiledBundle::compile(&fail_closed(), FileNames::PLAIN);
        Arc::new(compiled.unwrap())
    }

    fn fits() -> Found<Arc<CompiledBundle>> {
        let bundle = bundle();
        Found::Fits {
            digest: bundle.bundle_digest,
            bundle,
        }
    }

    fn unreachable() -> Found<Arc<CompiledBundle>> {
        Found::Unreachable {
            cause: "no route".to_owned(),
        }
    }

    /// What stands after each answer.
    fn states(answers: &[(u64, [Found<Arc<CompiledBundle>>; 3])]) -> Vec<BundleState> {
        let mut last: Option<Kept> = None;
        let answers = answers.iter().cloned();
        let next = answers.map(|(ms, found)| {
            let kept = stands(last.as_ref(), resolve(found), at(ms));
            last = Some(kept.clone());
            kept.resolution.state
        });
        next.collect()
    }

    #[test]
    fn what_was_said_last_stands_for_a_while_and_no_longer() {
        use BundleState::{None as Closed, Resolved};
        let named = || [Found::Absent, fits(), Found::Absent];
        let nobody = || [unreachable(), unreachable(), unreachable()];
        let answers = [
            (0, named()),
            (1_000, nobody()),
            (KEEP_MS - 1, nobody()),
            (KEEP_MS, nobody()),
            // Heard again.
            (KEEP_MS + 1_000, named()),
            (2 * KEEP_MS, nobody()),
        ];
        let expected = [Resolved, Resolved, Resolved, Closed, Resolved, Resolved];
        assert_eq!(states(&answers), expected);
    }

    #[test]
    fn who_answers_is_believed_at_once_and_who_never_did_is_not() {
        use BundleState::{None as Closed, Resolved};
        let named = || [Found::Absent, fits(), Found::Absent];
        let nothing = || [Found::Absent, Found::Absent, Found::Absent];
        let nobody = || [unreachable(), unreachable(), unreachable()];
        assert_eq!(states(&[(0, named()), (1, nothing())]), [Resolved, Closed]);
        assert_eq!(states(&[(0, nobody()), (1, nobody())]), [Closed, Closed]);
        // Nothing was in force: that stands, too.
        let answers = [(0, nothing()), (1, nobody())];
        assert_eq!(states(&answers), [Closed, Closed]);
    }
}
