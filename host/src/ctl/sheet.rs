//! Rows under named columns, printed as a table, as text between tabs, as JSON or as YAML.

use super::output::line;
use super::table::{Align, Table};
use super::{document, table};
use serde_json::{Map, Value};

/// One column.
pub(super) struct Column {
    /// Its name for programs.
    pub name: String,
    /// Its title in a table.
    pub title: String,
    pub align: Align,
}

impl Column {
    /// A column whose title is its name.
    pub fn new(name: &str, align: Align) -> Column {
        Column { name: name.to_owned(), title: name.to_owned(), align }
    }
}

/// What stands where nothing is known.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Empty {
    /// Programs do not see it at all.
    LeftOut,
    /// Programs see it as it is.
    Kept,
}

/// Rows under columns.
pub(super) struct Sheet {
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Value>>,
    pub empty: Empty,
}

impl Sheet {
    /// Prints it; `delimiter` stands between the columns of plain text.
    pub fn print(&self, format: &str, delimiter: &str) {
        match format {
            "tsv" => self.lines(delimiter).iter().for_each(|text| line(text)),
            "json" => line(&document::json(&self.value())),
            "yaml" | "yml" => line(&document::block(&self.value())),
            "pretty" | "topology" => line(&self.table().render()),
            _ => {}
        }
    }

    fn lines(&self, delimiter: &str) -> Vec<String> {
        let header: Vec<String> = self.columns.iter().map(|column| column.name.clone()).collect();
        let header = Some(header).filter(|header| !header.is_empty());
        let rows = self.rows.iter().map(|row| row.iter().map(flat).collect());
        header.into_iter().chain(rows).map(|cells: Vec<String>| cells.join(delimiter)).collect()
    }

    fn table(&self) -> Table {
        let mut columns: Vec<_> = self.columns.iter().map(|column| (column.title.clone(), column.align)).collect();
        if columns.is_empty() {
            // A table has a header in any case.
            let width = self.rows.iter().map(Vec::len).max().unwrap_or(0);
            columns = (1..=width).map(|number| (format!("Field {number}"), Align::Left)).collect();
        }
        table::Table {
            title: self.title.clone(),
            columns,
            rows: self.rows.iter().map(|row| row.iter().map(tall).collect()).collect(),
        }
    }

    fn value(&self) -> Value {
        let row = |row: &Vec<Value>| {
            let pairs = self.columns.iter().zip(row).filter(|(_, value)| self.empty == Empty::Kept || !is_empty(value));
            Value::Object(pairs.map(|(column, value)| (column.name.clone(), value.clone())).collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(row).collect())
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}

/// A cell between tabs.
fn flat(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Object(_) | Value::Array(_) => document::flow(value),
        Value::Number(number) => document::number_text(number),
        Value::Bool(_) => value.to_string(),
    }
}

/// A cell in a table.
fn tall(value: &Value) -> String {
    match value {
        Value::Object(_) | Value::Array(_) => document::block(value).trim_end().to_owned(),
        other => flat(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn programs_see_what_is_known() {
        let columns = vec![Column::new("A", Align::Left), Column::new("B", Align::Right)];
        let rows = vec![vec![json!("x"), json!(0)], vec![json!(""), json!(null)], vec![json!({}), json!({"k": "v"})]];
        let mut sheet = Sheet { title: String::new(), columns, rows, empty: Empty::LeftOut };
        assert_eq!(document::json(&sheet.value()), r#"[{"A": "x", "B": 0}, {}, {"A": {}, "B": {"k": "v"}}]"#);
        assert_eq!(sheet.lines("\t"), ["A\tB", "x\t0", "\t", "{}\t{k: v}"]);
        sheet.empty = Empty::Kept;
        sheet.rows.truncate(2);
        assert_eq!(document::json(&sheet.value()), r#"[{"A": "x", "B": 0}, {"A": "", "B": null}]"#);
    }
}
