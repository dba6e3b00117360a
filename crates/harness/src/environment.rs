//! The environment of entries: what would change a program behind its back is not passed on.
//!
//! An entry is built and run by the literal commands of its `impl.toml`, so that two people who
//! measure it measure the same program. Variables that steer a tool chain elsewhere, set its
//! flags, or tune a runtime are the user's for other projects; here they are taken out. What says
//! where things are (`PATH`, `HOME`, `JAVA_HOME`, proxies, certificates, registries) stays.

use std::env;
use std::process::Command;

/// By tool chain. A name with `*` at its end stands for all that begin with it.
const REMOVED: &[&str] = &[
    // Cargo and rustc: another folder, another target, other flags and profiles.
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_*",
    "CARGO_PROFILE_*",
    "CARGO_TARGET_*",
    "CARGO_ENCODED_RUSTFLAGS",
    "RUSTFLAGS",
    // C and C++.
    "CC",
    "CXX",
    "CFLAGS",
    "CXXFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "CPATH",
    "LIBRARY_PATH",
    "LD_PRELOAD",
    "MALLOC_*",
    "MAKEFLAGS",
    // Go.
    "GOFLAGS",
    "GOOS",
    "GOARCH",
    "GOAMD64",
    "GOEXPERIMENT",
    "GOGC",
    "GOMEMLIMIT",
    "GOMAXPROCS",
    "GODEBUG",
    "CGO_*",
    // Python.
    "PYTHONHOME",
    "PYTHONPATH",
    "PYTHONDEBUG",
    "PYTHONASYNCIODEBUG",
    "PYTHONDEVMODE",
    "PYTHONMALLOC",
    "PYTHONOPTIMIZE",
    "VIRTUAL_ENV",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    // Node.
    "NODE_OPTIONS",
    "NODE_PATH",
    "NODE_ENV",
    "UV_THREADPOOL_SIZE",
    // The JVM.
    "CLASSPATH",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "_JAVA_OPTIONS",
    // Erlang and Elixir.
    "ERL_AFLAGS",
    "ERL_FLAGS",
    "ERL_ZFLAGS",
    "ERL_LIBS",
    "ERL_COMPILER_OPTIONS",
    "ELIXIR_ERL_OPTIONS",
    "MIX_ENV",
    // Haskell, OCaml, .NET and Mono, Ruby, Perl, Lua, PHP.
    "GHCRTS",
    "GHC_ENVIRONMENT",
    "GHC_PACKAGE_PATH",
    "OCAMLPARAM",
    "OCAMLRUNPARAM",
    "MONO_*",
    "DOTNET_*",
    "RUBYOPT",
    "RUBYLIB",
    "RUBY_YJIT_ENABLE",
    "PERL5OPT",
    "PERL5LIB",
    "LUA_INIT",
    "LUA_PATH",
    "LUA_CPATH",
    "PHP_INI_SCAN_DIR",
];

/// Takes out of `command` what would change an entry.
pub(crate) fn clean(command: &mut Command) {
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_removed) {
            command.env_remove(name);
        }
    }
}

fn is_removed(name: &str) -> bool {
    REMOVED.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == *pattern,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_build_goes_and_what_says_where_things_are_stays() {
        for name in ["CARGO_BUILD_TARGET_DIR", "RUSTFLAGS", "GOGC", "CGO_ENABLED", "NODE_OPTIONS"] {
            assert!(is_removed(name), "{name}");
        }
        for name in ["PATH", "HOME", "JAVA_HOME", "CARGO_HOME", "GOPROXY", "PIP_INDEX_URL", "CCX"] {
            assert!(!is_removed(name), "{name}");
        }
    }
}
