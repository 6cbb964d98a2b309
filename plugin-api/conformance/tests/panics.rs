//! A backend may panic wherever it is entered: the caller is told, the object is of no more use, the process lives on
//! and the next object works.

mod support;

use regent_dcs_mutants::Server;
use regent_plugin_api::abi::{BackendBox, Call, Expect};
use regent_plugin_api::host::{ErrorKind, Key, KeyKind, Lease, OpenOptions, Plugin};
use regent_plugin_api::private::convert;
use std::time::Duration;
use support::library;

/// A call, and the kind of its error.
type Entry = (&'static str, fn(&BackendBox) -> Option<ErrorKind>);

fn call() -> Call {
    Call { id: 1, budget_ms: 20_000 }
}

macro_rules! kind {
    ($answer:expr) => {
        convert::result_from($answer, |_| ()).err().map(|error| error.kind)
    };
}

fn lease() -> regent_plugin_api::abi::Lease {
    convert::lease_to(&Lease { session: "1".to_owned(), version: "1".to_owned(), ttl: Duration::from_secs(1) })
}

fn key() -> regent_plugin_api::abi::Key {
    convert::key_to(&Key::of(KeyKind::Config))
}

const ENTRIES: &[Entry] = &[
    ("load", |object| kind!(object.load(call()))),
    ("acquire_leader", |object| {
        kind!(object.acquire_leader(call(), b"a".as_slice().into(), convert::writes_to(&[]).as_rslice()))
    }),
    ("renew_leader", |object| kind!(object.renew_leader(call(), &lease(), convert::writes_to(&[]).as_rslice()))),
    ("release_leader", |object| kind!(object.release_leader(call(), &lease(), convert::writes_to(&[]).as_rslice()))),
    ("touch_member", |object| kind!(object.touch_member(call(), b"{}".as_slice().into()))),
    ("put", |object| kind!(object.put(call(), &key(), b"1".as_slice().into(), &Expect::Any))),
    ("delete", |object| kind!(object.delete(call(), &key(), &Expect::Any))),
    ("watch", |object| kind!(object.watch(call(), "".into()))),
    ("set_ttl", |object| kind!(object.set_ttl(5000))),
    ("reload", |object| kind!(object.reload("{}".into()))),
    ("delete_cluster", |object| kind!(object.delete_cluster(call()))),
    ("close", |object| kind!(object.close(call()))),
];

struct Bed {
    plugin: Plugin,
    server: Server,
}

impl Bed {
    fn new() -> Bed {
        let plugin = Plugin::load(&library("mutants"), None).expect("our own plugin loads");
        Bed { plugin, server: Server::start().expect("the server starts") }
    }

    fn config(&self, panics_in: &str) -> String {
        format!("{{\"server\": \"{}\", \"panics_in\": \"{panics_in}\"}}", self.server.address())
    }

    fn open(&self, panics_in: &str) -> Result<BackendBox, regent_plugin_api::host::DcsError> {
        self.plugin.open_bare(&OpenOptions {
            namespace: "/service/".to_owned(),
            scope: "demo".to_owned(),
            member: "a".to_owned(),
            ttl: Duration::from_secs(20),
            loop_wait: Duration::from_secs(1),
            retry_timeout: Duration::from_secs(3),
            config_json: self.config(panics_in),
        })
    }

    /// A new object answers as if nothing had been.
    fn works(&self) {
        let object = self.open("").expect("it opens");
        assert_eq!(kind!(object.load(call())), None);
        assert_eq!(kind!(object.close(call())), None);
    }
}

#[test]
fn a_panic_in_any_call_ends_the_object_only() {
    let bed = Bed::new();
    for (entry, enter) in ENTRIES {
        let object = bed.open(entry).expect("it opens");
        assert_eq!(enter(&object), Some(ErrorKind::Panic), "{entry}");
        for (next, enter) in ENTRIES {
            assert_eq!(enter(&object), Some(ErrorKind::Closed), "{next} after a panic in {entry}");
        }
        drop(object);
        bed.works();
    }
}

#[test]
fn a_panic_in_what_is_no_call_of_an_object_is_contained() {
    let bed = Bed::new();
    assert_eq!(bed.open("open").err().map(|error| error.kind), Some(ErrorKind::Panic));
    let error = bed.plugin.check_config(&bed.config("check_config")).expect_err("it panics");
    assert_eq!(error.kind, ErrorKind::Panic);
    assert!(error.message.contains("check_config was asked to panic"), "{error}");
    let object = bed.open("cancel").expect("it opens");
    object.cancel(7);
    assert_eq!(kind!(object.load(call())), None, "cancelling is no call of the object");
    drop(bed.open("drop").expect("it opens"));
    bed.works();
}
