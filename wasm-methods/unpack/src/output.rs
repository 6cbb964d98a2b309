//! Files that are written from their beginning to their end. In a sandbox each write of the usual library crosses its
//! border in pieces of four kilobytes; here it crosses once.

#[cfg(target_os = "wasi")]
pub(crate) use direct::Folders;
#[cfg(not(target_os = "wasi"))]
pub(crate) use usual::Folders;

#[cfg(target_os = "wasi")]
mod direct {
    use std::io;
    use std::path::Path;
    use wasip2::filesystem::preopens::get_directories;
    use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

    /// The folders that were granted, as the host calls them.
    pub(crate) struct Folders(Vec<(Descriptor, String)>);

    /// A file that is being written.
    pub(crate) struct Out {
        file: Descriptor,
        at: u64,
    }

    impl Folders {
        pub(crate) fn new() -> Folders {
            Folders(get_directories())
        }

        /// An empty file.
        pub(crate) fn create(&self, path: &Path) -> io::Result<Out> {
            let path = path.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
            let below = |name: &str| {
                let rest = path.strip_prefix(name.trim_end_matches('/'))?.strip_prefix('/')?;
                (!rest.is_empty()).then(|| rest.to_owned())
            };
            let found = self.0.iter().filter_map(|(folder, name)| Some((name.len(), folder, below(name)?)));
            let (_, folder, rest) = found.max_by_key(|(length, ..)| *length).ok_or(io::ErrorKind::NotFound)?;
            let how = OpenFlags::CREATE | OpenFlags::TRUNCATE;
            let file = folder.open_at(PathFlags::empty(), &rest, how, DescriptorFlags::WRITE).map_err(failed)?;
            Ok(Out { file, at: 0 })
        }
    }

    impl Out {
        pub(crate) fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
            while !bytes.is_empty() {
                let count = self.file.write(bytes, self.at).map_err(failed)?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                self.at += count;
                bytes = &bytes[usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len())..];
            }
            Ok(())
        }
    }

    fn failed(code: ErrorCode) -> io::Error {
        let kind = match code {
            ErrorCode::InsufficientSpace => io::ErrorKind::StorageFull,
            ErrorCode::Access | ErrorCode::NotPermitted | ErrorCode::ReadOnly => io::ErrorKind::PermissionDenied,
            ErrorCode::NoEntry => io::ErrorKind::NotFound,
            _ => io::ErrorKind::Other,
        };
        io::Error::new(kind, code.message())
    }
}

#[cfg(not(target_os = "wasi"))]
mod usual {
    use std::fs::File;
    use std::io::{self, Write};
    use std::path::Path;

    pub(crate) struct Folders;

    pub(crate) struct Out(File);

    impl Folders {
        pub(crate) fn new() -> Folders {
            Folders
        }

        pub(crate) fn create(&self, path: &Path) -> io::Result<Out> {
            File::create(path).map(Out)
        }
    }

    impl Out {
        pub(crate) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.0.write_all(bytes)
        }
    }
}
