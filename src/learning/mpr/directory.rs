//! A folder as the registry of bundles: `registry.yaml` beside the folders of the bundles that it names. Read
//! again whenever it is asked, so that an edit of the file is a promotion.
//!
//! **Invariant:** a bundle is in force under the digest that the file names, or not at all: what stands in a
//! folder meanwhile is looked at once, to put it into the store.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use crate::contracts::bundle::Bundle;
use crate::contracts::bundle_registry::{BundleRegistry, InForce, RegisteredBundle};
use crate::contracts::bundle_resolver::{BundleResolver, Named, NamedBundles, ScopeKey};
use crate::domain::digest::Digest;
use crate::domain::ids::TenantId;
use crate::learning::mpr::folder;
use crate::runtime::bundles;
use crate::substrate::objects::Objects;
use crate::substrate::tasks;

/// The file that names the bundles.
pub const REGISTRY: &str = "registry.yaml";
/// Thousands of tenants with a bundle each fit.
const REGISTRY_BYTES_MAX: u64 = 4 << 20;

pub struct Directory {
    dir: PathBuf,
    objects: Arc<dyn Objects>,
    /// Seen in the store: they never leave it.
    stored: Mutex<BTreeSet<Digest>>,
}

impl Directory {
    #[must_use]
    pub fn new(dir: PathBuf, objects: Arc<dyn Objects>) -> Directory {
        Directory {
            dir,
            objects,
            stored: Mutex::default(),
        }
    }

    async fn one(&self, registry: &BundleRegistry, entry: Option<&InForce>) -> Named {
        let Some((name, bundle)) = entry.and_then(|it| registry.bundles.get_key_value(&it.bundle))
        else {
            return Named::Absent;
        };
        let bundle_digest = bundle.digest;
        if registry.is_retired(&bundle_digest) {
            return Named::Retired { bundle_digest };
        }
        Named::Active {
            bundle_digest,
            evidence: bundle.evidence.clone(),
            unstored: self.store(name, bundle).await.err(),
        }
    }

    /// Has the bundle in the store.
    async fn store(&self, name: &str, bundle: &RegisteredBundle) -> Result<(), String> {
        let stored = || self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        if stored().contains(&bundle.digest) {
            return Ok(());
        }
        let objects = self.objects.as_ref();
        let found = bundles::read(objects, &bundle.digest).await;
        if found.map_err(|error| error.to_string())?.is_none() {
            let dir = bundle.dir.as_deref().unwrap_or(name);
            let read = self.read(dir).await?;
            let digest = read.digest();
            if digest != bundle.digest {
                return Err(format!("folder `{dir}` holds bundle {digest}"));
            }
            let put = bundles::store(objects, &read).await;
            put.map_err(|error| error.to_string())?;
        }
        stored().insert(bundle.digest);
        Ok(())
    }

