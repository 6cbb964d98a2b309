//! Says what a component was refused, and which setting would allow it. A component that looks for a file outside of its
//! folders would not even ask us: an empty folder as `/` makes it ask.

use super::guest::State;
use super::message::{Level, Order};
use std::fs::DirBuilder;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::PathBuf;
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::filesystem::{Descriptor, FsPerms, WasiFilesystemView};
use wasmtime_wasi::p2::FsError;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, ErrorCode, HostDescriptor, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup::{
    Host as _, HostResolveAddressStream, IpAddress, ResolveAddressStream,
};
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode as NetworkError, Network};
use wasmtime_wasi::sockets::WasiSocketsView;

/// How many different refusals are told: the first ones say what is missing.
const TOLD_MAX: usize = 30;

/// The interfaces whose functions are overridden here, as the runtime calls them.
const FILES: &str = "wasi:filesystem/types@0.2.12";
const NAMES: &str = "wasi:sockets/ip-name-lookup@0.2.12";

/// The folder that stands for everything outside of the granted ones: which it is.
pub(super) type Outside = (u64, u64);

/// Puts an empty folder, of which nothing is left but our hold on it, in the place of `/`.
pub(super) fn show_nothing(wasi: &mut WasiCtxBuilder, order: &Order) -> Option<Outside> {
    if order.directories.iter().any(|directory| directory.seen_as == "/") {
        return None;
    }
    let path = order.directories.first()?.path.join(".outside");
    DirBuilder::new().mode(0o500).create(&path).ok()?;
    let identity = std::fs::metadata(&path).map(|meta| (meta.dev(), meta.ino()));
    let shown = wasi.preopened_dir(&path, "/", FsPerms::ReadOnly).is_ok();
    std::fs::remove_dir(&path).ok()?;
    identity.ok().filter(|_| shown)
}

/// Overrides what is asked first of files and names.
pub(super) fn listen(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    files(linker)?;
    names(linker)?;
    linker.allow_shadowing(false);
    Ok(())
}

type Store<'a> = StoreContextMut<'a, State>;
type Asked = (Resource<Descriptor>, PathFlags, String);

fn files(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut files = linker.instance(FILES)?;
    type Open = (Resource<Descriptor>, PathFlags, String, OpenFlags, DescriptorFlags);
    files.func_wrap_async("[method]descriptor.open-at", |mut store: Store<'_>, asked: Open| {
        Box::new(async move {
            let (folder, links, path, how, flags) = asked;
            let (state, number, name) = (store.data_mut(), folder.rep(), path.clone());
            let writing = how.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE)
                || flags.intersects(DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY);
            let opened = state.filesystem().open_at(folder, links, path, how, flags).await;
            Ok((state.answered(opened, number, &name, writing)?,))
        })
    })?;
    files.func_wrap_async("[method]descriptor.stat-at", |mut store: Store<'_>, (folder, links, path): Asked| {
        Box::new(async move {
            let (state, number, name) = (store.data_mut(), folder.rep(), path.clone());
            let found: Result<DescriptorStat, FsError> = state.filesystem().stat_at(folder, links, path).await;
            Ok((state.answered(found, number, &name, false)?,))
        })
    })?;
    type Make = (Resource<Descriptor>, String);
    files.func_wrap_async("[method]descriptor.create-directory-at", |mut store: Store<'_>, (folder, path): Make| {
        Box::new(async move {
            let (state, number, name) = (store.data_mut(), folder.rep(), path.clone());
            let made = state.filesystem().create_directory_at(folder, path).await;
            Ok((state.answered(made, number, &name, true)?,))
        })
    })
}

fn names(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut names = linker.instance(NAMES)?;
    names.func_wrap("resolve-addresses", |mut store: Store<'_>, (network, name): (Resource<Network>, String)| {
        let state = store.data_mut();
        if !state.network.may_look_up(&name) {
            state.tell(format!("refused: a question for the address of {name}; `hosts` of the method would allow it"));
            return Ok((Err(NetworkError::AccessDenied),));
        }
        Ok((match state.sockets().resolve_addresses(network, name.clone()) {
            Ok(stream) => {
                state.lookups.insert(stream.rep(), name);
                Ok(stream)
            }
            Err(error) => Err(error.downcast()?),
        },))
    })?;
    let next = "[method]resolve-address-stream.resolve-next-address";
    names.func_wrap(next, |mut store: Store<'_>, (stream,): (Resource<ResolveAddressStream>,)| {
        let (state, number) = (store.data_mut(), stream.rep());
        Ok((match state.sockets().resolve_next_address(stream) {
            Ok(address) => {
                if let (Some(address), Some(name)) = (&address, state.lookups.get(&number)) {
                    state.network.resolved(name, ip(address));
                }
                Ok(address)
            }
            Err(error) => Err(error.downcast()?),
        },))
    })
}

fn ip(address: &IpAddress) -> IpAddr {
    match *address {
        IpAddress::Ipv4((a, b, c, d)) => IpAddr::from([a, b, c, d]),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => IpAddr::from([a, b, c, d, e, f, g, h]),
    }
}

impl State {
    /// Tells of a refusal, once.
    pub(super) fn tell(&mut self, text: String) {
        if self.told.len() < TOLD_MAX && self.told.insert(text.clone()) {
            self.reporter.log(Level::Warn, &text);
        }
    }

    /// The answer as the component gets it, told where it is a refusal.
    fn answered<T>(
        &mut self,
        answer: Result<T, FsError>,
        folder: u32,
        name: &str,
        writing: bool,
    ) -> wasmtime::Result<Result<T, ErrorCode>> {
        let code = match answer {
            Ok(got) => return Ok(Ok(got)),
            Err(error) => error.downcast()?,
        };
        if let Some((path, outside, writable)) = self.folder(folder) {
            let refused = matches!(code, ErrorCode::NotPermitted | ErrorCode::Access | ErrorCode::ReadOnly);
            if outside {
                let name = name.trim_start_matches("./");
                self.tell(format!("refused: /{name} is in no folder that `directories` of the method grants"));
            } else if refused && writing && !writable {
                let path = path.join(name);
                let way = "`writable: true` of its folder in `directories` of the method would allow it";
                self.tell(format!("refused: to write to {}; {way}", path.display()));
            } else if refused {
                let way = "`directories` of the method can grant where it leads";
                self.tell(format!("refused: {} leads out of its folder; {way}", path.join(name).display()));
            }
        }
        Ok(Err(code))
    }

    /// Which folder it is: where, whether it stands for what is outside, whether it may be written to.
    fn folder(&self, number: u32) -> Option<(PathBuf, bool, bool)> {
        let Descriptor::Dir(folder) = self.table.get(&Resource::new_borrow(number)).ok()? else {
            return None;
        };
        let path = std::fs::read_link(format!("/proc/self/fd/{}", folder.dir.as_raw_fd())).unwrap_or_default();
        let meta = folder.dir.metadata().ok()?;
        Some((path, self.outside == Some((meta.dev(), meta.ino())), folder.perms == FsPerms::ReadWrite))
    }
}
