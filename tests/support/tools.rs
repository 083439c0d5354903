//! Where `scripts/setup` puts the programs that tests start.

use std::path::PathBuf;

/// The path of a program: on PATH, or among the tools of the cache directory.
pub(crate) fn tool(name: &str) -> PathBuf {
    let env = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = env("XDG_CACHE_HOME").or_else(|| Some(env("HOME")?.join(".cache")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = cache.map(|it| it.join("fraudplat/tools/bin"));
    let mut places = std::env::split_paths(&path).chain(installed);
    let found = places.find_map(|it| Some(it.join(name)).filter(|it| it.is_file()));
    found.unwrap_or_else(|| {
        panic!("no `{name}` on PATH or among the tools: scripts/setup installs it")
    })
}
