//! `query`: asks the PostgreSQL of a member.

pub(super) mod connection;
mod direct;
pub(super) mod libpq;
mod values;

use super::context::Context;
use super::dsn::Which;
use super::output::{ask_password, seconds};
use super::rows::address;
use super::sheet::{Column, Empty, Sheet};
use super::table::Align;
use super::watch::Pace;
use super::{CtlError, Result, document};
use crate::dcs::Store;
use connection::{Connection, Failure};
pub use direct::ask_server;
use libpq::Login;
use serde_json::{Value, json};

/// What is asked, whom, and how the answer looks.
pub(super) struct Question {
    pub sql: String,
    pub format: String,
    pub delimiter: String,
    pub role: Option<String>,
    pub member: Option<String>,
    pub user: Option<String>,
    pub ask_password: bool,
    pub database: Option<String>,
}

/// Asks once, or again and again over one connection. What goes wrong at the server is a row of the answer.
pub(super) async fn query(context: &Context, question: Question, mut pace: Pace) -> Result<()> {
    let which = Which::new(question.role.as_deref(), question.member.as_deref())?;
    let password = if question.ask_password { Some(ask_password()?) } else { None };
    let login = Login::new(question.user.clone(), password, question.database.clone());
    let store = context.store().await?;
    let mut open = None;
    loop {
        match answer(context, &store, &login, &question, &which, &mut open).await? {
            Ok(sheet) => spelled(sheet, &question.format).print(&question.format, &question.delimiter),
            Err(why) => {
                // What broke is opened again, maybe at another member.
                open = None;
                message(&why).print(&question.format, &question.delimiter);
            }
        }
        if !pace.again().await {
            return Ok(());
        }
    }
}

/// The answer, or what is told in its place.
async fn answer(
    context: &Context,
    store: &Store,
    login: &Login,
    question: &Question,
    which: &Which<'_>,
    open: &mut Option<Connection>,
) -> Result<std::result::Result<Sheet, String>> {
    let connection = match open.take() {
        Some(connection) => Ok(connection),
        None => connect(context, store, login, question, which).await?,
    };
    let asked = match connection {
        Ok(connection) => open.insert(connection).ask(&question.sql).await,
        Err(why) => return Ok(Err(why)),
    };
    Ok(asked.map_err(|why| format!("ERROR, SQLSTATE: {}", why.code_or_text())))
}

/// A connection to the first fitting member that lets us in; or why there is none.
async fn connect(
    context: &Context,
    store: &Store,
    login: &Login,
    question: &Question,
    which: &Which<'_>,
) -> Result<std::result::Result<Connection, String>> {
    let snapshot = context.load(store).await?;
    let mut why = None;
    for (host, port) in which.members(&snapshot).iter().filter_map(address) {
        let port = port.parse().map_err(|_| CtlError::new(format!("{host}:{port} is no address")))?;
        let found = match Connection::open(&host, port, login).await {
            Ok(mut connection) => connection.fits(question.role.as_deref()).await.then_some(connection),
            Err(failure) => {
                why = Some(failure);
                None
            }
        };
        if let Some(connection) = found {
            return Ok(Ok(connection));
        }
    }
    Ok(Err(why.map_or_else(|| nobody(question), |why: Failure| format!("ERROR, SQLSTATE: {}", why.code_or_text()))))
}

fn nobody(question: &Question) -> String {
    match (&question.role, &question.member) {
        (Some(role), _) => format!("No connection to role '{role}' is available"),
        (None, Some(member)) => format!("No connection to member {member} is available"),
        (None, None) => "No connection is available".to_owned(),
    }
}

/// A row that is no answer: it has no columns, so programs that read documents see nothing of it.
fn message(why: &str) -> Sheet {
    rows(None, vec![vec![json!(seconds()), json!(why.replace('\n', " "))]])
}

/// People see nothing and truths as words; programs that read documents see them as they are.
fn spelled(mut sheet: Sheet, format: &str) -> Sheet {
    if matches!(format, "tsv" | "pretty") {
        for cell in sheet.rows.iter_mut().flatten() {
            match cell {
                Value::Null => *cell = json!("None"),
                Value::Bool(true) => *cell = json!("True"),
                Value::Bool(false) => *cell = json!("False"),
                Value::Object(_) | Value::Array(_) => *cell = json!(document::json(cell)),
                Value::Number(_) | Value::String(_) => {}
            }
        }
    }
    sheet
}

/// Rows under their columns; without columns there is no header between tabs.
fn rows(columns: Option<Vec<String>>, rows: Vec<Vec<Value>>) -> Sheet {
    let columns = columns.map(|names| names.iter().map(|name| Column::new(name, Align::Left)).collect());
    Sheet { title: String::new(), columns: columns.unwrap_or_default(), rows, empty: Empty::Kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CTL-10.
    #[test]
    fn who_is_not_there_is_told() {
        let check = |role: Option<&str>, member: Option<&str>, expected: &str| {
            let question = Question {
                sql: String::new(),
                format: String::new(),
                delimiter: String::new(),
                role: role.map(str::to_owned),
                member: member.map(str::to_owned),
                user: None,
                ask_password: false,
                database: None,
            };
            assert_eq!(nobody(&question), expected);
        };
        check(None, None, "No connection is available");
        check(Some("replica"), None, "No connection to role 'replica' is available");
        check(None, Some("x"), "No connection to member x is available");
    }

    #[test]
    fn people_see_words() {
        let row = || rows(None, vec![vec![json!(null), json!(true), json!(1), json!({"a": [1]})]]);
        let shown = spelled(row(), "tsv").rows.remove(0);
        assert_eq!(shown, [json!("None"), json!("True"), json!(1), json!("{\"a\": [1]}")]);
        assert_eq!(spelled(row(), "json").rows.remove(0)[0], Value::Null);
    }

    #[test]
    fn a_message_has_no_columns() {
        let sheet = message("a\nb");
        assert!(sheet.columns.is_empty());
        assert_eq!(sheet.rows[0][1], json!("a b"));
    }
}
