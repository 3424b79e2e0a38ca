//! The minimum work for finding who maps a frame: one thread that looks at every page table of the machine once.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;
use pmem::internal::VirtAddr;
use pmem::internal::scan::{Query, Region, category, scan};

use super::scene::page_size;

/// Looks for a frame in all processes: scans each for present pages, reads the words of those, compares them, and
/// prints how many matched. Processes that end in the meantime are skipped.
pub fn scan_all(pfn: u64) {
    let (mut words, mut found) = (vec![0; 16 * 1024], 0);
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        if entry.file_name().as_encoded_bytes()[0].is_ascii_digit()
            && let Ok(pagemap) = File::open(entry.path().join("pagemap"))
        {
            let _ = scan_one(&pagemap, &mut words, |word| found += u64::from(word & ((1 << 55) - 1) == pfn));
        }
    }
    println!("{found}");
}

fn scan_one(pagemap: &File, words: &mut [u64], mut each: impl FnMut(u64)) -> Result<(), Errno> {
    // The end of user space with four levels of page tables.
    let (mut start, end) = (VirtAddr(0), VirtAddr((1 << 47) - page_size() as u64));
    let mut regions = [Region::default(); 512];
    let page = page_size() as u64;
    while start < end {
        let query = Query { start, end, max_pages: 0, any_of: category::PRESENT, report: category::PRESENT };
        let (found, stopped) = scan(pagemap, &query, &mut regions)?;
        for region in &regions[..found] {
            let mut index = region.start.0 / page;
            while index < region.end.0 / page {
                let want = words.len().min((region.end.0 / page - index) as usize);
                let bytes = bytemuck::cast_slice_mut(&mut words[..want]);
                let got = pagemap.read_at(bytes, index * 8).map_err(|_| Errno::EIO)? / 8;
                if got == 0 {
                    return Ok(());
                }
                words[..got].iter().copied().for_each(&mut each);
                index += got as u64;
            }
        }
        // Linux 6.18 reports a stale end of the walk if it wrote regions out on the way.
        start = regions[..found].last().map_or(stopped, |last| stopped.max(last.end));
    }
    Ok(())
}
