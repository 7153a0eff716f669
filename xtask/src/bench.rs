//! `cargo xtask bench`: release builds, then a mode of the load program.

use crate::command::{self, Failure, cargo, program, target_dir};
use crate::setup::{self, NGINX};

pub(crate) fn run(which: &str, args: &[&str]) -> Result<(), Failure> {
    let (mode, nginx) = match which {
        "relay" => ("relay-vs-nginx", Some(setup::need(&NGINX)?)),
        "gateway" => ("gateway-vs-nginx", Some(setup::need(&NGINX)?)),
        "gateway-memory" => ("gateway-memory", None),
        "gateway-storm" => ("gateway-storm", None),
        "makespan" => ("makespan", None),
        "stall" => ("stall", None),
        "stream" => ("stream", None),
        other => {
            return Err(Failure::new(format!(
                "there is no bench {other}; there are relay, makespan, stall, stream, gateway, \
                 gateway-memory and gateway-storm"
            )));
        }
    };
    command::run(&mut cargo(&[
        "build",
        "--release",
        "--package",
        "fetchway",
        "--package",
        "fetchway-bench",
    ]))?;
    let built = target_dir().join("release");
    let mut load = program(built.join("fetchway-load"), &[mode]);
    load.arg("--fetchway").arg(built.join("fetchway"));
    load.arg("--origin-program")
        .arg(built.join("fetchway-origin"));
    if let Some(nginx) = nginx {
        load.arg("--nginx").arg(nginx);
    }
    command::run(load.args(args))
}
