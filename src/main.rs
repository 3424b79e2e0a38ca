//! `pmem`: see the library for what it does.

use pmem::cli::{self, status::Status};

fn main() -> Status {
    cli::run(std::env::args_os())
}
