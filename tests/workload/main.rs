//! A process with memory of a known shape, for the live tests.
//!
//! `workload SCENE [ARGUMENT…]` makes the memory, prints one line of JSON that says exactly what it made, and then
//! waits on standard input until it ends. So it ends with the process that started it, and so do its children.
//!
//! It has one thread (it forks, and its memory must be exactly what it reports) and does nothing between its line and
//! the end of standard input, except in the scenes that are meant to change.

#![allow(missing_docs)]

mod children;
mod classes;
mod everything;
mod hugepages;
mod ksm;
mod many;
mod moving;
mod names;
mod place;
mod report;
mod shared;
mod slabs;
mod under;
mod zombie;

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let scene = arguments.next().context("which scene?")?;
    let argument = arguments.next();
    // The scenes that have something to restore must live to do so.
    if scene != "hugepages" && scene != "ksm" {
        set_pdeathsig(Signal::SIGKILL)?;
    }
    let number = || -> Result<u64> {
        let text = argument.as_ref().and_then(|a| a.to_str()).context("this scene needs a number")?;
        text.parse().with_context(|| format!("{text} is not a number"))
    };
    match scene.to_str() {
        Some("everything") => everything::run(argument.is_some_and(|word| word == "with-hugetlb")),
        Some("classes") => classes::run(),
        Some("forks") => shared::forks(argument.is_some_and(|word| word == "huge")),
        Some("same") => shared::same(number()?),
        Some("clone") => shared::cloned(),
        Some("ksm") => ksm::run(),
        Some("vmas") => many::vmas(number()?),
        Some("sparse") => many::sparse(),
        Some("names") => names::run(argument.as_ref().context("this scene needs a directory")?.as_ref()),
        Some("churn") => moving::churn(),
        Some("dying") => moving::dying(number()?),
        Some("exec-loop") => moving::exec_loop(argument.is_none()),
        Some("eventfds") => slabs::eventfds(number()?),
        Some("sockets") => slabs::sockets(number()?),
        Some("absent") => slabs::absent(number()?),
        Some("under") => {
            under::run(argument.as_ref().and_then(|rule| rule.to_str()).context("which rule?")?, arguments)
        }
        Some("zombie") => zombie::run(),
        Some("hugepages") => hugepages::run(number()?),
        _ => bail!("there is no scene {}", scene.display()),
    }
}
