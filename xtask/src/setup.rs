//! Installing what the tests and benches need and a machine with only Rust and git lacks.

use std::fs;
use std::path::PathBuf;
use std::sync::Once;

use crate::command::{self, Failure, find, program, root, say};

/// A program, and the Debian package that has it.
pub(crate) struct Need {
    /// Names it may go by; the first found is used.
    pub(crate) programs: &'static [&'static str],
    /// Debian packages that bring it.
    pub(crate) packages: &'static [&'static str],
}

/// What the allocator's build script runs.
pub(crate) const MAKE: Need = Need {
    programs: &["make"],
    packages: &["make"],
};
pub(crate) const NODE: Need = Need {
    programs: &["node"],
    packages: &["nodejs"],
};
pub(crate) const NPM: Need = Need {
    programs: &["npm"],
    packages: &["npm"],
};
pub(crate) const PYTHON: Need = Need {
    programs: &["python3"],
    packages: &["python3"],
};
pub(crate) const CHROMIUM: Need = Need {
    programs: &["chromium", "chromium-browser", "google-chrome"],
    packages: &["chromium"],
};
pub(crate) const HAPROXY: Need = Need {
    programs: &["haproxy"],
    packages: &["haproxy"],
};
/// Makes the certificates of the examples' tests.
pub(crate) const OPENSSL: Need = Need {
    programs: &["openssl"],
    packages: &["openssl"],
};
pub(crate) const NGINX: Need = Need {
    programs: &["nginx"],
    packages: &["nginx-light"],
};
/// Load for an HTTP server.
pub(crate) const WRK: Need = Need {
    programs: &["wrk"],
    packages: &["wrk"],
};

/// It brings zurl and Condure.
pub(crate) const PUSHPIN: Need = Need {
    programs: &["pushpin"],
    packages: &["pushpin"],
};

/// Where the program is; installs it when it is missing and we may.
pub(crate) fn need(need: &Need) -> Result<PathBuf, Failure> {
    let found = || need.programs.iter().find_map(|name| find(name));
    if let Some(path) = found() {
        return Ok(path);
    }
    let (name, packages) = (need.programs[0], need.packages.join(" "));
    say(&format!("{name} is missing"));
    install(need.packages)?;
    found().ok_or_else(|| {
        Failure::new(format!(
            "{packages} is installed and {name} is still missing"
        ))
    })
}

/// Installs Debian packages, if we may.
pub(crate) fn install(packages: &[&str]) -> Result<(), Failure> {
    let names = packages.join(" ");
    if find("apt-get").is_none() {
        return Err(Failure::new(format!(
            "{names} cannot be installed, as there is no apt-get here: install it by hand, then run this \
             again"
        )));
    }
    if !is_root()? {
        return Err(Failure::new(format!(
            "{names} is missing: run `sudo apt-get install {names}`, then this again"
        )));
    }
    say(&format!("installing {names}"));
    update();
    let mut install = apt(&["install", "--yes", "--quiet", "--no-install-recommends"]);
    command::run(install.args(packages))
}

fn apt(args: &[&str]) -> std::process::Command {
    let mut apt = program("apt-get", args);
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// Fetches the package lists, once; old lists may still serve if that fails.
fn update() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if let Err(failure) = command::run(&mut apt(&["update", "--quiet"])) {
            say(&failure.to_string());
        }
    });
}

fn is_root() -> Result<bool, Failure> {
    Ok(command::output(&mut program("id", &["-u"]))?.trim() == "0")
}

/// Installs the locked npm packages of tests/js, unless they are there already.
pub(crate) fn npm_packages() -> Result<(), Failure> {
    let npm = need(&NPM)?;
    let folder = root().join("tests/js");
    let modified = |file: &str| fs::metadata(folder.join(file)).and_then(|data| data.modified());
    // npm writes the hidden lock last: where it is as new as ours, the install was complete.
    let installed = modified("node_modules/.package-lock.json");
    let locked = modified("package-lock.json");
    if let (Ok(installed), Ok(locked)) = (installed, locked)
        && installed >= locked
    {
        return Ok(());
    }
    command::run(program(npm, &["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}
