//! A component that means ill: the parameter `deed` says how. The tests of the sandbox run it; each deed ends with what
//! it achieved, so that a test sees whether it got through.

use regent_method::{Failure, Level, Method, Request};
use std::fs;
use std::io::Write;
use std::net::TcpStream;

struct Hostile;

impl Method for Hostile {
    fn create_replica(request: Request) -> Result<(), Failure> {
        let data = request.data_directory.clone();
        let target = request.parameter("target").unwrap_or_default().to_owned();
        match request.parameter("deed").unwrap_or_default() {
            "spin" => spin(),
            "hoard" => hoard(),
            "read" => told(fs::read_to_string(&target)),
            "write" => told(fs::write(&target, "owned").map(|()| "written".into())),
            "follow" => {
                let link = format!("{data}/link");
                let linked = link_to(&target, &link);
                told(linked.and_then(|()| fs::read_to_string(&link)))
            }
            "plant" => {
                fs::create_dir_all(format!("{data}/base")).map_err(failed)?;
                fs::write(format!("{data}/PG_VERSION"), "15").map_err(failed)?;
                link_to(&target, &format!("{data}/{}", request.parameter("at").unwrap_or("pg_wal"))).map_err(failed)
            }
            "connect" => told(TcpStream::connect(&target).map(|_| "connected".into())),
            "flood" => flood(),
            "chatter" => chatter(),
            "panic" => panic!("a panic on purpose"),
            "trap" => trap(),
            "recurse" => told(Ok(recurse(1).to_string())),
            "environment" => told(Ok(format!("{:?} {:?}", std::env::vars().collect::<Vec<_>>(), std::env::args()))),
            "lie" => Err(Failure::Fatal(format!("\u{1b}[2J\n{}", "x".repeat(10 << 20)))),
            "open" => {
                fs::write(format!("{data}/PG_VERSION"), "15").map_err(failed)?;
                fs::create_dir_all(format!("{data}/base/1")).map_err(failed)?;
                fs::write(format!("{data}/base/1/2"), "x").map_err(failed)
            }
            other => Err(Failure::Fatal(format!("no such deed: {other}"))),
        }
    }
}

/// A deed that got what it wanted says it as an error, which the test reads.
fn told(result: std::io::Result<String>) -> Result<(), Failure> {
    Err(Failure::TryNext(match result {
        Ok(got) => format!("got through: {got}"),
        Err(error) => format!("was refused: {error}"),
    }))
}

fn failed(error: std::io::Error) -> Failure {
    Failure::TryNext(format!("was refused: {error}"))
}

#[cfg(target_os = "wasi")]
#[allow(deprecated)]
fn link_to(target: &str, link: &str) -> std::io::Result<()> {
    unsafe extern "C" {
        fn symlink(target: *const core::ffi::c_char, link: *const core::ffi::c_char) -> i32;
    }
    let text = |text: &str| std::ffi::CString::new(text).map_err(std::io::Error::other);
    let (target, link) = (text(target)?, text(link)?);
    // SAFETY: both are C strings that live until the call is over.
    if unsafe { symlink(target.as_ptr(), link.as_ptr()) } == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(not(target_os = "wasi"))]
fn link_to(_: &str, _: &str) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn spin() -> Result<(), Failure> {
    regent_method::log(Level::Info, "spinning");
    regent_method::report(&regent_method::Progress {
        bytes: 0,
        bytes_total: None,
        files: None,
        message: "spinning".into(),
    });
    let mut n = 0_u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

fn hoard() -> Result<(), Failure> {
    let mut all = Vec::new();
    loop {
        all.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

fn flood() -> Result<(), Failure> {
    let line = [b'x'; 4095];
    let mut out = std::io::stdout();
    for _ in 0..(1_u64 << 30) / 4096 {
        out.write_all(&line).and_then(|()| out.write_all(b"\n")).map_err(failed)?;
    }
    Err(Failure::TryNext("wrote it all".into()))
}

fn chatter() -> Result<(), Failure> {
    let progress =
        regent_method::Progress { bytes: u64::MAX, bytes_total: Some(0), files: None, message: "m".repeat(10_000) };
    for _ in 0..5_000 {
        regent_method::report(&progress);
    }
    Err(Failure::TryNext("said it all".into()))
}

fn trap() -> Result<(), Failure> {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    Ok(())
}

#[allow(unconditional_recursion)]
fn recurse(n: u64) -> u64 {
    std::hint::black_box(recurse(std::hint::black_box(n + 1)) + n)
}

regent_method::export!(Hostile with_types_in regent_method::bindings);
