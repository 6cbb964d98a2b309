//! `history`: past promotions, and what the members decided around each.

mod around;

use super::Result;
use super::context::Context;
use super::output::line;
use super::sheet::{Column, Empty, Sheet};
use super::table::Align;
use serde_json::{Value, json};

/// Prints past promotions; explained, with the decisions around them as far as somebody remembers.
pub(super) async fn history(context: &Context, format: &str, explained: bool) -> Result<()> {
    let (_, snapshot) = context.read().await?;
    let mut sheet = sheet(&snapshot.history_raw);
    if !explained {
        sheet.print(format, "\t");
        return Ok(());
    }
    let remembered = around::remembered(context, &snapshot).await;
    let told = around::explained(&sheet.rows, &remembered);
    if format != "pretty" {
        sheet.columns.push(Column::new("Explanation", Align::Left));
        for (row, lines) in sheet.rows.iter_mut().zip(told) {
            row.push(if format == "tsv" { json!(lines.join("; ")) } else { json!(lines) });
        }
        sheet.print(format, "\t");
        return Ok(());
    }
    let rows = sheet.rows.clone();
    sheet.print(format, "\t");
    for (row, lines) in rows.iter().zip(told) {
        line("");
        line(&around::title(row));
        lines.iter().for_each(|text| line(&format!("  {text}")));
    }
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
