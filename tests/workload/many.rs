//! `vmas` and `sparse`: an address space with very many mappings, and a large one that is mostly empty.

use anyhow::Result;
use nix::sys::mman::{MapFlags, ProtFlags};
use pmem::internal::memory::Mapping;
use serde_json::json;

use super::place::{FAR, PAGE, Places, setting, small_pages};
use super::report::{say, say_skipped, wait_for_the_end};

const READ_WRITE: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// One in this many mappings is only read, so that it has a zero page.
const READ_EVERY: usize = 3;

/// `count` mappings of one page each, a page apart so that they do not merge.
pub(crate) fn vmas(count: u64) -> Result<()> {
    let mut kept = Vec::new();
    for number in 0..count as usize {
        let address = FAR + 2 * number * *PAGE;
        match Mapping::anonymous(*PAGE, READ_WRITE, MapFlags::MAP_PRIVATE, Some(address)) {
            Ok(mapping) => kept.push(mapping),
            Err(error) => {
                let limit = setting("/proc/sys/vm/max_map_count");
                return say_skipped(&format!("mapping {number} of {count}: {error} (vm.max_map_count is {limit})"));
            }
        }
    }
    for (number, mapping) in kept.iter().enumerate() {
        if number % READ_EVERY == 0 {
            mapping.read(0);
        } else {
            mapping.write(0, 1);
        }
    }
    let address = kept.first().map(|mapping| mapping.address().to_string());
    say(&json!({
        "pid": std::process::id(),
        "address": address,
        "stride_pages": 2,
        "count": count,
        "read_every": READ_EVERY,
    }))?;
    wait_for_the_end()
}

/// 1 TiB of address space with a page touched every 10 GiB.
pub(crate) fn sparse() -> Result<()> {
    const TOUCHED: usize = 100;
    const APART: usize = 10 << 30;
    let protection = READ_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    let mapping = match Places::new().anonymous((1 << 40) / *PAGE, flags) {
        Ok(mapping) => mapping,
        Err(error) => return say_skipped(&format!("1 TiB of {protection:?}: {error}")),
    };
    small_pages(&mapping);
    (0..TOUCHED).for_each(|number| mapping.write(number * APART, 1));
    say(&json!({
        "pid": std::process::id(),
        "address": mapping.address().to_string(),
        "size_pages": mapping.length() / *PAGE,
        "touched": TOUCHED,
        "apart_bytes": APART,
    }))?;
    wait_for_the_end()
}
