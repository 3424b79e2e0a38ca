//! Processes with memory of a known shape.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};

use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use pmem::internal::memory::Mapping;

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// Makes the memory, prints the address of the first mapping and keeps it all until standard input ends.
pub fn scene(name: &str) {
    set_pdeathsig(Signal::SIGKILL).unwrap();
    let kept = match name {
        "touched" => vec![touched(1 << 30)],
        "small" => vec![touched(4 << 20)],
        "sparse" => {
            let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
            let mapping = Mapping::anonymous(1 << 40, READ_WRITE, flags, None).unwrap();
            (0..100).for_each(|number| mapping.write(number * (10 << 30), 1));
            vec![mapping]
        }
        "vmas" => (0..60_000).map(single_page).collect(),
        other => panic!("no scene {other}"),
    };
    println!("{}", kept[0].address().0);
    std::io::stdout().flush().unwrap();
    let _ = std::io::stdin().read(&mut [0]);
    // Exit removes the mappings faster than their destructors would.
    std::mem::forget(kept);
}

/// Private memory, every small page of it written to.
fn touched(length: usize) -> Mapping {
    let mapping = Mapping::private(length).unwrap();
    mapping.advise(0, length, MmapAdvise::MADV_NOHUGEPAGE).unwrap();
    (0..length).step_by(page_size()).for_each(|at| mapping.write(at, 1));
    mapping
}

fn single_page(number: usize) -> Mapping {
    let address = 0x2100_0000_0000 + 2 * number * page_size();
    let mapping = Mapping::anonymous(page_size(), READ_WRITE, MapFlags::MAP_PRIVATE, Some(address)).unwrap();
    mapping.write(0, 1);
    mapping
}

/// The size of a page.
pub fn page_size() -> usize {
    let size = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).unwrap().unwrap();
    usize::try_from(size).unwrap()
}

/// A running scene, killed and reaped when dropped.
pub struct Scene {
    child: Child,
    /// The address of its first mapping.
    pub address: u64,
}

impl Scene {
    pub fn start(name: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let mut child = command.args(["scene", name]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().parse().unwrap_or_else(|_| panic!("the scene {name} was not made"));
        Self { child, address }
    }

    /// Its PID, as commands take it.
    pub fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
