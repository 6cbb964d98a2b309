//! Waiting for something to become true, with a deadline and a short pace.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How often a condition of the cluster is looked at.
pub const POLL: Duration = Duration::from_millis(25);

/// Asks until the answer is `Ok`, or the deadline has passed. The `Err` says what is still missing.
///
/// # Errors
/// With the last thing that was missing.
pub async fn until<T>(what: &str, deadline: Duration, ask: impl AsyncFnMut() -> Result<T, String>) -> Result<T> {
    until_paced(what, deadline, POLL, ask).await
}

/// The same, at another pace: where what is asked costs something, and nobody measures by the answer.
///
/// # Errors
/// With the last thing that was missing.
pub async fn until_paced<T>(
    what: &str,
    deadline: Duration,
    pace: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let missing = match tokio::time::timeout_at((end + POLL).into(), ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(missing)) => missing,
            Err(_) => "the question itself got no answer".to_owned(),
        };
        if Instant::now() >= end {
            bail!("waited {deadline:?} for {what}; at the end: {missing}");
        }
        tokio::time::sleep(pace).await;
    }
}

/// The same for code that is not asynchronous: whether it became true in time.
pub fn block_until(deadline: Duration, poll: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    loop {
        if is_true() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(poll);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_gives_the_answer_or_what_is_missing() {
        let mut count = 0;
        let answer = until("three", Duration::from_secs(10), async || {
            count += 1;
            if count == 3 { Ok(count) } else { Err("not yet".to_owned()) }
        })
        .await;
        assert_eq!(answer.expect("it comes"), 3);
        let never = until::<()>("rain", Duration::ZERO, async || Err("sun".to_owned())).await;
        let message = never.expect_err("it never comes").to_string();
        assert!(message.contains("rain") && message.contains("sun"), "{message}");
    }
}
