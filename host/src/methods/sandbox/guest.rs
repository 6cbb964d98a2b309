//! A component with its grants: what it is linked to, what it sees, how much it may take.

use super::child::Refused;
use super::http::Sender;
use super::message::{Level, Order, Purpose, Report, tame};
use super::network::Network;
use super::output::{Lines, Reporter};
use super::refusals::{self, Outside};
use super::wall::MEMORIES_MAX;
use bindings::regent::method::{host, pgdata, types};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use wasmtime::component::{Component, HasSelf, Instance, Linker, ResourceTable};
use wasmtime::{Engine, ResourceLimiter, Store, UpdateDeadline};
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

#[allow(missing_docs, clippy::all)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../wasm-methods/wit",
        inline: "
            package regent:inside;
            world host {
                use regent:method/types@1.0.0.{request, failure};
                import regent:method/host@1.0.0;
                import regent:method/pgdata@1.0.0;
            }
        ",
    });
}

/// The longest reason that is taken from a component, in characters.
const REASON_CHARS_MAX: usize = 1000;

/// How many entries all tables of a component may have together: functions that it calls by number.
const TABLE_ENTRIES_MAX: usize = 1_000_000;

/// How many files, sockets and streams it may hold at once.
const RESOURCES_MAX: usize = 10_000;

/// A component, ready to run.
pub(super) struct Guest {
    store: Store<State>,
    linker: Linker<State>,
    component: Component,
}

/// What the functions that a component calls know.
pub(super) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    sender: Sender,
    pub(super) table: ResourceTable,
    limits: Limits,
    pub(super) reporter: Reporter,
    places: Vec<(String, String)>,
    pub(super) network: Network,
    /// The names behind the lookups that are under way.
    pub(super) lookups: BTreeMap<u32, String>,
    /// The folder that stands for all that was not granted.
    pub(super) outside: Option<Outside>,
    /// The refusals that were told.
    pub(super) told: BTreeSet<String>,
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.sender, table: &mut self.table, ctx: &mut self.http }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// What is said when the time is up.
pub(super) fn too_late(limit: Duration) -> String {
    format!("it took longer than {} seconds: `timeout` of the method says how long it may take", limit.as_secs())
}

/// All that a component can ask for.
pub(super) fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    refusals::listen(&mut linker)?;
    host::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state)?;
    pgdata::add_to_linker::<_, HasSelf<_>>(&mut linker, |state: &mut State| state)?;
    Ok(linker)
}

/// The function that makes what is wanted.
pub(super) fn entry(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Bootstrap => "bootstrap",
        Purpose::Replica => "create-replica",
    }
}

impl Guest {
    pub(super) fn new(
        engine: &Engine,
        component: &Component,
        order: &Order,
        reporter: &Reporter,
    ) -> Result<Guest, Refused> {
        let failed = |error: wasmtime::Error| Refused(format!("{error:#}"));
        let linker = linker(engine).map_err(failed)?;
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        let network = Network::of(&order.hosts)?;
        let (wasi, outside) = wasi(order, reporter, &network)?;
        let state = State {
            wasi,
            http: WasiHttpCtx::new(),
            sender: Sender::new(&network, reporter, order)?,
            table,
            limits: Limits::new(order.memory_bytes_max),
            reporter: reporter.clone(),
            places: order.places.clone(),
            network,
            lookups: BTreeMap::new(),
            outside,
            told: BTreeSet::new(),
        };
        let mut store = Store::new(engine, state);
        store.limiter(|state| &mut state.limits);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Yield(1)));
        Ok(Guest { store, linker, component: component.clone() })
    }

    /// Runs it to its end; dropping the future interrupts it.
    pub(super) async fn run(mut self, order: &Order) -> Report {
        let instance = match self.linker.instantiate_async(&mut self.store, &self.component).await {
            Ok(instance) => instance,
            Err(error) => return self.broken("it asks for something that no method gets", &error),
        };
        let entry = entry(order.purpose);
        if instance.get_export_index(&mut self.store, None, entry).is_some() {
            return self.call(&instance, entry, order).await;
        }
        match Command::new(&mut self.store, &instance) {
            Ok(command) => {
                let ended = command.wasi_cli_run().call_run(&mut self.store).await;
                self.exited(ended)
            }
            Err(_) => Report::TryNext(format!("the component is no command, and has no function {entry}")),
        }
    }

    async fn call(&mut self, instance: &Instance, entry: &str, order: &Order) -> Report {
        type Answer = (Result<(), types::Failure>,);
        let function = match instance.get_typed_func::<(types::Request,), Answer>(&mut self.store, entry) {
            Ok(function) => function,
            Err(error) => return self.broken("its function has another form", &error),
        };
        match function.call_async(&mut self.store, (request(order),)).await {
            Ok((Ok(()),)) => Report::Done,
            Ok((Err(types::Failure::TryNext(why)),)) => Report::TryNext(tame(&why, REASON_CHARS_MAX)),
            Ok((Err(types::Failure::Fatal(why)),)) => Report::Fatal(tame(&why, REASON_CHARS_MAX)),
            Err(error) => self.broken("it broke down", &error),
        }
    }

    fn exited(&self, ended: wasmtime::Result<Result<(), ()>>) -> Report {
        match ended {
            Ok(Ok(())) => Report::Done,
            Ok(Err(())) => Report::TryNext("exited with code=1".into()),
            Err(error) => match error.downcast_ref::<I32Exit>() {
                Some(I32Exit(0)) => Report::Done,
                Some(I32Exit(code)) => Report::TryNext(format!("exited with code={code}")),
                None => self.broken("it broke down", &error),
            },
        }
    }

    /// The reason of a trap; where a bound was the reason, the bound.
    fn broken(&self, what: &str, error: &wasmtime::Error) -> Report {
        Report::TryNext(match &self.store.data().limits.refused {
            Some(bound) => bound.clone(),
            None => tame(&format!("{what}: {error:#}"), REASON_CHARS_MAX),
        })
    }
}

