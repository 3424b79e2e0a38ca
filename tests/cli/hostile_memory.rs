//! Files about the machine's memory that are damaged, truncated or lie: the parsers give a value or an error, and the
//! commands give an answer or a refusal for such a tree.

use std::fs;
use std::path::Path;

use pmem::internal::{buddyinfo, iomem, meminfo, pagetypeinfo, slabinfo, vmallocinfo, zoneinfo};

use crate::support::text::assert_no_control;
use crate::support::tree::{Tree, fixtures, trees_with_meminfo};

/// How often each file is damaged for its parser.
const FOR_PARSERS: usize = 30;

/// How often a tree is damaged for the commands.
const FOR_COMMANDS: usize = 24;

/// How many of the commands then read it.
const COMMANDS_EACH: usize = 5;

/// The files in a tree that have their own parser.
const PARSED: [&str; 7] = [
    "proc/slabinfo",
    "proc/meminfo",
    "proc/zoneinfo",
    "proc/vmallocinfo",
    "proc/buddyinfo",
    "proc/iomem",
    "proc/pagetypeinfo",
];

/// Further files in a tree that the commands read. Not every tree has `slab_sysfs`.
const FURTHER: [&str; 6] = [
    "slab_sysfs",
    "pmem-capture.json",
    "proc/vmstat",
    "proc/pressure/memory",
    "proc/swaps",
    "proc/sys/fs/dentry-state",
];

/// The name for the tree before it was damaged.
const WHOLE: &str = "WHOLE";

const COMMANDS: [&[&str]; 17] = [
    &["slab"],
    &["slab", "--json", "-s", "c"],
    &["slab", "--format", "csv"],
    &["slab", "--filter", "^k", "--min", "64K"],
    &["slab", "show", "dentry", "signal_cache", "--json"],
    &["slab", "--growing", "-d", "0.01", "-n", "2"],
    &["slab", "diff", WHOLE],
    &["slab", "diff", WHOLE, "--json"],
    &["slab", "-o", "names,partial,cpu_slabs,cpu_partial,nodes,held,small_slabs,reclaimable"],
    &["where"],
    &["where", "--json"],
    &["where", "diff", WHOLE],
    &["where", "diff", WHOLE, "--json"],
    &["vmalloc"],
    &["vmalloc", "--areas", "--json"],
    &["buddy"],
    &["doctor"],
];

/// Numbers at the limits of their types, and some that are not numbers.
const NUMBERS: [&str; 9] = [
    "0",
    "1",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-1",
    "0x",
];

/// Bytes that do not belong in such a file.
const BYTES: [&[u8]; 8] = [b"\0", b"\xff\xfe", b"\x1b[2J", b"\r", b"\n", b" ", b":", b"\t->\t"];

/// Numbers that look random but are the same every time. (splitmix64)
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// A file with one to four things wrong.
    fn spoilt(&mut self, text: &[u8]) -> Vec<u8> {
        let mut text = text.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(text.len());
            let end = at + self.below(text.len().min(300)).min(text.len() - at);
            match self.below(8) {
                0 => text.truncate(at),
                1 => drop(text.drain(at..end)),
                2 => drop(text.splice(at..at, text[at..end].to_vec())),
                3 => drop(text.splice(at..at, b"9".repeat(1 + self.below(24)))),
                4 => drop(text.splice(at..at, self.of(&BYTES).iter().copied())),
                5 if at < text.len() => text[at] ^= 1 << self.below(8),
                _ => {
                    let digits = number_from(&text, at);
                    text.splice(digits, self.of(&NUMBERS).bytes());
                }
            }
        }
        text
    }
}

/// The range of the first number from an offset on; an empty one at the end if there is none.
fn number_from(text: &[u8], at: usize) -> std::ops::Range<usize> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let start = text[at..].iter().position(is_digit).map_or(text.len(), |offset| at + offset);
    let length = text[start..].iter().take_while(|byte| is_digit(byte)).count();
    start..start + length
}

/// Passes a text to the parser of a file; the result is ignored.
fn parse(file: &str, text: &[u8]) {
    let path = Path::new(file);
    match file {
        "proc/slabinfo" => drop(slabinfo::parse(text)),
        "proc/meminfo" => drop(meminfo::Meminfo::parse(text)),
        "proc/zoneinfo" => drop(zoneinfo::parse(text, path)),
        "proc/vmallocinfo" => vmallocinfo::areas(text, path).for_each(drop),
        "proc/buddyinfo" => drop(buddyinfo::parse(text, path)),
        "proc/iomem" => drop(iomem::parse(text, path)),
        "proc/pagetypeinfo" => drop(pagetypeinfo::parse(text, path)),
        _ => panic!("{file}: no parser is known"),
    }
}

