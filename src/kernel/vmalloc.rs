//! Reading `/proc/vmallocinfo`, which is root-only.

use std::path::Path;

use super::root::Root;
use crate::error::Result;
use crate::model::vmallocinfo::{self, Kind};

/// The maximum size of the file, which has one line per area: enough for 300,000 threads.
const LARGEST: u64 = 32 << 20;

/// Reads the file.
///
/// # Errors
/// Those of reading it.
pub fn read(root: &Root) -> Result<Vec<u8>> {
    root.dir().read("proc/vmallocinfo", LARGEST)
}

/// Page counts from `/proc/vmallocinfo`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VmallocPages {
    /// Pages of all areas that own pages.
    pub all: u64,
    /// Pages of task stacks, including cached stacks.
    pub stacks: u64,
    /// Pages of shadow stacks.
    pub shadow_stacks: u64,
    /// Some caller is an address because the kernel has no symbols, so stacks cannot be identified.
    pub nameless: bool,
}

impl VmallocPages {
    /// Adds up pages by the allocating function. A truncated file is an error, because the sum would be partial.
    ///
    /// # Errors
    /// [`Error::Malformed`](crate::error::Error::Malformed).
    pub fn parse(text: &[u8], path: &Path) -> Result<Self> {
        let mut sum = Self::default();
        for area in vmallocinfo::areas(text, path) {
            let area = area?;
            // Other areas map pages that belong to something else.
            if area.kind != Kind::Vmalloc {
                continue;
            }
            sum.all = sum.all.saturating_add(area.pages);
            let function = area.function.and_then(|function| function.split(|&byte| byte == b'.').next());
            sum.nameless |= function.is_some_and(|function| function.starts_with(b"0x"));
            if area.is_stack() {
                sum.stacks = sum.stacks.saturating_add(area.pages);
            } else if matches!(function, Some(b"__scs_alloc" | b"scs_alloc" | b"scs_prepare")) {
                sum.shadow_stacks = sum.shadow_stacks.saturating_add(area.pages);
            }
        }
        Ok(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stacks_are_told_by_who_asked_for_them() {
        let text = "\
0x000000003905bef8-0x00000000417b7876   20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc N0=4
0xffffc90000010000-0xffffc90000015000   20480 copy_process.part.32+0x6a/0x1d00 pages=4 vmalloc N0=4
0x0000000000000000-0x0000000000000000    8192 __scs_alloc.isra.0+0x70/0x100 pages=1 vmalloc
0xffffc90000000000-0xffffc90000005000   20480 bpf_prog_alloc_no_stats+0x30/0x100 pages=9 vmalloc N0=9
0x000000000dcdcfd6-0x00000000cf7e3ea6   20480 unpurged vm_area
0xffffc90000000000-0xffffc90000005000    8192 acpi_os_map_iomem+0x1/0x2 phys=0x00000000bffe0000 ioremap
";
        let pages = VmallocPages { all: 18, stacks: 8, shadow_stacks: 1, nameless: false };
        let parse = |text: &str| VmallocPages::parse(text.as_bytes(), Path::new("v")).ok();
        assert_eq!(parse(text), Some(pages));
        let nameless = text.replace("kernel_clone+0x94/0x3e0", "0xffffffff81a3c1de");
        assert_eq!(parse(&nameless), Some(VmallocPages { stacks: 4, nameless: true, ..pages }));
        for torn in [&format!("{text}bad\n"), &format!("{text}0x0-0x1 1 x pages=many\n"), text.trim_end(), ""] {
            assert_eq!(parse(torn), None, "{torn}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_number(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = VmallocPages::parse(&text, Path::new("v"));
        }
    }
}
