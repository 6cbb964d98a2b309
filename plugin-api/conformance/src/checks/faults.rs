//! The server is lost: every call comes back in time, says what it knows, and all is well once the server is back.

use crate::context::{Context, Stop, Verdict, ensure, now, within};
use crate::object::{BUDGET, Object};
use regent_plugin_api::host::{DcsError, ErrorKind, Expect, Key, KeyKind};
use std::time::Duration;

/// What a call gets while the server is away.
const SHORT: Duration = Duration::from_millis(700);

/// How long after its budget a call may still come back.
const GRACE: Duration = Duration::from_millis(500);

/// So often may a call come back later than that: the machine may have been busy with something else.
const OVERRUNS: usize = 4;

/// Until when the backend must have found its server again.
pub(crate) const RECOVERY: Duration = Duration::from_secs(30);

/// What a try to find it may take.
pub(crate) const TRY: Duration = Duration::from_secs(3);

/// How often a write may be sent until one was applied unheard.
const ROUNDS: u32 = 12;

fn no_verdict<T>(what: &str, answer: Result<T, DcsError>) -> Result<String, Stop> {
    match answer.map_err(|error| error.kind) {
        Err(ErrorKind::Unavailable | ErrorKind::Indeterminate) => Ok(what.to_owned()),
        Ok(_) => Err(Stop::Fail(format!("{what} without a server gave a verdict"))),
        Err(kind) => Err(Stop::Fail(format!("{what} without a server answers {kind:?}"))),
    }
}

pub(crate) fn server_loss(context: &Context) -> Verdict {
    let proxy = context.proxy()?;
    let a = context.member("a")?;
    let lease = a.acquire()?.ok_or_else(|| Stop::Fail("a free lock was refused".to_owned()))?;
    let mut tried = Vec::new();
    for refuse in [true, false] {
        if refuse {
            proxy.refuse()
        } else {
            proxy.swallow()
        }
        tried.push(no_verdict("load", a.load_in(SHORT))?);
        tried.push(no_verdict("renew", a.renew_in(SHORT, &lease, &[]))?);
        tried.push(no_verdict("put", a.put_in(SHORT, KeyKind::Config, b"1", &Expect::Any))?);
        proxy.pass();
        recovered(&a)?;
        ensure!(a.acquire()?.is_some(), "the lock can not be had again once the server is back");
    }
    Ok(format!("refused and swallowed: {}; recovered twice", tried.join(", ")))
}

pub(crate) fn budget(context: &Context) -> Verdict {
    let proxy = context.proxy()?;
    let a = context.member("a")?;
    let lease = a.acquire()?.ok_or_else(|| Stop::Fail("a free lock was refused".to_owned()))?;
    let cursor = a.load()?.cursor;
    proxy.swallow();
    let before = proxy.swallowed();
    let calls: [(&str, &dyn Fn()); 9] = [
        ("load", &|| drop(a.load_in(SHORT))),
        ("renew_leader", &|| drop(a.renew_in(SHORT, &lease, &[]))),
        ("acquire_leader", &|| drop(a.acquire_in(SHORT))),
        ("touch_member", &|| drop(a.touch_in(SHORT, b"{}"))),
        ("put", &|| drop(a.put_in(SHORT, KeyKind::Config, b"1", &Expect::Any))),
        ("delete", &|| drop(a.delete_in(SHORT, KeyKind::Config, &Expect::Any))),
        ("watch", &|| drop(a.watch(SHORT, &cursor))),
        ("release_leader", &|| drop(a.release_in(SHORT, &lease))),
        ("delete_cluster", &|| drop(a.delete_cluster_in(SHORT))),
    ];
    let mut longest = Duration::ZERO;
    for (name, call) in calls {
        let took = shortest(call);
        ensure!(took <= SHORT + GRACE, "{name} took {} of {} ms, and more", took.as_millis(), SHORT.as_millis());
        longest = longest.max(took);
    }
    let swallowed = proxy.swallowed() - before;
    ensure!(swallowed > 0, "nothing was ever sent to the server");
    Ok(format!("{} calls, longest {} of {} ms", calls.len(), longest.as_millis(), SHORT.as_millis()))
}

