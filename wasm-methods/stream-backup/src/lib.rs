//! Takes a base backup from a running server over the replication protocol, as `pg_basebackup` does, with the log that
//! it needs.
//!
//! Whom to ask says the connection string of the request. The password comes from there (`connstring: with-password`),
//! from the variable `PGPASSWORD`, or from the file that `PGPASSFILE` names.
//! Parameters: `checkpoint` (`fast` or `spread`), `max_rate` (kB in a second), `compression` (`gzip` or `zstd`: what the
//! server sends); and libpq's settings for TLS (`sslmode`, `sslrootcert`, `sslcert`, `sslkey`, ...), which count more than
//! those of the connection string. The files that they name must be granted.

mod backup;
mod connection;
mod conninfo;
mod stream;

use connection::Connection;
use conninfo::Conninfo;
use regent_method::{Failure, Level, Method, Request};
use stream::Stream;
use unpack::{Done, Unpacker};

struct StreamBackup;

impl Method for StreamBackup {
    fn create_replica(request: Request) -> Result<(), Failure> {
        let Some(text) = request.connection.as_deref().filter(|text| !text.is_empty()) else {
            return Err(Failure::TryNext("there is no server to copy".into()));
        };
        let done = copy(&request, text).map_err(Failure::TryNext)?;
        regent_method::log(Level::Info, &format!("received {} files, {} bytes", done.files, done.bytes));
        Ok(())
    }
}

fn copy(request: &Request, text: &str) -> Result<Done, String> {
    let conninfo = Conninfo::parse(text)?;
    let parameter = |name: &str| request.parameter(name).map(str::to_owned);
    let variable = |name: &str| std::env::var(name).ok();
    let command = backup::command(&parameter)?;
    let password = conninfo.password(&variable);
    let settings = |name: &str| conninfo.setting(name, &parameter, &variable);
    let connection = Stream::open(&conninfo.host, conninfo.port, &settings)
        .and_then(|stream| Connection::over(stream, &conninfo.user, password.as_deref()))
        .map_err(|error| error.to_string())?;
    let places = regent_method::places().into_iter().map(|place| (place.name, place.path)).collect();
    let total = std::cell::Cell::new(None);
    let report = |done: &Done, archive: &str| {
        regent_method::report(&regent_method::Progress {
            bytes: done.bytes,
            bytes_total: total.get(),
            files: Some(done.files),
            message: archive.to_owned(),
        });
    };
    let unpacker = Unpacker::new(request.data_directory.as_ref(), places, report);
    backup::receive(connection, &command, unpacker, &|bytes| total.set(Some(bytes)))
}

regent_method::export!(StreamBackup with_types_in regent_method::bindings);
