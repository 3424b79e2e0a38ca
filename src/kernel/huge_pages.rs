//! The sizes of transparent huge pages (mTHP, since Linux 6.8), each with its own setting.

use super::root::{Root, text};

const DIRECTORY: &str = "sys/kernel/mm/transparent_hugepage";

/// The `enabled` files, as paths relative to the root.
pub fn switches(root: &Root) -> Vec<String> {
    let names = root.dir().open_dir(DIRECTORY).and_then(|directory| directory.names()).unwrap_or_default();
    let switch = |name: &Vec<u8>| {
        let name = std::str::from_utf8(name).ok().filter(|name| name.starts_with("hugepages-"))?;
        Some(format!("{DIRECTORY}/{name}/enabled"))
    };
    names.iter().filter_map(switch).collect()
}

/// The sizes not set to `never`, with their settings; `none` if all are off, `None` if this kernel has only one size.
pub fn by_size(root: &Root) -> Option<String> {
    let switch = |path: String| {
        let kib: u64 = path.split('-').nth(1)?.split("kB").next()?.parse().ok()?;
        let switch = text(root.dir(), &path)?;
        Some((kib, switch.split(['[', ']']).nth(1)?.to_owned()))
    };
    let mut sizes: Vec<(u64, String)> = switches(root).into_iter().filter_map(switch).collect();
    if sizes.is_empty() {
        return None;
    }
    sizes.sort_unstable();
    sizes.retain(|(_, switch)| switch != "never");
    let list: Vec<String> = sizes.iter().map(|(kib, switch)| format!("{kib} KiB {switch}")).collect();
    Some(if list.is_empty() { "none".to_owned() } else { list.join(", ") })
}