fn request(order: &Order) -> types::Request {
    types::Request {
        scope: order.scope.clone(),
        data_directory: order.directories.first().map(|data| data.seen_as.clone()).unwrap_or_default(),
        role: match order.purpose {
            Purpose::Bootstrap => types::Role::Primary,
            Purpose::Replica => types::Role::Replica,
        },
        connection: order.connection.clone(),
        parameters: order.parameters.clone(),
    }
}

fn wasi(order: &Order, reporter: &Reporter, network: &Network) -> Result<(WasiCtx, Option<Outside>), Refused> {
    let mut wasi = WasiCtxBuilder::new();
    // There is nobody else on this thread.
    wasi.allow_blocking_current_thread(true);
    wasi.stdout(Lines::new(reporter.clone(), Level::Info)).stderr(Lines::new(reporter.clone(), Level::Warn));
    wasi.args(&order.arguments);
    for (name, value) in &order.environment {
        wasi.env(name, value);
    }
    for directory in &order.directories {
        let permissions = if directory.writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        wasi.preopened_dir(&directory.path, &directory.seen_as, permissions).map_err(|error| {
            Refused(format!("cannot open {}, which `directories` grants: {error:#}", directory.path.display()))
        })?;
    }
    let outside = refusals::show_nothing(&mut wasi, order);
    // Which names may be asked for is decided where they are.
    wasi.allow_ip_name_lookup(true).allow_tcp(true);
    let (reporter, network) = (reporter.clone(), network.clone());
    wasi.socket_addr_check(move |address, usage| {
        let allowed = network.may_use(address, usage);
        if !allowed {
            let text = format!("refused: a connection to {address}; `hosts` of the method would allow it");
            reporter.log(Level::Warn, &text);
        }
        Box::pin(std::future::ready(allowed))
    });
    Ok((wasi.build(), outside))
}

impl types::Host for State {}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) {
        let level = match level {
            host::Level::Debug => Level::Debug,
            host::Level::Info => Level::Info,
            host::Level::Warn => Level::Warn,
            host::Level::Error => Level::Error,
        };
        self.reporter.log(level, &message);
    }

    fn report(&mut self, progress: host::Progress) {
        self.reporter.progress(&Report::Progress {
            bytes: progress.bytes,
            bytes_total: progress.bytes_total,
            files: progress.files,
            message: tame(&progress.message, 200),
        });
    }
}

impl pgdata::Host for State {
    fn places(&mut self) -> Vec<pgdata::Place> {
        let place = |(name, path): &(String, String)| pgdata::Place { name: name.clone(), path: path.clone() };
        self.places.iter().map(place).collect()
    }
}

/// How much a component may take.
struct Limits {
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_entries: usize,
    refused: Option<String>,
}

impl Limits {
    fn new(memory_bytes_max: u64) -> Limits {
        let memory_bytes_max = usize::try_from(memory_bytes_max).unwrap_or(usize::MAX);
        Limits { memory_bytes: 0, memory_bytes_max, table_entries: 0, refused: None }
    }

    fn refuse(&mut self, why: String) -> wasmtime::Result<bool> {
        self.refused = Some(why.clone());
        Err(wasmtime::Error::msg(why))
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if wanted > self.memory_bytes_max {
            let max = self.memory_bytes_max / 1024;
            return self
                .refuse(format!("it wants {} KiB of memory: `memory` of the method allows {max}", wanted / 1024));
        }
        self.memory_bytes = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let wanted = self.table_entries.saturating_add(desired.saturating_sub(current));
        if wanted > TABLE_ENTRIES_MAX {
            return self.refuse(format!("it wants tables of {wanted} entries"));
        }
        self.table_entries = wanted;
        Ok(true)
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}
