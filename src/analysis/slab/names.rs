//! What well-known slab caches hold.

/// A name, what an object of the cache is, and the kernel source that creates it. `*` at the end matches anything.
type Known = (&'static str, &'static str, &'static str);

/// What an object of the cache with this name is, and the kernel source that creates the cache.
pub fn meaning(name: &str) -> Option<(&'static str, &'static str)> {
    let exact = KNOWN.iter().find(|(known, ..)| *known == name);
    let begins = |(known, ..): &&Known| known.strip_suffix('*').is_some_and(|start| name.starts_with(start));
    let (_, what, source) = exact.or_else(|| KNOWN.iter().filter(begins).max_by_key(|(known, ..)| known.len()))?;
    Some((what, source))
}

#[rustfmt::skip]
const KNOWN: &[Known] = &[
    ("Acpi-*", "an object of the ACPI interpreter", "drivers/acpi/acpica/utalloc.c"),
    ("aio_kiocb", "an asynchronous read or write (io_submit)", "fs/aio.c"),
    ("anon_vma", "links a frame of anonymous memory to the mappings it can be in", "mm/rmap.c"),
    ("anon_vma_chain", "links a mapping to an anon_vma", "mm/rmap.c"),
    ("avc_node", "a cached decision of SELinux", "security/selinux/avc.c"),
    ("bdev_cache", "a block device", "block/bdev.c"),
    ("bio-*", "a request to a block device, with what its driver adds", "block/bio.c"),
    ("biovec-*", "the list of the pages of a large request to a block device", "block/bio.c"),
    ("blkdev_ioc", "the block I/O state of a process", "block/blk-ioc.c"),
    ("btrfs_extent_buffer", "a block of btrfs metadata in memory", "fs/btrfs/extent_io.c"),
    ("btrfs_inode", "an inode of btrfs", "fs/btrfs/inode.c"),
    ("buffer_head", "the state of a block of a file or block device that is in the page cache", "fs/buffer.c"),
    ("cred", "the users, groups and capabilities of threads", "kernel/cred.c"),
    ("cred_jar", "the users, groups and capabilities of threads", "kernel/cred.c"),
    ("debugfs_inode_cache", "an inode of debugfs", "fs/debugfs/inode.c"),
    ("dentry", "a cached name in a directory; a negative one records that the name does not exist", "fs/dcache.c"),
    ("dma-kmalloc-*", "allocations of up to this many bytes for devices limited to low memory", "mm/slab_common.c"),
    ("ebitmap_node", "a part of a set in SELinux's policy", "security/selinux/ss/ebitmap.c"),
    ("eventpoll_epi", "a file that an epoll instance watches", "fs/eventpoll.c"),
    ("eventpoll_pwq", "a wait queue entry of an epoll instance", "fs/eventpoll.c"),
    ("ext4_extent_status", "where a part of an ext4 file is on disk, or a note that it is not allocated yet", "fs/ext4/extents_status.c"),
    ("ext4_inode_cache", "an inode of ext4, with its in-memory state", "fs/ext4/super.c"),
    ("extent_status", "where a part of an ext4 file is on disk, or a note that it is not allocated yet", "fs/ext4/extents_status.c"),
    ("fat_inode_cache", "an inode of FAT", "fs/fat/inode.c"),
    ("file_lock_cache", "a lock or lease on a file", "fs/locks.c"),
    ("files_cache", "the table of a process's open files", "kernel/fork.c"),
    ("filp", "an open file (struct file)", "fs/file_table.c"),
    ("fs_cache", "root and working directory of a process", "kernel/fork.c"),
    ("ftrace_event_field", "a field of a trace event", "kernel/trace/trace_events.c"),
    ("fuse_inode", "an inode of a filesystem that a process serves (FUSE)", "fs/fuse/inode.c"),
    ("fuse_request", "a request to a process that serves a filesystem (FUSE)", "fs/fuse/dev.c"),
    ("hugetlbfs_inode_cache", "an inode of hugetlbfs", "fs/hugetlbfs/inode.c"),
    ("inode_cache", "an inode of a filesystem that has no cache of its own", "fs/inode.c"),
    ("inotify_inode_mark", "a file or directory that is watched through inotify", "fs/notify/inotify/inotify_user.c"),
    ("io_kiocb", "a request of io_uring", "io_uring/io_uring.c"),
    ("rtable", "a route that packets take", "net/ipv4/route.c"),
    ("ip_dst_cache", "a route that packets take", "net/ipv4/route.c"),
    ("isofs_inode_cache", "an inode of a CD image", "fs/isofs/inode.c"),
    ("jbd2_journal_head", "a block that is part of a transaction of ext4's journal", "fs/jbd2/journal.c"),
    ("kernfs_node_cache", "a file or directory of sysfs or of the cgroup tree", "fs/kernfs/mount.c"),
    ("key_jar", "a key of a keyring", "security/keys/key.c"),
    ("kioctx", "a context of asynchronous reads and writes (io_setup)", "fs/aio.c"),
    ("kmalloc-*", "general-purpose allocations of up to this many bytes", "mm/slab_common.c"),
    ("kmalloc-cg-*", "general-purpose allocations of up to this many bytes, charged to a cgroup", "mm/slab_common.c"),
    ("kmalloc-rcl-*", "general-purpose allocations of up to this many bytes, reclaimable", "mm/slab_common.c"),
    ("kmalloc-rnd-*", "general-purpose allocations of up to this many bytes, spread randomly over several caches", "mm/slab_common.c"),
    ("kmem_cache", "a slab cache itself (struct kmem_cache)", "mm/slab_common.c"),
    ("kmem_cache_node", "the slab lists of a cache on a node", "mm/slub.c"),
    ("ksm_rmap_item", "a page that KSM scans", "mm/ksm.c"),
    ("ksm_stable_node", "a page that KSM has merged others into", "mm/ksm.c"),
    ("kvm_vcpu", "a virtual CPU of a KVM guest", "virt/kvm/kvm_main.c"),
    ("lsm_inode_cache", "the state of security modules for an inode", "security/security.c"),
    ("maple_node", "a node of a maple tree, which holds the mappings of an address space", "lib/maple_tree.c"),
    ("memdup_user-*", "a kernel copy of data from a process", "mm/util.c"),
    ("mm_struct", "an address space", "kernel/fork.c"),
    ("mnt_cache", "a mount", "fs/namespace.c"),
    ("mqueue_inode_cache", "an inode of a POSIX message queue", "ipc/mqueue.c"),
    ("msg_msg-*", "a message of a System V or POSIX queue", "ipc/msgutil.c"),
    ("names_cache", "a path given to a system call, during its lookup", "fs/dcache.c"),
    ("nf_conntrack", "a connection tracked by netfilter", "net/netfilter/nf_conntrack_core.c"),
    ("nfs_inode_cache", "an inode of an NFS mount", "fs/nfs/inode.c"),
    ("nsproxy", "the namespaces of processes", "kernel/nsproxy.c"),
    ("numa_policy", "a NUMA policy of a process or mapping", "mm/mempolicy.c"),
    ("ovl_inode", "an inode of overlayfs, as used by containers", "fs/overlayfs/super.c"),
    ("page->ptl", "the lock of a page table, if it does not fit into struct page", "mm/memory.c"),
    ("perf_event", "an event that perf counts or samples", "kernel/events/core.c"),
    ("pid", "an ID of a process, process group, session or thread", "kernel/pid.c"),
    ("pool_workqueue", "a workqueue's link to a worker pool", "kernel/workqueue.c"),
    ("posix_timers_cache", "a timer of timer_create", "kernel/time/posix-timers.c"),
    ("proc_inode_cache", "an inode of /proc", "fs/proc/inode.c"),
    ("radix_tree_node", "a node of an XArray: most of them index the page cache", "lib/radix-tree.c"),
    ("request_sock_TCP", "a TCP connection that is being opened", "net/ipv4/tcp_ipv4.c"),
    ("seq_file", "an open file with generated contents, as in /proc", "fs/seq_file.c"),
    ("shmem_inode_cache", "an inode of tmpfs, of a memfd or of other shared memory", "mm/shmem.c"),
    ("sighand_cache", "the signal handlers of a process", "kernel/fork.c"),
    ("signal_cache", "state shared by the threads of a process: signals, limits, accounting (struct signal_struct)", "kernel/fork.c"),
    ("sigqueue", "a pending signal", "kernel/signal.c"),
    ("skbuff_fclone_cache", "the head of a network packet with room for a clone, as TCP sends them", "net/core/skbuff.c"),
    ("skbuff_head_cache", "the head of a network packet", "net/core/skbuff.c"),
    ("skbuff_small_head", "the data of a small network packet, or the headers of a larger one", "net/core/skbuff.c"),
    ("sock_inode_cache", "the inode of a socket", "net/socket.c"),
    ("squashfs_inode_cache", "an inode of squashfs", "fs/squashfs/super.c"),
    ("task_delay_info", "delay accounting of a thread", "kernel/delayacct.c"),
    ("task_struct", "a thread", "kernel/fork.c"),
    ("TCP", "a TCP socket", "net/ipv4/tcp_ipv4.c"),
    ("tcp_bind_bucket", "a local TCP port that is in use", "net/ipv4/tcp.c"),
    ("TCPv6", "a TCP socket of IPv6", "net/ipv6/tcp_ipv6.c"),
    ("trace_event_file", "an event in an instance of the tracer", "kernel/trace/trace_events.c"),
    ("tw_sock_TCP", "a closed TCP connection in TIME_WAIT", "net/ipv4/tcp_ipv4.c"),
    ("UDP", "a UDP socket", "net/ipv4/udp.c"),
    ("UDPv6", "a UDP socket of IPv6", "net/ipv6/udp.c"),
    ("uid_cache", "a user who has processes", "kernel/user.c"),
    ("UNIX", "a Unix socket", "net/unix/af_unix.c"),
    ("UNIX-STREAM", "a Unix stream socket", "net/unix/af_unix.c"),
    ("userfaultfd_ctx_cache", "an open userfaultfd", "fs/userfaultfd.c"),
    ("vm_area_struct", "a mapping of an address space (VMA)", "kernel/fork.c, later mm/vma_init.c"),
    ("vmap_area", "a range of vmalloc addresses", "mm/vmalloc.c"),
    ("xfs_ili", "the log item of an XFS inode", "fs/xfs/xfs_super.c"),
    ("xfs_inode", "an inode of XFS", "fs/xfs/xfs_super.c"),
    ("zswap_entry", "a page that zswap keeps compressed", "mm/zswap.c"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_own_meaning_before_that_of_its_family() {
        let source = |name| meaning(name).map(|(what, _)| what.split(' ').next_back().unwrap_or_default());
        assert_eq!(source("kmalloc-64"), Some("bytes"));
        assert_eq!(source("kmalloc-cg-64"), Some("cgroup"));
        assert_eq!(source("kmalloc-rcl-64"), Some("reclaimable"));
        assert_eq!(source("Acpi-State"), Some("interpreter"));
        assert_eq!(source("no such cache"), None);
    }

    #[test]
    fn no_name_is_there_twice() {
        let names: std::collections::BTreeSet<_> = KNOWN.iter().map(|(name, ..)| name).collect();
        assert_eq!(names.len(), KNOWN.len());
    }
}