/// How long a call takes, at best where it takes too long.
fn shortest(call: &dyn Fn()) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..OVERRUNS {
        let start = now();
        call();
        best = best.min(now().duration_since(start));
        if best <= SHORT + GRACE {
            break;
        }
    }
    best
}

pub(crate) fn unknown_outcome(context: &Context) -> Verdict {
    let proxy = context.proxy()?;
    let a = context.member("a")?;
    let sent = sent_into_nothing(context, &a)?;
    let mut applied = 0;
    for round in 1..=ROUNDS {
        recovered(&a)?;
        let value = format!("{round}").into_bytes();
        proxy.hold_replies();
        // Later rounds have more time, for machines that are slow to send.
        let answer = a.put_in(SHORT * round.div_ceil(3), KeyKind::Config, &value, &Expect::Any);
        proxy.pass();
        let error = answer.err().map(|error| error.kind);
        let reader = context.member("reader")?;
        if reader.value(&Key::of(KeyKind::Config))? == Some(value) {
            applied += 1;
            ensure!(error == Some(ErrorKind::Indeterminate), "a write that was applied answered {error:?}");
        }
        reader.close()?;
        if applied >= 3 {
            break;
        }
    }
    ensure!(applied > 0, "no write reached the server: nothing was proved");
    unheard_lock(context, &a)?;
    Ok(format!("{sent} writes sent into nothing, {applied} applied without a reply, the lock told the truth"))
}

/// The lock may be got without a reply: then nobody may say that it was surely not.
fn unheard_lock(context: &Context, a: &Object) -> Result<(), Stop> {
    let proxy = context.proxy()?;
    a.touch_in(BUDGET, b"{}")?;
    proxy.hold_replies();
    let answer = a.acquire_in(SHORT);
    proxy.pass();
    let said = answer.as_ref().err().map(|error| error.kind);
    no_verdict("acquire", answer)?;
    let b = context.member("b")?;
    let got = b.value(&Key::of(KeyKind::Leader))?.is_some();
    ensure!(!got || said == Some(ErrorKind::Indeterminate), "a lock that was got without a reply answered {said:?}");
    recovered(a)?;
    ensure!(a.acquire()?.is_some(), "the holder was refused the lock that it got without knowing");
    ensure!(b.acquire()?.is_none(), "another got it too");
    Ok(())
}

fn recovered(member: &Object) -> Result<(), Stop> {
    let back = within(RECOVERY, || Ok(member.load_in(TRY).is_ok()))?;
    ensure!(back, "not recovered {} s after the server was back", RECOVERY.as_secs());
    Ok(())
}

/// Writes that leave and never arrive: the backend can not know that, so it must not say that nothing was applied.
/// They are large, that they are not taken for the opening words of a connection, which may be lost harmlessly. How
/// many left: none where a backend asks before it writes.
fn sent_into_nothing(context: &Context, member: &Object) -> Result<usize, Stop> {
    let proxy = context.proxy()?;
    let most = usize::try_from(context.plugin.capabilities().max_value_bytes).unwrap_or(usize::MAX);
    let mut seed = 1_u32;
    let mut next = || {
        // Nothing that could be sent in fewer bytes.
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed.to_be_bytes()[0]
    };
    let value: Vec<u8> = (0..most.min(32 << 10)).map(|_| next()).collect();
    let mut sent = 0;
    for _ in 0..3 {
        recovered(member)?;
        let before = proxy.swallowed();
        proxy.swallow();
        let answer = member.put_in(SHORT, KeyKind::Config, &value, &Expect::Any);
        let swallowed = proxy.swallowed() - before;
        proxy.pass();
        ensure!(answer.is_err(), "a write that never arrived gave a verdict");
        if swallowed >= value.len() as u64 {
            let kind = answer.err().map(|error| error.kind);
            ensure!(kind == Some(ErrorKind::Indeterminate), "a write that was sent and lost answered {kind:?}");
            sent += 1;
        }
    }
    Ok(sent)
}
