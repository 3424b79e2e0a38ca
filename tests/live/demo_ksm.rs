//! `pmem demo ksm` with KSM running: it is switched on for this, and restored afterwards.

use std::fs::File;
use std::io::{Read, Seek, Write};

use nix::fcntl::{Flock, FlockArg};
use pmem::internal::DEMOS;

use super::demo::{assert_true, list, report};
use crate::support::ordinary::Ordinary;
use crate::support::run::pmem;
use crate::support::skipped;

const RUN: &str = "/sys/kernel/mm/ksm/run";

/// KSM, running. Others that switch it wait for the lock, as the scene `ksm` does.
struct Running {
    file: Flock<File>,
    before: String,
}

impl Running {
    fn new() -> std::io::Result<Self> {
        let file = File::options().read(true).write(true).open(RUN)?;
        let mut file = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
        let mut before = String::new();
        file.read_to_string(&mut before)?;
        let mut running = Self { file, before };
        running.set("1")?;
        Ok(running)
    }

    fn set(&mut self, to: &str) -> std::io::Result<()> {
        self.file.rewind()?;
        self.file.write_all(to.as_bytes())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let before = std::mem::take(&mut self.before);
        let _ = self.set(before.trim());
    }
}

#[test]
fn pages_alike_become_one() {
    const TEST: &str = "pages_alike_become_one";
    let running = match Running::new() {
        Ok(running) => running,
        Err(error) => return skipped(TEST, &format!("{RUN}: {error}")),
    };
    let demo = DEMOS.iter().find(|demo| demo.name == "ksm").expect("there is such a demo");
    // KSM may be busy for minutes with other memory.
    let (whole, as_nobody) = (pmem(["demo", "ksm", "--json"]), Ordinary::new().pmem(&["demo", "ksm", "--json"]));
    let steps = match (report(demo, &whole), report(demo, &as_nobody)) {
        (Ok(whole), Ok(as_nobody)) => {
            assert_true(demo, &whole);
            assert_true(demo, &as_nobody);
            list(&whole["steps"]).len()
        }
        (Err(reason), _) | (_, Err(reason)) => return skipped(TEST, &reason),
    };
    // Reading what is merged changes nothing.
    for step in (1..=steps).filter(|step| *step != 3) {
        let spoilt = pmem(["demo", "ksm", "--json", "--spoil", &format!("leave-out:{step}")]);
        let report = &spoilt.json()["data"];
        assert_eq!((report["verdict"].as_str(), spoilt.status), (Some("off"), 1), "{step}: {report:#}");
    }
    drop(running);
}
