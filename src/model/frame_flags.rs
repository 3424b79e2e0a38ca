//! Words of `/proc/kpageflags`: the flags of one frame. (include/uapi/linux/kernel-page-flags.h)

/// The shared zero page, or a part of the huge one (KPF_ZERO_PAGE).
pub const ZERO_PAGE: u64 = 1 << 24;
/// No memory at this frame number (KPF_NOPAGE). Linux 6.15 to 7.1 never report it.
pub const NOPAGE: u64 = 1 << 20;
/// Merged by KSM (KPF_KSM). Wrong for every anonymous page on Linux 6.10 to 7.0.
pub const KSM: u64 = 1 << 21;
