//! The settings that affect a demo's numbers, in words.

use unicode_width::UnicodeWidthStr;

use crate::demo::environment::Environment;
use crate::view::size::human_string;

/// The environment in lines of at most `width` columns.
pub(super) fn lines(environment: &Environment, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts(environment) {
        match lines.last_mut() {
            Some(line) if line.width() + part.width() + 3 <= width => *line += &format!(" · {part}"),
            _ => lines.push(part),
        }
    }
    lines
}

fn parts(environment: &Environment) -> Vec<String> {
    // All of these sizes are whole numbers of their unit.
    let size = |bytes| human_string(bytes).replace(".0 ", " ");
    let mut parts = vec![
        format!("Linux {}", environment.kernel),
        format!("pages of {}", size(environment.page_size)),
        match &environment.thp {
            Some(setting) => format!("THP {setting}"),
            None => "no THP".to_owned(),
        },
    ];
    parts.extend(environment.mthp.iter().map(|mthp| format!("mTHP of {} {}", size(mthp.bytes), mthp.setting)));
    parts.push(match environment.swap_total_bytes {
        Some(0) => "no swap".to_owned(),
        Some(bytes) => format!("swap {}", size(bytes)),
        None => "swap unknown".to_owned(),
    });
    parts.extend(environment.overcommit.map(|mode| match mode {
        0 => "overcommit heuristic".to_owned(),
        1 => "overcommit always".to_owned(),
        2 => "overcommit never".to_owned(),
        other => format!("overcommit mode {other}"),
    }));
    parts.extend(environment.cgroup_limit_bytes.map(|bytes| format!("cgroup limit {}", size(bytes))));
    if environment.numa_balancing {
        parts.push("NUMA balancing on".to_owned());
    }
    if environment.ksm_runs {
        parts.push("KSM running".to_owned());
    }
    parts.push(match environment.frame_numbers {
        true => "frame numbers visible".to_owned(),
        false => "frame numbers hidden from this user".to_owned(),
    });
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::environment::Mthp;

    #[test]
    fn it_is_said_in_words() {
        let environment = Environment {
            kernel: "6.18.44".to_owned(),
            page_size: 4096,
            thp: Some("madvise".to_owned()),
            thp_bytes: Some(2 << 20),
            mthp: vec![Mthp { bytes: 65536, setting: "inherit".to_owned() }],
            swap_total_bytes: Some(0),
            overcommit: Some(2),
            cgroup_limit_bytes: Some(64 << 20),
            numa_balancing: true,
            ksm_runs: false,
            frame_numbers: false,
        };
        let expected = "Linux 6.18.44 · pages of 4 KiB · THP madvise · mTHP of 64 KiB inherit · no swap\n\
                        overcommit never · cgroup limit 64 MiB · NUMA balancing on\n\
                        frame numbers hidden from this user";
        assert_eq!(lines(&environment, 80).join("\n"), expected);
    }
}
