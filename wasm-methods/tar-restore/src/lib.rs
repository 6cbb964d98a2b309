//! Restores a base backup in tar form, as `pg_basebackup --format=tar` writes it: `base.tar`, `pg_wal.tar`, `OID.tar` for
//! tablespaces, each plain, `.gz` or `.zst`.
//!
//! Parameters: `directory`, where the backup is.

mod backup;

use regent_method::{Failure, Level, Method, Request};
use unpack::{Done, Unpacker};

struct TarRestore;

impl Method for TarRestore {
    fn create_replica(request: Request) -> Result<(), Failure> {
        restore(&request)
    }

    fn bootstrap(request: Request) -> Result<(), Failure> {
        restore(&request)
    }
}

fn restore(request: &Request) -> Result<(), Failure> {
    let Some(directory) = request.parameter("directory") else {
        return Err(Failure::Fatal("the parameter `directory` is missing: where is the backup?".into()));
    };
    let places = regent_method::places().into_iter().map(|place| (place.name, place.path)).collect();
    let restored = backup::Backup::find(directory.as_ref())
        .and_then(|backup| backup.restore(Unpacker::new(request.data_directory.as_ref(), places, report)));
    match restored {
        Ok(done) => {
            let text = format!("restored {} files, {} bytes from {directory}", done.files, done.bytes);
            regent_method::log(Level::Info, &text);
            Ok(())
        }
        Err(error) => Err(Failure::TryNext(error.to_string())),
    }
}

fn report(done: &Done, archive: &str) {
    regent_method::report(&regent_method::Progress {
        bytes: done.bytes,
        bytes_total: None,
        files: Some(done.files),
        message: archive.to_owned(),
    });
}

regent_method::export!(TarRestore with_types_in regent_method::bindings);
