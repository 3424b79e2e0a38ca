//! `pmem`: everything is in the library.

use pmem::internal::{Status, run};

fn main() -> Status {
    run(std::env::args_os())
}
