//! Threads, which the kernel may refuse (RLIMIT_NPROC, `pids.max`): the work is then done by the threads there are.

use std::num::NonZero;
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism};

/// How many threads are worth starting, this one included: one for each CPU that this process may use, up to `most`.
pub fn worthwhile(most: usize) -> usize {
    available_parallelism().map_or(1, NonZero::get).min(most)
}

/// Starts a thread; `None` if the kernel refuses. `work` is then dropped without being called.
pub fn start<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Option<ScopedJoinHandle<'scope, T>> {
    Builder::new().spawn_scoped(scope, work).ok()
}

/// Waits for a thread. One that panicked has reported it; its panic continues here.
pub fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Work on another thread, or its result if there could be none.
pub enum Work<'scope, T> {
    /// Another thread does it.
    Elsewhere(ScopedJoinHandle<'scope, T>),
    /// It is done.
    Done(T),
}

impl<'scope, T: Send + 'scope> Work<'scope, T> {
    /// Begins `work` on another thread; does it at once if there can be none.
    pub fn begin(scope: &'scope Scope<'scope, '_>, work: impl Fn() -> T + Send + Clone + 'scope) -> Self {
        match start(scope, work.clone()) {
            Some(thread) => Self::Elsewhere(thread),
            None => Self::Done(work()),
        }
    }

    /// The result.
    pub fn wait(self) -> T {
        match self {
            Self::Elsewhere(thread) => join(thread),
            Self::Done(result) => result,
        }
    }
}
