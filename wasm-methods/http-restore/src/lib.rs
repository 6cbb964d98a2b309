//! Restores a base backup in tar form from an HTTP server or an object store: `base.tar`, `pg_wal.tar`, `OID.tar` for
//! tablespaces, each plain, `.gz` or `.zst`, and beside them `SHA256SUMS`, as `sha256sum` writes it, which says what
//! there is and what must have come.
//!
//! Parameters: `url`, the folder of the backup; `attempts`, how often an archive is asked for in vain before it is given
//! up (5). The variable `HTTP_AUTHORIZATION` is sent as that header, to the server of `url` alone. The variables
//! `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` sign each request to that server as S3 wants it, `AWS_SESSION_TOKEN`
//! goes with them; the parameters `region` and `endpoint` say where `s3://BUCKET/PREFIX` is.
#![cfg_attr(not(target_os = "wasi"), allow(dead_code, reason = "outside of a sandbox only the tests ask servers"))]

mod aws;
mod body;
mod sums;
#[cfg(target_os = "wasi")]
mod web;

use aws::Signer;
use body::{Body, Fetch};
use regent_method::{Failure, Level, Method, Request};
use std::io::{BufReader, Read};
use sums::{Checked, Sum};
use unpack::{BUFFER_BYTES, Done, Error, Unpacker, archive_name, decompressed};

/// The file that says what there is. A backup of a thousand tablespaces has one of 100 KB.
const SUMS: &str = "SHA256SUMS";
const SUMS_BYTES_MAX: u64 = 1 << 20;

/// How often an archive is asked for in vain, where nobody says.
const ATTEMPTS: u32 = 5;

struct HttpRestore;

impl Method for HttpRestore {
    fn create_replica(request: Request) -> Result<(), Failure> {
        run(&request)
    }

    fn bootstrap(request: Request) -> Result<(), Failure> {
        run(&request)
    }
}

fn run(request: &Request) -> Result<(), Failure> {
    let Some(url) = request.parameter("url") else {
        return Err(Failure::Fatal("the parameter `url` is missing: where is the backup?".into()));
    };
    let attempts = request.parameter("attempts").and_then(|text| text.parse().ok()).unwrap_or(ATTEMPTS);
    let parameter = |name: &str| request.parameter(name).map(str::to_owned);
    let signer = Signer::of(&|name| std::env::var(name).ok(), &parameter).map_err(Failure::Fatal)?;
    let region = signer.as_ref().map_or_else(String::new, |signer| signer.region().to_owned());
    if url.starts_with("s3://") && signer.is_none() {
        let why = "`environment` grants no AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, which s3:// needs";
        return Err(Failure::Fatal(why.into()));
    }
    let url = &aws::resolved(url, request.parameter("endpoint"), &region);
    let places = regent_method::places().into_iter().map(|place| (place.name, place.path)).collect();
    let unpacker = Unpacker::new(request.data_directory.as_ref(), places, report);
    let done = fetching(url, signer, attempts, unpacker).map_err(|error| Failure::TryNext(error.to_string()))?;
    regent_method::log(Level::Info, &format!("restored {} files, {} bytes from {url}", done.files, done.bytes));
    Ok(())
}

#[cfg(target_os = "wasi")]
fn fetching(url: &str, signer: Option<Signer>, attempts: u32, unpacker: Unpacker<'_>) -> Result<Done, Error> {
    restore(&mut web::Web::new(std::env::var("HTTP_AUTHORIZATION").ok(), signer), url, attempts, unpacker)
}

#[cfg(not(target_os = "wasi"))]
fn fetching(_: &str, _: Option<Signer>, _: u32, _: Unpacker<'_>) -> Result<Done, Error> {
    Err(Error::Missing("there is no HTTP outside of a sandbox".into()))
}

fn restore(fetch: &mut dyn Fetch, url: &str, attempts: u32, mut unpacker: Unpacker<'_>) -> Result<Done, Error> {
    let folder = url.trim_end_matches('/');
    let sums = sums(fetch, folder, attempts)?;
    if !sums.iter().any(|sum| archive_name(&sum.file) == Some("base")) {
        return Err(Error::Missing(format!("{folder}/{SUMS} names no base.tar, base.tar.gz or base.tar.zst")));
    }
    for sum in &sums {
        let Some(name) = archive_name(&sum.file) else {
            continue;
        };
        let url = format!("{folder}/{}", sum.file);
        let failed = |error| Error::Io(url.clone().into(), error);
        let body = Body::open(fetch, &url, attempts).map_err(failed)?;
        let mut checked = Checked::new(body);
        let input = BufReader::with_capacity(BUFFER_BYTES, &mut checked);
        unpacker.archive(name, &url, decompressed(&sum.file, input).map_err(failed)?)?;
        // What stands behind the end of an archive belongs to the file as well.
        std::io::copy(&mut checked, &mut std::io::sink()).map_err(failed)?;
        checked.compare(&sum.digest).map_err(failed)?;
    }
    unpacker.finish()
}

fn sums(fetch: &mut dyn Fetch, folder: &str, attempts: u32) -> Result<Vec<Sum>, Error> {
    let url = format!("{folder}/{SUMS}");
    let failed = |error| Error::Io(url.clone().into(), error);
    let mut text = String::new();
    let body = Body::open(fetch, &url, attempts).map_err(failed)?;
    body.take(SUMS_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    sums::parse(&text).map_err(failed)
}

fn report(done: &Done, archive: &str) {
    regent_method::report(&regent_method::Progress {
        bytes: done.bytes,
        bytes_total: None,
        files: Some(done.files),
        message: archive.to_owned(),
    });
}

regent_method::export!(HttpRestore with_types_in regent_method::bindings);

#[cfg(test)]
mod tests;