#[test]
fn spoilt_files_do_not_make_the_parsers_panic() {
    let mut dice = Dice(1);
    for tree in trees_with_meminfo() {
        for file in PARSED {
            let Ok(text) = fs::read(fixtures().join(&tree).join(file)) else { continue };
            parse(file, &text);
            for _ in 0..FOR_PARSERS {
                parse(file, &dice.spoilt(&text));
            }
        }
    }
}

#[test]
fn commands_answer_or_refuse_on_spoilt_trees() {
    let mut dice = Dice(2);
    for name in ["4.19/memory", "6.1/memory"] {
        let tree = Tree::like(name);
        let whole = fixtures().join(name);
        let kept: Vec<(&str, Vec<u8>)> = PARSED
            .into_iter()
            .chain(FURTHER)
            .filter_map(|file| Some((file, fs::read(tree.path(file)).ok()?)))
            .collect();
        for round in 0..FOR_COMMANDS {
            // First one file at a time, then several at once.
            let files: Vec<&(&str, Vec<u8>)> = match round < kept.len() {
                true => vec![&kept[round]],
                false => kept.iter().filter(|_| dice.below(2) == 0).collect(),
            };
            for (file, text) in &files {
                tree.write(file, dice.spoilt(text));
            }
            for _ in 0..COMMANDS_EACH {
                let place = |&word: &&'static str| if word == WHOLE { whole.to_str().unwrap() } else { word };
                let command: Vec<&str> = dice.of(&COMMANDS).iter().map(place).collect();
                let finished = tree.pmem(&command);
                let names: Vec<_> = files.iter().map(|(file, _)| file).collect();
                let said =
                    format!("{name}, round {round} {names:?}, {command:?}: {} {}", finished.status, finished.stderr);
                assert!([0, 1, 3].contains(&finished.status), "{said}");
                assert!(!finished.stderr.is_empty() || !finished.stdout.is_empty(), "{said}");
                assert_no_control(&finished.stdout, &said);
            }
            kept.iter().for_each(|(file, text)| tree.write(file, text));
        }
    }
}

/// If each name were looked up among all links, or each row had all of them, this would take minutes and gigabytes: a
/// run is allowed neither.
#[test]
fn many_caches_with_many_names_are_told_in_little_time_and_memory() {
    const MANY: usize = 20_000;
    let tree = Tree::like("6.1/memory");
    let row = |name: &str| format!("{name} 1 1 64 64 1 : tunables 0 0 0 : slabdata 1 1 0\n");
    let long = "n".repeat(70_000);
    let links: String = (0..MANY).map(|number| format!("further{number}\t->\t:t\ncache{number}\t->\t:t\n")).collect();
    let nodes: String = (0..MANY).map(|node| format!(" N{node}=1")).collect();
    let files = ["slabs", "partial", "objects"].map(|file| format!(":t\t{file}\t1{nodes}\n")).concat();
    tree.write("slab_sysfs", format!("{long}\t->\t:t\n{links}{files}:t\treclaim_account\t1\n"));
    let whole = fixtures().join("6.1/memory");
    for name in [|number: usize| format!("cache{number}"), |_| "cache0".to_owned()] {
        let rows: String = (0..MANY).map(|number| row(&name(number))).collect();
        tree.write("proc/slabinfo", format!("slabinfo - version: 2.1\n{}{rows}", row(&long)));
        for command in [
            &["slab"][..],
            &["slab", "--json"],
            &["slab", "--filter", "further1"],
            &["slab", "-n", "2", "-d", "0.01", "--format", "csv"],
            &["slab", "show", "further7", "nothing"],
            &["slab", "diff", whole.to_str().unwrap()],
            &["where"],
        ] {
            let finished = tree.pmem(command);
            let said = format!("{command:?}: {} {:.300}", finished.status, finished.stderr);
            assert!([0, 1].contains(&finished.status), "{said}");
            assert!(!finished.stdout.is_empty(), "{said}");
        }
    }
}

#[test]
fn spoiling_spoils_and_is_the_same_every_time() {
    let text = fs::read(fixtures().join("6.1/memory/proc/slabinfo")).unwrap();
    let spoilt = |seed| Dice(seed).spoilt(&text);
    assert!((0..100).all(|seed| spoilt(seed) == spoilt(seed)));
    assert!((0..100).filter(|&seed| spoilt(seed) != text).count() > 90);
}
