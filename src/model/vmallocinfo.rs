//! `/proc/vmallocinfo`: the areas of the kernel's vmalloc address space. (mm/vmalloc.c)

use std::path::Path;

use crate::error::{Error, Result};
use crate::unit::{decimal, hexadecimal};

/// The maximum number of nodes. (NODES_SHIFT)
const NODES: u32 = 1024;

/// The shortest line: two addresses of 32 bits and a size. (`0x%pK-0x%pK %7ld`)
const SHORTEST: usize = 29;

/// One area, borrowing from the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Area<'t> {
    /// Its start address, or a hash of it: see [`is_at_its_address`](Self::is_at_its_address). `None` if the kernel had no hash
    /// key yet.
    pub start: Option<u64>,
    /// Its end address (exclusive), or a hash of it.
    pub end: Option<u64>,
    /// Its size in bytes, including the guard page that most areas have at the end.
    pub size: u64,
    /// The function that allocated it: a name, or an address if the kernel has no symbols. `None` for freed areas and
    /// vm_map_ram, and if no caller was recorded.
    pub function: Option<&'t [u8]>,
    /// The module of the function; `None` for the kernel itself.
    pub module: Option<&'t [u8]>,
    /// The pages it owns, or, for some drivers' mappings, the pages it maps; 0 if the kernel prints none.
    pub pages: u64,
    /// The mapped physical address, for ioremap and similar; the kernel does not print an address of 0.
    pub physical: Option<u64>,
    /// Its kind.
    pub kind: Kind,
    /// It may also be mapped to user space.
    pub user: bool,
    /// Its page array is so large that it has its own vmalloc area.
    pub vpages: bool,
    /// Its pages by node, ascending, without duplicates; empty on kernels without NUMA. For huge pages the kernel checks the
    /// node of the first page and counts all pages.
    pub nodes: Vec<(u32, u64)>,
}

/// The kind of an area.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "VmallocKind"))]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Its own memory, in pages that need not be contiguous.
    Vmalloc,
    /// Existing pages, mapped contiguously.
    Vmap,
    /// Likewise, but short-lived: vm_map_ram.
    #[serde(rename = "vm_map_ram")]
    VmMapRam,
    /// Device registers or memory, or firmware memory.
    Ioremap,
    /// Addresses populated on demand (BPF arenas); since Linux 6.9.
    Sparse,
    /// Memory coherent between a device and the CPU.
    DmaCoherent,
    /// Xen mappings; marked in Linux 6.2 to 6.9.
    Xen,
    /// Freed, but not yet flushed from all TLBs: the memory is free, the addresses are not.
    Unpurged,
    /// The kernel does not say.
    #[default]
    Other,
}

impl Kind {
    /// Its name: the kernel's word, if there is one.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vmalloc => "vmalloc",
            Self::Vmap => "vmap",
            Self::VmMapRam => "vm_map_ram",
            Self::Ioremap => "ioremap",
            Self::Sparse => "sparse",
            Self::DmaCoherent => "dma-coherent",
            Self::Xen => "xen",
            Self::Unpurged => "unpurged",
            Self::Other => "other",
        }
    }
}

impl Area<'_> {
    /// Whether it is a task stack. Which function is recorded depends on inlining. (kernel/fork.c)
    pub fn is_stack(&self) -> bool {
        matches!(
            self.function.and_then(|function| function.split(|&byte| byte == b'.').next()),
            Some(
                b"alloc_thread_stack_node"
                    | b"dup_task_struct"
                    | b"copy_process"
                    | b"_do_fork"
                    | b"kernel_clone"
                    | b"kernel_thread"
                    | b"fork_idle"
                    | b"create_io_thread"
                    | b"vhost_task_create"
            )
        )
    }

    /// Whether start and end are real addresses. Otherwise they are hashes (`%p`) or zeros (`kptr_restrict`), and meaningless.
    pub fn is_at_its_address(&self) -> bool {
        match (self.start, self.end) {
            (Some(start), Some(end)) => start != 0 && end.wrapping_sub(start) == self.size,
            _ => false,
        }
    }
}

