//! The kernel log record of an OOM kill. (mm/oom_kill.c, `__oom_kill_process`)

/// The line logged for every OOM kill: `Killed process PID (NAME) total-vm:…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed {
    /// The PID in the initial PID namespace.
    pub pid: u32,
    /// Whether a memory cgroup limit was the reason, rather than system-wide exhaustion; `None` on older kernels, which do not
    /// log it.
    pub by_cgroup: Option<bool>,
    /// The size of its mappings, in bytes.
    pub size: u64,
    /// Its resident anonymous memory, in bytes, as are all that follow.
    pub anonymous: u64,
    /// Its resident file-backed memory.
    pub file: u64,
    /// Its resident shared memory; older kernels count it as file-backed.
    pub shared: Option<u64>,
    /// Its page tables, if logged.
    pub page_tables: Option<u64>,
}

/// Parses a record of `/dev/kmsg` (`PRIORITY,SEQUENCE,TIME,FLAGS;TEXT`), or its bare text; `None` for any other record.
pub fn killed(record: &[u8]) -> Option<Killed> {
    let text = std::str::from_utf8(record.split(|&b| b == b'\n').next()?).ok()?;
    let (reason, rest) = text.split_once("Killed process ")?;
    // A process chooses its own name, which may look like the text after it; only numbers follow the last `total-vm:`.
    let (process, numbers) = rest.rsplit_once("total-vm:")?;
    let kilobytes = |value: &str| value.strip_suffix("kB")?.parse::<u64>().ok()?.checked_mul(1024);
    let mut fields = numbers.split([',', ' ']);
    let size = kilobytes(fields.next()?)?;
    let field = |name: &str| fields.clone().find_map(|field| kilobytes(field.strip_prefix(name)?));
    Some(Killed {
        pid: process.split_once(" (")?.0.parse().ok()?,
        by_cgroup: reason.contains("of memory").then(|| reason.contains("Memory cgroup")),
        size,
        anonymous: field("anon-rss:")?,
        file: field("file-rss:")?,
        shared: field("shmem-rss:"),
        page_tables: field("pgtables:"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KB: u64 = 1024;
    const LINUX_6_18: &[u8] =
        b"3,726,33467671257,-;Memory cgroup out of memory: Killed process 7428 (python3) total-vm:82280kB, \
        anon-rss:15072kB, file-rss:3668kB, shmem-rss:4kB, UID:0 pgtables:84kB oom_score_adj:0\n SUBSYSTEM=x\n";

    #[test]
    fn the_line_of_a_kill_is_read() {
        let expected = Killed {
            pid: 7428,
            by_cgroup: Some(true),
            size: 82280 * KB,
            anonymous: 15072 * KB,
            file: 3668 * KB,
            shared: Some(4 * KB),
            page_tables: Some(84 * KB),
        };
        assert_eq!(killed(LINUX_6_18), Some(expected));
    }

    #[test]
    fn the_lines_of_older_kernels_are_read() {
        let old = b"3,1,2,-;Killed process 17 (a b) total-vm:1000kB, anon-rss:30kB, file-rss:20kB";
        let expected = Killed {
            pid: 17,
            by_cgroup: None,
            size: 1000 * KB,
            anonymous: 30 * KB,
            file: 20 * KB,
            shared: None,
            page_tables: None,
        };
        assert_eq!(killed(old), Some(expected));
        let distributor =
            b"Killed process 17 (a b), UID 26, total-vm:1000kB, anon-rss:30kB, file-rss:20kB, shmem-rss:0kB";
        assert_eq!(killed(distributor), Some(Killed { shared: Some(0), ..expected }));
        let machine = b"3,1,2,-;Out of memory: Killed process 17 (a b) total-vm:1000kB, anon-rss:30kB, file-rss:20kB";
        assert_eq!(killed(machine), Some(Killed { by_cgroup: Some(false), ..expected }));
    }

    #[test]
    fn a_name_cannot_pass_for_numbers() {
        let line =
            b"Memory cgroup out of memory: Killed process 5 (1) total-vm:9kB) total-vm:8kB, anon-rss:4kB, file-rss:0kB";
        let found = killed(line).unwrap();
        assert_eq!((found.pid, found.size, found.anonymous), (5, 8 * KB, 4 * KB));
    }

    #[test]
    fn other_records_are_passed_over() {
        for other in [
            &b""[..],
            b"6,725,3,-;oom-kill:constraint=CONSTRAINT_MEMCG,task=python3,pid=7428,uid=0",
            b"3,1,2,-;Killed process 17 (a) total-vm:1000kB, file-rss:20kB",
            b"Killed process x (a) total-vm:1kB, anon-rss:1kB, file-rss:1kB",
            b"Killed process 1 (a) total-vm:99999999999999999999kB, anon-rss:1kB, file-rss:1kB",
            b"Killed process 1 (a) total-vm:18446744073709551615kB, anon-rss:1kB, file-rss:1kB",
        ] {
            assert_eq!(killed(other), None, "{}", String::from_utf8_lossy(other));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_a_value_or_none(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = killed(&text);
        }

        #[test]
        fn what_was_written_is_read(
            pid in any::<u32>(), size in 0..1u64 << 50, anonymous in 0..1u64 << 50, name in "[ -~]{0,15}",
        ) {
            let line = format!("Killed process {pid} ({name}) total-vm:{size}kB, anon-rss:{anonymous}kB, file-rss:0kB");
            let found = killed(line.as_bytes()).unwrap();
            prop_assert_eq!((found.pid, found.size, found.anonymous), (pid, size * KB, anonymous * KB));
        }
    }
}
