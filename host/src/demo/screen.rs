//! The table: redrawn in place on a terminal, printed when it changes elsewhere; and the keys.

use super::state::{Cluster, Row};
use crossterm::event::{Event, KeyCode, KeyModifiers, poll, read};
use crossterm::{cursor, execute, terminal};
use std::io::{IsTerminal, Write, stdout};
use std::time::Duration;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Kill,
    Freeze,
    Switch,
    Restart,
    Quit,
}

/// The terminal; dropped, it is as it was.
pub(super) struct Screen {
    terminal: bool,
    last: Option<Cluster>,
}

impl Screen {
    /// Takes the terminal over, if there is one.
    pub fn open() -> Screen {
        let terminal = stdout().is_terminal() && std::io::stdin().is_terminal();
        let raw = terminal && terminal::enable_raw_mode().is_ok();
        if raw {
            let _dumb = execute!(stdout(), terminal::EnterAlternateScreen, cursor::Hide).is_err();
        }
        Screen { terminal: raw, last: None }
    }

    /// Keys can be pressed.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Shows the cluster.
    pub fn draw(&mut self, cluster: &Cluster, connection: &str, note: &str) {
        let mut out = stdout().lock();
        if !self.terminal {
            if self.last.as_ref() != Some(cluster) {
                let _closed = writeln!(out, "{}\n", table(cluster, 100)).is_err();
                self.last = Some(cluster.clone());
            }
            return;
        }
        let width = terminal::size().map_or(100, |(width, _)| usize::from(width));
        let keys = "k kill the leader node   f freeze/thaw its daemon   s switch over   r restart killed   q quit";
        let text = format!("{}\n\npsql '{connection}'\n\n{keys}\n\n{note}\n", table(cluster, width));
        let _dumb = execute!(out, cursor::MoveTo(0, 0), terminal::Clear(terminal::ClearType::All)).is_err();
        let _closed = write!(out, "{}", text.replace('\n', "\r\n")).and_then(|()| out.flush()).is_err();
    }

    /// Keys that were pressed since.
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::new();
        while self.terminal && poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Event::Key(event)) = read() else { continue };
            let interrupted = event.modifiers.contains(KeyModifiers::CONTROL) && event.code == KeyCode::Char('c');
            match event.code {
                _ if interrupted => keys.push(Key::Quit),
                KeyCode::Char('k') => keys.push(Key::Kill),
                KeyCode::Char('f') => keys.push(Key::Freeze),
                KeyCode::Char('s') => keys.push(Key::Switch),
                KeyCode::Char('r') => keys.push(Key::Restart),
                KeyCode::Char('q') | KeyCode::Esc => keys.push(Key::Quit),
                _ => {}
            }
        }
        keys
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.terminal {
            let _dumb = execute!(stdout(), cursor::Show, terminal::LeaveAlternateScreen).is_err();
            let _dumb = terminal::disable_raw_mode().is_err();
        }
    }
}

/// The cluster as lines of at most `width` characters.
fn table(cluster: &Cluster, width: usize) -> String {
    let header = line("Member", "Role", "State", "TL", "Lag", "Doing");
    let rows = cluster.rows.iter().map(|row| {
        let Row { name, role, state, timeline, lag, doing, is_primary } = row;
        let role = if *is_primary { "leader" } else { role.as_str() };
        line(name, role, state, timeline, lag, doing)
    });
    let lines = std::iter::once(header).chain(rows);
    lines.map(|line| line.chars().take(width).collect::<String>()).collect::<Vec<_>>().join("\n")
}

fn line(name: &str, role: &str, state: &str, timeline: &str, lag: &str, doing: &str) -> String {
    format!("{name:<8} {role:<13} {state:<20} {timeline:>3} {lag:>9}  {doing}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_named_and_lines_fit() {
        let row = Row {
            name: "node1".into(),
            role: "primary".into(),
            is_primary: true,
            doing: "x".repeat(99),
            ..Row::default()
        };
        let text = table(&Cluster { rows: vec![row] }, 60);
        assert!(text.lines().all(|line| line.chars().count() <= 60) && text.contains("leader"), "{text}");
    }
}
