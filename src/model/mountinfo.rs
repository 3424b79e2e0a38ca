//! `/proc/PID/mountinfo`: which file system a device number stands for.

use super::vma::Dev;

/// The device and the type of every mounted file system. Lines of another form are passed over: the table is only asked
/// about devices it has.
///
/// `22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw`: the device is the third field, in decimal; the type is the
/// first after the dash that ends the optional fields. (proc_pid_mountinfo(5))
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

#[cfg(test)]
mod tests {
    use super::*;

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
