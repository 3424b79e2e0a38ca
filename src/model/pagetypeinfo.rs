//! `/proc/pagetypeinfo`: free blocks and page blocks by migrate type. (mm/vmstat.c)
//!
//! A page block is the unit of migrate types, which group unmovable memory together. It is as large as a huge page if the
//! machine has them.

use std::path::Path;

use super::buddyinfo::{MOST_ORDERS, MOST_ZONES};
use super::zoneinfo::{head, is_word};
use crate::error::{Error, Result};
use crate::unit::decimal;

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageTypes {
    /// The order of a page block, in base pages; `None` if the file does not give it.
    pub block_order: Option<u32>,
    /// The free blocks of the buddy allocator.
    pub free: Vec<FreeOfType>,
    /// Page blocks.
    pub page_blocks: Vec<PageBlocks>,
}

/// The free blocks of one type in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreeOfType {
    /// The node.
    pub node: u32,
    /// The zone's name: letters, digits and underscores.
    pub zone: String,
    /// The name of the migrate type, in the same form: `Unmovable`, `Movable`, `Reclaimable`, …
    pub migrate_type: String,
    /// The number of free blocks of 2^order base pages, by order.
    pub blocks: Vec<FreeCount>,
}

/// A count of free blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreeCount {
    /// The blocks counted.
    pub blocks: u64,
    /// Whether there are more: the kernel stops counting at 100,000 to limit the time it holds the zone lock.
    pub cut: bool,
}

/// The page blocks of each type in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageBlocks {
    /// The node.
    pub node: u32,
    /// The zone's name.
    pub zone: String,
    /// The number of blocks of each type, with the kernel's names and order.
    pub by_type: Vec<(String, u64)>,
}

/// The maximum number of migrate types accepted. (Linux has up to six, enum migratetype.)
const MOST_TYPES: usize = 16;

/// Parses the file, which repeats all sections for each node.
///
/// # Errors
/// [`Error::Malformed`], also for more orders, types or zones than any machine has.
pub fn parse(text: &[u8], path: &Path) -> Result<PageTypes> {
    let mut types = PageTypes::default();
    let mut section = Section::Other;
    for (line, number) in text.split(|&b| b == b'\n').zip(1..) {
        let wrong = |what| Error::malformed(path, number, what);
        let line = std::str::from_utf8(line).map_err(|_| wrong("not UTF-8"))?;
        if let Some(order) = line.strip_prefix("Page block order:") {
            let order = decimal(order.trim()).and_then(|order| order.try_into().ok());
            types.block_order = Some(order.ok_or_else(|| wrong("not a number"))?);
        } else if line.starts_with("Free pages count per migrate type") {
            section = Section::Free;
        } else if let Some(names) = line.strip_prefix("Number of blocks type") {
            let names: Vec<&str> = names.split_ascii_whitespace().filter(|name| is_word(name)).collect();
            if names.len() > MOST_TYPES {
                return Err(wrong("more types than a kernel has"));
            }
            section = Section::Blocks(names);
        } else if line.starts_with("Number of mixed blocks") {
            section = Section::Other;
        } else if line.starts_with("Node ") {
            match &section {
                Section::Free => {
                    let free = free(line).ok_or_else(|| wrong("expected a type and numbers"))?;
                    if free.blocks.len() > MOST_ORDERS || types.free.len() == MOST_ZONES * MOST_TYPES {
                        return Err(wrong("more orders or zones than a machine has"));
                    }
                    types.free.push(free);
                }
                Section::Blocks(names) => {
                    let blocks = page_blocks(line, names).ok_or_else(|| wrong("expected a number for each type"))?;
                    if types.page_blocks.len() == MOST_ZONES {
                        return Err(wrong("more zones than a machine has"));
                    }
                    types.page_blocks.push(blocks);
                }
                Section::Other => {}
            }
        }
    }
    Ok(types)
}

enum Section<'t> {
    Free,
    /// Inside the section, with the names of the types.
    Blocks(Vec<&'t str>),
    Other,
}

fn free(line: &str) -> Option<FreeOfType> {
    let (node, zone, rest) = head(line)?;
    let mut words = rest.strip_prefix(", type")?.split_ascii_whitespace();
    let migrate_type = words.next().filter(|name| is_word(name))?.to_owned();
    let count = |word: &str| {
        let (digits, cut) = word.strip_prefix('>').map_or((word, false), |digits| (digits, true));
        Some(FreeCount { blocks: decimal(digits)?, cut })
    };
    Some(FreeOfType { node, zone: zone.to_owned(), migrate_type, blocks: words.map(count).collect::<Option<_>>()? })
}

