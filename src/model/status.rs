//! Files of `Key:  value kB` lines: `/proc/PID/status` and `/proc/meminfo`.

/// The value of `key`, in bytes, in a file of `Key:  NUMBER kB` lines; `None` if the line is absent (kernel threads and zombies
/// have no `Vm` lines) or has another form.
pub fn bytes_of(text: &[u8], key: &str) -> Option<u64> {
    let value = field(text, key)?;
    std::str::from_utf8(value).ok()?.strip_suffix("kB")?.trim_ascii().parse::<u64>().ok()?.checked_mul(1024)
}

/// The text after `key:`, trimmed.
pub fn field<'a>(text: &'a [u8], key: &str) -> Option<&'a [u8]> {
    text.split(|&b| b == b'\n')
        .find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_whole_name() {
        let text = b"Name:\tVmSwap:\nVmSwapped:\t9 kB\nVmSwap:\t     2336 kB\nThreads:\t3\n";
        assert_eq!(bytes_of(text, "VmSwap"), Some(2336 * 1024));
        assert_eq!(field(text, "Threads"), Some(&b"3"[..]));
        assert_eq!(bytes_of(text, "Threads"), None);
        assert_eq!(bytes_of(text, "VmPin"), None);
    }
}
