//! `/proc/PID/mountinfo`: the file system of a device number, and the mount point of the memory cgroups.

use std::path::{Path, PathBuf};

use super::vma::Dev;

/// The device and type of every mounted file system. Lines in any other form are skipped.
///
/// `22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw`: the device is the third field, in decimal; the type is the first
/// field after the dash that ends the optional fields. (proc_pid_mountinfo(5))
pub fn devices(text: &[u8]) -> Vec<(Dev, String)> {
    text.split(|&b| b == b'\n').filter_map(|line| parse(std::str::from_utf8(line).ok()?)).collect()
}

fn parse(line: &str) -> Option<(Dev, String)> {
    let mut fields = line.split(' ');
    let (major, minor) = fields.nth(2)?.split_once(':')?;
    let dev = Dev { major: major.parse().ok()?, minor: minor.parse().ok()? };
    let system = fields.skip_while(|&field| field != "-").nth(1)?;
    Some((dev, system.to_owned()))
}

/// The mount point of the cgroup hierarchy with the memory controller: version 1 if mounted with it, else version 2 if
/// `has_memory` says so. Mount points with escaped characters are skipped: no system has one.
pub fn memory_cgroup(text: &[u8], has_memory: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let lines = || text.split(|&b| b == b'\n').filter_map(|line| cgroup_mount(std::str::from_utf8(line).ok()?));
    let first = lines().find(|(_, system, options)| *system == "cgroup" && options.split(',').any(|o| o == "memory"));
    let second = || lines().find(|(place, system, _)| *system == "cgroup2" && has_memory(place));
    first.or_else(second).map(|(place, ..)| place.to_owned())
}

/// The mount point, type and options of the file system.
fn cgroup_mount(line: &str) -> Option<(&Path, &str, &str)> {
    let place = line.split(' ').nth(4).filter(|place| !place.contains('\\'))?;
    let mut behind = line.split(' ').skip_while(|&field| field != "-").skip(1);
    let system = behind.next()?;
    Some((Path::new(place), system, behind.nth(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hierarchy_with_memory_is_found() {
        let v1 = b"34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n\
                   35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                   41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(memory_cgroup(v1, |_| true), Some("/sys/fs/cgroup/memory".into()));
        let v2 = b"41 31 0:38 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(memory_cgroup(v2, |_| true), Some("/sys/fs/cgroup".into()));
        assert_eq!(memory_cgroup(v2, |_| false), None);
        assert_eq!(memory_cgroup(b"\xff\n- - -\n1 2 3 4 5 -", |_| true), None);
    }

    #[test]
    fn devices_are_named_by_their_file_system() {
        let text = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n25 24 0:23 / /dev/shm rw shared:3 master:1 - tmpfs tmpfs rw\n\
                     \xff\n1 2 x:y / / rw - ext4 a\n27 1 254:0 / / rw - ext4 /dev/vda rw\n";
        let found = devices(text);
        let shown: Vec<_> = found.iter().map(|(dev, system)| (dev.to_string(), system.as_str())).collect();
        let expected = [("00:15", "proc"), ("00:17", "tmpfs"), ("fe:00", "ext4")].map(|(d, s)| (d.to_owned(), s));
        assert_eq!(shown, expected);
    }
}