    async fn read(&self, dir: &str) -> Result<Bundle, String> {
        let is_below = |part| matches!(part, Component::Normal(_));
        if dir.is_empty() || !Path::new(dir).components().all(is_below) {
            return Err(format!("`{dir}` is no folder beside {REGISTRY}"));
        }
        let path = self.dir.join(dir);
        let read = tasks::blocking(move || folder::read(&path)).await;
        read.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl BundleResolver for Directory {
    async fn named(&self, scope: &ScopeKey) -> NamedBundles {
        let path = self.dir.join(REGISTRY);
        let read = tasks::blocking(move || load(&path)).await;
        let registry = match read {
            Ok(registry) => registry,
            Err(cause) => return NamedBundles::unreachable(&cause),
        };
        if (registry.environment, registry.mode) != (scope.environment, scope.mode) {
            let (of, mode) = (registry.environment, registry.mode);
            let cause = format!("{REGISTRY} is of {of} {mode}");
            return NamedBundles::unreachable(&cause);
        }
        let in_force = |entries: &'_ [InForce], tenant: Option<&TenantId>| {
            let is_it =
                |it: &&InForce| it.slot == scope.bundle_slot && it.tenant.as_ref() == tenant;
            entries.iter().find(is_it).cloned()
        };
        let tenant = scope.tenant_id.as_ref();
        let own = tenant.and_then(|it| in_force(&registry.active, Some(it)));
        let global = in_force(&registry.active, None);
        let own_fallback = tenant.and_then(|it| in_force(&registry.fallback, Some(it)));
        let fallback = own_fallback.or_else(|| in_force(&registry.fallback, None));
        NamedBundles {
            tenant: self.one(&registry, own.as_ref()).await,
            global: self.one(&registry, global.as_ref()).await,
            fallback: self.one(&registry, fallback.as_ref()).await,
        }
    }
}

/// Reads the file.
///
/// # Errors
/// A sentence that names file, line and column.
fn load(path: &Path) -> Result<BundleRegistry, String> {
    let told = |cause: &dyn std::fmt::Display| format!("{}: {cause}", path.display());
    let size = std::fs::metadata(path).map_err(|cause| told(&cause))?.len();
    if size > REGISTRY_BYTES_MAX {
        return Err(told(&format_args!("more than {REGISTRY_BYTES_MAX} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(|cause| told(&cause))?;
    let registry: BundleRegistry = serde_saphyr::from_str(&text).map_err(|cause| told(&cause))?;
    registry.check().map_err(|cause| told(&cause))?;
    Ok(registry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::vocabulary::{Environment, Mode};
    use crate::substrate::objects::memory::MemoryObjects;

    struct Scene {
        dir: tempfile::TempDir,
        objects: Arc<MemoryObjects>,
    }

    impl Scene {
        fn new() -> Scene {
            Scene {
                dir: tempfile::tempdir().unwrap(),
                objects: Arc::default(),
            }
        }

        /// Writes a bundle into a folder, and returns its digest.
        fn bundle(&self, dir: &str, policy: &str) -> Digest {
            let path = self.dir.path().join(dir);
            std::fs::create_dir_all(&path).unwrap();
            std::fs::write(path.join(folder::FEATURE_SET), "f").unwrap();
            std::fs::write(path.join(folder::POLICY), policy).unwrap();
            folder::read(&path).unwrap().digest()
        }

        async fn ask(&self, registry: &str, tenant: Option<&str>) -> NamedBundles {
            let head = "registry: 1\nenvironment: dev\nmode: fraud\n";
            let path = self.dir.path().join(REGISTRY);
            std::fs::write(path, format!("{head}{registry}")).unwrap();
            self.again(tenant, Environment::Dev).await
        }

        async fn again(&self, tenant: Option<&str>, environment: Environment) -> NamedBundles {
            let objects = Arc::clone(&self.objects) as Arc<dyn Objects>;
            let directory = Directory::new(self.dir.path().to_owned(), objects);
            let scope = ScopeKey {
                environment,
                mode: Mode::Fraud,
                bundle_slot: "primary".to_owned(),
                tenant_id: tenant.map(|it| it.parse().unwrap()),
            };
            directory.named(&scope).await
        }
    }

    fn active(bundle_digest: Digest) -> Named {
        Named::Active {
            bundle_digest,
            evidence: Vec::new(),
            unstored: None,
        }
    }

    #[tokio::test]
    async fn each_step_is_what_the_file_says_and_the_store_has_it() {
        let scene = Scene::new();
        let (ours, base) = (scene.bundle("deep/ours", "o"), scene.bundle("base", "b"));
        let text = format!(
            "bundles:\n  ours: {{digest: {ours}, dir: deep/ours}}\n  base: {{digest: {base}}}\n\
             active:\n  - {{slot: shadow_a, tenant: acme, bundle: base}}\n  - {{slot: primary, bundle: base}}\n\
             \x20 - {{slot: primary, tenant: acme, bundle: ours}}\n\
             fallback:\n  - {{slot: primary, bundle: base}}\n  - {{slot: primary, tenant: acme, bundle: ours}}\n"
        );
        let named = scene.ask(&text, Some("acme")).await;
        let expected = NamedBundles {
            tenant: active(ours),
            global: active(base),
            fallback: active(ours),
        };
        assert_eq!(named, expected);
        let named = scene.ask(&text, None).await;
        assert_eq!(
            (named.tenant, named.fallback),
            (Named::Absent, active(base))
        );
        // From the store, once it is there: the folder may go on.
        scene.bundle("base", "another");
        std::fs::remove_dir_all(scene.dir.path().join("deep")).unwrap();
        assert_eq!(scene.again(Some("acme"), Environment::Dev).await, expected);
        let stored = bundles::read(scene.objects.as_ref(), &ours).await.unwrap();
        assert_eq!(stored.unwrap().policy, "o");
        // Retired under another name.
        let retired = text.replace(
            "active:",
            &format!("  old: {{digest: {ours}}}\nretired: [old]\nactive:"),
        );
        let named = scene.ask(&retired, Some("acme")).await;
        assert_eq!(
            named.tenant,
            Named::Retired {
                bundle_digest: ours
            }
        );
        assert_eq!(named.global, active(base));
    }

    #[tokio::test]
    async fn a_folder_that_holds_something_else_says_so() {
        let scene = Scene::new();
        let found = scene.bundle("base", "b");
        let wanted = Digest::of_bytes(b"wanted");
        for (entry, says) in [
            (
                format!("{{digest: {wanted}}}"),
                format!("folder `base` holds bundle {found}"),
            ),
            (
                format!("{{digest: {wanted}, dir: ../base}}"),
                "is no folder beside".to_owned(),
            ),
            (
                format!("{{digest: {wanted}, dir: /etc}}"),
                "is no folder beside".to_owned(),
            ),
            (
                format!("{{digest: {wanted}, dir: none}}"),
                "none/feature_set.yaml".to_owned(),
            ),
        ] {
            let text =
                format!("bundles:\n  base: {entry}\nactive: [{{slot: primary, bundle: base}}]\n");
            let Named::Active { unstored, .. } = scene.ask(&text, None).await.global else {
                panic!("it is named: {entry}");
            };
            assert!(
                unstored.as_ref().is_some_and(|it| it.contains(&says)),
                "{unstored:?}"
            );
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_names_nothing() {
        let scene = Scene::new();
        let base = scene.bundle("base", "b");
        let is_unreachable = |named: NamedBundles, says: &str| {
            for named in [named.tenant, named.global, named.fallback] {
                let Named::Unreachable { cause } = named else {
                    panic!("{named:?} in spite of {says}");
                };
                assert!(cause.contains(says), "{cause}");
            }
        };
        is_unreachable(scene.again(None, Environment::Dev).await, REGISTRY);
        let bundles = format!("bundles:\n  base: {{digest: {base}}}\n");
        for (rest, says) in [
            (
                "active: [{slot: primary, bundle: bsae}]",
                "no bundle is called `bsae`",
            ),
            ("retired: [bsae]", "retired: no bundle is called"),
            (
                "active: [{slot: a, bundle: base}, {slot: a, bundle: base}]",
                "two bundles in slot a of everybody",
            ),
            ("activ: []", "line 6"),
            ("active: [{slot: primary", "line 6"),
        ] {
            is_unreachable(scene.ask(&format!("{bundles}{rest}\n"), None).await, says);
        }
        scene.ask(&bundles, None).await;
        let elsewhere = scene.again(None, Environment::Prod).await;
        is_unreachable(elsewhere, "registry.yaml is of dev fraud");
    }
}
