//! Installation of the programs that tests and benches need in addition to Rust and git.

use std::fs;
use std::path::PathBuf;
use std::sync::Once;

use crate::command::{self, Failure, find, program, root, say};

/// A program, and the Debian packages that contain it.
pub(crate) struct Need {
    /// Possible names of the program; the first one found is used.
    pub(crate) programs: &'static [&'static str],
    /// Debian packages to install.
    pub(crate) packages: &'static [&'static str],
}

/// Needed by the build script of the allocator.
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
/// Creates the certificates for the tests of the examples.
pub(crate) const OPENSSL: Need = Need {
    programs: &["openssl"],
    packages: &["openssl"],
};
pub(crate) const NGINX: Need = Need {
    programs: &["nginx"],
    packages: &["nginx-light"],
};
/// Load generator for HTTP servers.
pub(crate) const WRK: Need = Need {
    programs: &["wrk"],
    packages: &["wrk"],
};

/// WebSocket gateway; the package also installs zurl and Condure.
pub(crate) const PUSHPIN: Need = Need {
    programs: &["pushpin"],
    packages: &["pushpin"],
};

/// Returns the path of the program; installs it if it is missing and this process runs as root.
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
            "{packages} is installed, but {name} is still missing"
        ))
    })
}

/// Installs Debian packages; fails unless this process runs as root on a system with apt-get.
pub(crate) fn install(packages: &[&str]) -> Result<(), Failure> {
    let names = packages.join(" ");
    if find("apt-get").is_none() {
        return Err(Failure::new(format!(
            "{names} cannot be installed because apt-get is missing: install it manually, then run this \
             command again"
        )));
    }
    if !is_root()? {
        return Err(Failure::new(format!(
            "{names} is missing: run `sudo apt-get install {names}`, then this command again"
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

/// Updates the package lists, once per run; if that fails, the old lists may suffice.
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

/// Installs the locked npm packages of tests/js, unless they are already installed.
pub(crate) fn npm_packages() -> Result<(), Failure> {
    let npm = need(&NPM)?;
    let folder = root().join("tests/js");
    let modified = |file: &str| fs::metadata(folder.join(file)).and_then(|data| data.modified());
    // npm writes the hidden lock file last: if it is as new as package-lock.json, the installation was complete.
    let installed = modified("node_modules/.package-lock.json");
    let locked = modified("package-lock.json");
    if let (Ok(installed), Ok(locked)) = (installed, locked)
        && installed >= locked
    {
        return Ok(());
    }
    command::run(program(npm, &["ci", "--no-audit", "--no-fund"]).current_dir(folder))
}
