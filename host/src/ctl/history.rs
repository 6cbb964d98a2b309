//! `history`: past promotions.

use super::Result;
use super::context::Context;
use super::sheet::{Column, Empty, Sheet};
use super::table::Align;
use serde_json::{Value, json};

/// Prints past promotions.
pub(super) async fn history(context: &Context, format: &str) -> Result<()> {
    let (_, snapshot) = context.read().await?;
    sheet(&snapshot.history_raw).print(format, "\t");
    Ok(())
}

pub(super) fn sheet(history: &Value) -> Sheet {
    let columns = vec![
        Column::new("TL", Align::Right),
        Column::new("LSN", Align::Right),
        Column::new("Reason", Align::Left),
        Column::new("Timestamp", Align::Left),
        Column::new("New Leader", Align::Left),
    ];
    let rows = history.as_array().map(Vec::as_slice).unwrap_or_default();
    let cell = |row: &Value, index: usize| row.get(index).cloned().unwrap_or_else(|| json!(""));
    let rows = rows.iter().map(|row| (0..columns.len()).map(|index| cell(row, index)).collect()).collect();
    Sheet { title: String::new(), columns, rows, empty: Empty::Kept }
}