fn page_blocks(line: &str, names: &[&str]) -> Option<PageBlocks> {
    let (node, zone, rest) = head(line)?;
    let counts: Vec<u64> = rest.split_ascii_whitespace().map(decimal).collect::<Option<_>>()?;
    let by_type = names.iter().map(|&name| name.to_owned()).zip(counts.iter().copied()).collect();
    (counts.len() == names.len()).then(|| PageBlocks { node, zone: zone.to_owned(), by_type })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "\
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2 
Node    0, zone      DMA, type    Unmovable      0      0      1 
Node    0, zone   Normal, type      Movable   >100000    873    907 

Number of blocks type     Unmovable      Movable  Reclaimable   HighAtomic      Isolate 
Node 0, zone      DMA            1            7            0            0            0 
Node 0, zone   Normal           81         1968          127            0            0 

Number of mixed blocks    Unmovable      Movable  Reclaimable   HighAtomic      Isolate 
Node 0, zone      DMA            9            9            9            9            9 
Page block order: 9
Pages per block:  512

Free pages count per migrate type at order       0      1      2 
Node    1, zone   Normal, type          CMA      4      5      6 

Number of blocks type     Unmovable      Movable 
Node 1, zone   Normal            2            3 
";

    fn parsed(text: &[u8]) -> Result<PageTypes> {
        parse(text, Path::new("pagetypeinfo"))
    }

    #[test]
    fn two_nodes_are_read() {
        let types = parsed(TEXT.as_bytes()).unwrap();
        assert_eq!(types.block_order, Some(9));
        let free: Vec<_> = types.free.iter().map(|f| (f.node, f.zone.as_str(), f.migrate_type.as_str())).collect();
        assert_eq!(free, [(0, "DMA", "Unmovable"), (0, "Normal", "Movable"), (1, "Normal", "CMA")]);
        assert_eq!(types.free[1].blocks[0], FreeCount { blocks: 100_000, cut: true });
        assert_eq!(types.free[1].blocks[2], FreeCount { blocks: 907, cut: false });
        assert_eq!(types.page_blocks.len(), 3);
        assert_eq!(types.page_blocks[1].by_type[2], ("Reclaimable".to_owned(), 127));
        assert_eq!(types.page_blocks[2].by_type, [("Unmovable".to_owned(), 2), ("Movable".to_owned(), 3)]);
        assert_eq!(types.page_blocks[2].node, 1);
    }

    #[test]
    fn what_is_no_pagetypeinfo_is_refused() {
        assert_eq!(parsed(b"").unwrap(), PageTypes::default());
        for (good, bad) in [
            ("907 ", "9o7 "),
            ("907 ", "+97 "),
            ("1968", "+968"),
            ("order: 9", "order: +9"),
            ("type      Movable", "type  \x1b[2J"),
            ("1968", ""),
            ("order: 9", "order: ?"),
            (", type", " "),
        ] {
            let text = TEXT.replacen(good, bad, 1);
            assert!(matches!(parsed(text.as_bytes()), Err(Error::Malformed { .. })), "{bad}");
        }
    }

    #[test]
    fn there_is_an_end_to_orders_types_and_zones() {
        const FREE: &str = "Free pages count per migrate type at order\n";
        let is_refused_behind = |most: usize, text: &dyn Fn(usize) -> String| {
            assert!(parsed(text(most).as_bytes()).is_ok(), "{most}");
            assert!(matches!(parsed(text(most + 1).as_bytes()), Err(Error::Malformed { .. })), "{most} and one more");
        };
        is_refused_behind(64, &|orders| format!("{FREE}Node 0, zone X, type T {}\n", "1 ".repeat(orders)));
        is_refused_behind(65_536, &|rows| FREE.to_owned() + &"Node 0, zone X, type T 1\n".repeat(rows));
        is_refused_behind(16, &|types| format!("Number of blocks type {}\n", "T ".repeat(types)));
        is_refused_behind(4096, &|zones| "Number of blocks type T\n".to_owned() + &"Node 0, zone X 1\n".repeat(zones));
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_an_error(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parsed(&text);
        }

        #[test]
        fn a_damaged_file_gives_a_value_or_an_error(at in 0..TEXT.len(), byte in any::<u8>()) {
            let mut text = TEXT.as_bytes().to_vec();
            text[at] = byte;
            let _ = parsed(&text);
        }
    }
}