/// The areas of the file in order, each with its line number. A line that cannot be parsed is an error in its place, and
/// parsing continues. An unterminated last line is an error, because the rest is unknown, and so is an empty file, because
/// every kernel has areas.
pub fn areas<'t>(text: &'t [u8], path: &'t Path) -> impl Iterator<Item = Result<Area<'t>>> {
    let empty =
        text.is_empty().then(|| Err(Error::malformed(path, 1, "the file is empty, but every kernel has areas")));
    let lines = text.split_inclusive(|&byte| byte == b'\n').zip(1..).map(|(line, number)| {
        let malformed = |what| Error::malformed(path, number, what);
        let line = line.strip_suffix(b"\n").ok_or_else(|| malformed("the line is truncated"))?;
        area(line).ok_or_else(|| malformed("not a line of vmallocinfo"))
    });
    empty.into_iter().chain(lines)
}

/// `0xSTART-0xEND size caller [module] pages=N phys=0xADDRESS kind… N0=n N1=n`, where everything after the size is optional.
fn area(line: &[u8]) -> Option<Area<'_>> {
    if line.len() < SHORTEST {
        return None;
    }
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).peekable();
    let mut text = || std::str::from_utf8(words.next()?).ok();
    let (start, end) = text()?.split_once('-')?;
    let (start, end) = (address(start)?, address(end)?);
    let mut area = Area { start, end, size: decimal(text()?)?, ..Area::default() };
    // Function and module names can be any bytes; all other words are the kernel's.
    let is_name = |word: &&[u8]| !word.contains(&b'=') && std::str::from_utf8(word).ok().and_then(flag).is_none();
    if let Some(word) = words.next_if(is_name) {
        area.function = word.split(|&byte| byte == b'+').next();
        let module = words.next_if(|word| word.starts_with(b"["));
        area.module = module.map(|word| word.strip_suffix(b"]").unwrap_or(word)).map(|word| &word[1..]);
    }
    for word in words {
        let word = std::str::from_utf8(word).ok()?;
        match (word.split_once('='), flag(word)) {
            (Some(("pages", pages)), _) => area.pages = decimal(pages)?,
            (Some(("phys", physical)), _) => area.physical = Some(hexadecimal(physical)?),
            (Some((key, pages)), _) => {
                let node = key.strip_prefix('N').and_then(|node| node.parse().ok());
                if let Some(node) = node.filter(|&node| node < NODES) {
                    // The kernel prints them in ascending order, each once.
                    if area.nodes.last().is_some_and(|&(last, _)| last >= node) {
                        return None;
                    }
                    area.nodes.push((node, decimal(pages)?));
                }
            }
            (None, Some(Flag::User)) => area.user = true,
            (None, Some(Flag::Vpages)) => area.vpages = true,
            (None, Some(Flag::Kind(kind))) => area.kind = kind,
            // The second word of "unpurged vm_area", or a word of a future kernel.
            (None, None) => (),
        }
    }
    Some(area)
}

/// The meaning of a word after the caller.
enum Flag {
    Kind(Kind),
    User,
    Vpages,
}

fn flag(word: &str) -> Option<Flag> {
    Some(match word {
        "vmalloc" => Flag::Kind(Kind::Vmalloc),
        "vmap" => Flag::Kind(Kind::Vmap),
        "vm_map_ram" => Flag::Kind(Kind::VmMapRam),
        "ioremap" => Flag::Kind(Kind::Ioremap),
        "sparse" => Flag::Kind(Kind::Sparse),
        "dma-coherent" => Flag::Kind(Kind::DmaCoherent),
        "xen" => Flag::Kind(Kind::Xen),
        "unpurged" => Flag::Kind(Kind::Unpurged),
        "user" => Flag::User,
        "vpages" => Flag::Vpages,
        _ => return None,
    })
}

