//! What has to be there before a member is opened: in some stores a member's place is made by somebody else.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{Error, Result};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

type Make = dyn Fn(&str, &str) -> Result<()> + Send + Sync;

/// Makes a member's place, given the cluster's name and the member's.
#[derive(Clone)]
pub struct Prepare {
    make: Arc<Make>,
    made: Arc<Mutex<BTreeSet<(String, String)>>>,
}

impl fmt::Debug for Prepare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prepare")
    }
}

impl Prepare {
    /// By a function.
    pub fn by(make: impl Fn(&str, &str) -> Result<()> + Send + Sync + 'static) -> Prepare {
        Prepare { make: Arc::new(make), made: Arc::default() }
    }

    /// By a command that is given both names.
    pub fn command(program: PathBuf) -> Prepare {
        Prepare::by(move |scope, member| {
            let status = Command::new(&program).args([scope, member]).status()?;
            if status.success() { Ok(()) } else { Err(Error::other(format!("the command ended with {status}"))) }
        })
    }

    /// Once for each member.
    pub(crate) fn once(&self, scope: &str, member: &str) -> Result<()> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let names = (scope.to_owned(), member.to_owned());
        if !made.contains(&names) {
            (self.make)(scope, member)?;
            made.insert(names);
        }
        Ok(())
    }
}
