//! Running pmem and scenes as an ordinary user: as `nobody` if the tests run as root, else as the user who runs them.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::Uid;
use tempfile::TempDir;

use super::run::{Finished, finish, workload};
use super::scene::Scene;

const NOBODY: u32 = 65534;

/// An ordinary user with the programs in a place where that user can reach them.
#[derive(Debug)]
pub(crate) struct Ordinary {
    programs: Option<TempDir>,
}

impl Ordinary {
    /// The ordinary user of this run of the tests.
    pub(crate) fn new() -> Self {
        if !Uid::effective().is_root() {
            return Self { programs: None };
        }
        let programs = TempDir::new().unwrap();
        let everyone = || Permissions::from_mode(0o755);
        fs::set_permissions(programs.path(), everyone()).unwrap();
        for (name, from) in [("pmem", Path::new(env!("CARGO_BIN_EXE_pmem"))), ("workload", &workload())] {
            let to = programs.path().join(name);
            // With another program: a process that another test starts at this moment would inherit the descriptor that
            // this one writes through, and a file that is open for writing cannot be run.
            assert!(Command::new("cp").args([from, &to]).status().unwrap().success(), "cp {}", from.display());
            fs::set_permissions(&to, everyone()).unwrap();
        }
        Self { programs: Some(programs) }
    }

    fn command(&self, name: &str, otherwise: PathBuf) -> Command {
        let Some(programs) = &self.programs else { return Command::new(otherwise) };
        let mut command = Command::new(programs.path().join(name));
        // Along with the user, std also drops root's supplementary groups.
        command.uid(NOBODY).gid(NOBODY).current_dir("/");
        command
    }

    /// Runs pmem as this user.
    pub(crate) fn pmem(&self, arguments: &[&str]) -> Finished {
        finish(self.command("pmem", env!("CARGO_BIN_EXE_pmem").into()).args(arguments))
    }

    /// Runs pmem as this user, under a rule of the scene `under`.
    pub(crate) fn pmem_under(&self, rule: &str, arguments: &[&str]) -> Finished {
        let pmem = self.command("pmem", env!("CARGO_BIN_EXE_pmem").into());
        let mut command = self.command("workload", workload());
        finish(command.args(["under", rule]).arg(pmem.get_program()).args(arguments))
    }

    /// Starts a scene as this user.
    pub(crate) fn scene(&self, arguments: &[&str]) -> Scene {
        Scene::from_command(self.command("workload", workload()).args(arguments))
    }
}
