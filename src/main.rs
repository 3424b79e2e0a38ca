//! `pmem`: everything is in the library.

use pmem::cli::{self, status::Status};

fn main() -> Status {
    cli::run(std::env::args_os())
}