/// A pointer; the inner `None` is the placeholder printed before the hash key is ready. (default_pointer, lib/vsprintf.c)
fn address(word: &str) -> Option<Option<u64>> {
    match word.trim_start_matches("0x") {
        "(____ptrval____)" | "(ptrval)" => Some(None),
        digits => hexadecimal(digits).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn one(line: &str) -> Option<Area<'_>> {
        area(line.as_bytes())
    }

    #[test]
    fn nodes_stand_in_their_order_each_once() {
        let of = |nodes: &str| {
            let line = format!("0x0000000062c5485a-0x0000000076d7473c 8192 f+0x1/0x2 pages=1 vmalloc {nodes}");
            one(&line).map(|area| area.nodes)
        };
        assert_eq!(of("N0=1 N3=2 N1023=1 N1024=1"), Some(vec![(0, 1), (3, 2), (1023, 1)]));
        for wrong in ["N0=1 N0=1", "N1=1 N0=1", "N0=1 N1=1 N0=1"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_line_is_no_shorter_than_a_kernels() {
        assert!(one("0xc0001000-0xc0003000    8192").is_some());
        assert_eq!(one("0-0 0"), None);
    }

    #[test]
    fn lines_of_kernels_are_understood() {
        let area = |function: Option<&'static str>, pages, kind| Area {
            function: function.map(str::as_bytes),
            pages,
            kind,
            ..Area::default()
        };
        let of = |size, area: Area<'static>| Area { start: Some(0x62c5_485a), end: Some(0x76d7_473c), size, ..area };
        let hashed = "0x0000000062c5485a-0x0000000076d7473c";
        for (rest, expected) in [
            (
                "  20480 irq_init_percpu_irqstack+0xca/0x100 vmap",
                of(20480, area(Some("irq_init_percpu_irqstack"), 0, Kind::Vmap)),
            ),
            (
                "    8192 acpi_os_map_iomem+0x1bc/0x1e0 phys=0x00000000000a0000 ioremap",
                of(8192, Area { physical: Some(0xa0000), ..area(Some("acpi_os_map_iomem"), 0, Kind::Ioremap) }),
            ),
            (
                "  20480 kernel_clone+0x94/0x3e0 pages=4 vmalloc N0=3 N12=1",
                of(20480, Area { nodes: vec![(0, 3), (12, 1)], ..area(Some("kernel_clone"), 4, Kind::Vmalloc) }),
            ),
            (
                " 2105344 htab_map_alloc+0x2e4/0x5a0 pages=513 vmalloc user vpages N0=513",
                of(
                    2_105_344,
                    Area {
                        nodes: vec![(0, 513)],
                        user: true,
                        vpages: true,
                        ..area(Some("htab_map_alloc"), 513, Kind::Vmalloc)
                    },
                ),
            ),
            (
                "   12288 xfs_buf_alloc+0x10/0x20 [xfs] pages=2 vmalloc",
                of(12288, Area { module: Some(b"xfs"), ..area(Some("xfs_buf_alloc"), 2, Kind::Vmalloc) }),
            ),
            (
                "    8192 0xffffffff81000000 pages=1 vmalloc",
                of(8192, area(Some("0xffffffff81000000"), 1, Kind::Vmalloc)),
            ),
            // No caller is recorded.
            ("    8192 pages=1 vmalloc", of(8192, area(None, 1, Kind::Vmalloc))),
            (
                "    8192 dma_common_contiguous_remap+0x1/0x2 dma-coherent",
                of(8192, area(Some("dma_common_contiguous_remap"), 0, Kind::DmaCoherent)),
            ),
            (
                " 4295036928 arena_map_alloc+0x5/0x9 sparse",
                of(4_295_036_928, area(Some("arena_map_alloc"), 0, Kind::Sparse)),
            ),
            (
                "    8192 xenbus_map_ring+0x1/0x2 [xen_bus] xen",
                of(8192, Area { module: Some(b"xen_bus"), ..area(Some("xenbus_map_ring"), 0, Kind::Xen) }),
            ),
            ("    8192 __get_vm_area_caller+0x1/0x2", of(8192, area(Some("__get_vm_area_caller"), 0, Kind::Other))),
            (" 1048576 vm_map_ram", of(1 << 20, area(None, 0, Kind::VmMapRam))),
            ("   20480 unpurged vm_area", of(20480, area(None, 0, Kind::Unpurged))),
            // Words of future kernels are skipped.
            ("    8192 a+0x1/0x2 pages=1 order=9 vmalloc shiny", of(8192, area(Some("a"), 1, Kind::Vmalloc))),
        ] {
            assert_eq!(one(&format!("{hashed}{rest}")), Some(expected), "{rest}");
        }
    }

    #[test]
    fn addresses_are_told_from_hashes() {
        for (addresses, real) in [
            ("0xffffc90000000000-0xffffc90000005000", true),
            ("0xf0802000-0xf0807000", true),
            ("0x0000000062c5485a-0x0000000076d7473c", false),
            ("0x0000000000000000-0x0000000000000000", false),
            ("0x(____ptrval____)-0x(____ptrval____)", false),
            ("0x(ptrval)-0x(ptrval)", false),
        ] {
            let line = format!("{addresses}   20480 unpurged vm_area");
            assert_eq!(one(&line).map(|area| area.is_at_its_address()), Some(real), "{addresses}");
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        for bad in [
            "",
            "0x1-0x2",
            "0x1 4096 a+0x1/0x2",
            "0x1-x 4096 a+0x1/0x2",
            "0x1-0x2 -4096 a+0x1/0x2",
            "0x1-0x2 4096 a+0x1/0x2 pages=x",
            "0x1-0x2 4096 a+0x1/0x2 pages=-1",
            "0x1-0x2 4096 a+0x1/0x2 phys=g",
            "0x1-0x2 4096 a+0x1/0x2 N0=",
            "0x1-0x2 99999999999999999999 a+0x1/0x2",
        ] {
            assert_eq!(one(bad), None, "{bad:?}");
        }
        assert_eq!(area(b"0x1-0x2 4096 a+0x1/0x2 vm\xffap"), None);
    }

    #[test]
    fn a_name_can_be_any_bytes() {
        let area = area(b"0x1-0x2 4096 a\x9b\xff+0x1/0x2 [\xfe] pages=1 vmap").unwrap();
        assert_eq!((area.function, area.module), (Some(&b"a\x9b\xff"[..]), Some(&b"\xfe"[..])));
        assert_eq!((area.pages, area.kind), (1, Kind::Vmap));
    }

    #[test]
    fn an_error_stands_in_its_place_and_a_torn_end_is_one() {
        let good = "0x1-0x2 4096 a+0x1/0x2 pages=1 vmalloc";
        let text = format!("{good}\nnonsense\n{good}\n{good}28");
        let lines: Vec<_> = areas(text.as_bytes(), Path::new("v")).collect();
        let [Ok(_), Err(Error::Malformed { line: 2, .. }), Ok(_), Err(Error::Malformed { line: 4, .. })] = &lines[..]
        else {
            panic!("{lines:?}")
        };
        let of_empty: Vec<_> = areas(b"", Path::new("v")).collect();
        assert!(matches!(of_empty[..], [Err(Error::Malformed { line: 1, .. })]), "{of_empty:?}");
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
            areas(&text, Path::new("v")).for_each(drop);
        }

        #[test]
        fn whatever_is_changed_in_a_line_it_is_a_value_or_an_error(
            at in 0..120_usize, with in any::<u8>(), cut in 0..120_usize
        ) {
            let mut line = b"0xffffc90000000000-0xffffc90000005000   20480 f+0x94/0x3e0 [m] pages=4 phys=0x1000 vmalloc N0=4\n".to_vec();
            if let Some(byte) = line.get_mut(at) {
                *byte = with;
            }
            line.truncate(cut);
            areas(&line, Path::new("v")).for_each(drop);
        }
    }
}
