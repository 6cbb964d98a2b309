//! Tables as operators know them: the title stands in the top border.

/// How a column is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A table of text; cells may have several lines.
pub(super) struct Table {
    pub title: String,
    pub columns: Vec<(String, Align)>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// The table as text, without a line break at its end.
    pub fn render(&self) -> String {
        let widths = self.widths();
        let rule = |title: &str| {
            let line: String = widths.iter().map(|width| format!("+{}", "-".repeat(width + 2))).collect();
            let line = format!("{line}+");
            if title.is_empty() {
                return line;
            }
            let title = format!("+ {title} ");
            let shown = title.chars().count();
            if shown >= line.len() { format!("{title}+") } else { format!("{title}{}", &line[shown..]) }
        };
        let header: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let ruled = self.rows.iter().flatten().any(|cell| cell.contains('\n'));
        let mut lines = vec![rule(&self.title)];
        lines.extend(self.lines(&header, &widths));
        lines.push(rule(""));
        for row in &self.rows {
            lines.extend(self.lines(row, &widths));
            if ruled {
                lines.push(rule(""));
            }
        }
        if !ruled {
            lines.push(rule(""));
        }
        lines.join("\n")
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |row: &Vec<String>, index: usize| {
            row.get(index).into_iter().flat_map(|cell| cell.lines()).map(|line| line.chars().count()).max().unwrap_or(0)
        };
        let columns = self.columns.iter().enumerate();
        columns
            .map(|(index, (name, _))| {
                let widest = self.rows.iter().map(|row| cell(row, index)).max().unwrap_or(0);
                widest.max(name.chars().count())
            })
            .collect()
    }

    fn lines(&self, row: &[String], widths: &[usize]) -> Vec<String> {
        let height = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(1).max(1);
        let line = |number: usize| {
            let cells = self.columns.iter().zip(widths).enumerate().map(|(index, ((_, align), width))| {
                let text = row.get(index).and_then(|cell| cell.lines().nth(number)).unwrap_or_default();
                match align {
                    Align::Left => format!("| {text:<width$} "),
                    Align::Right => format!("| {text:>width$} "),
                }
            });
            format!("{}|", cells.collect::<String>())
        };
        (0..height).map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_looks_as_operators_know_it() {
        let table = Table {
            title: "Cluster: batman (7710345176211496303)".to_owned(),
            columns: vec![
                ("Member".to_owned(), Align::Left),
                ("Role".to_owned(), Align::Left),
                ("TL".to_owned(), Align::Right),
            ],
            rows: vec![vec!["postgresql0-with-a-name".to_owned(), "Leader".to_owned(), "1".to_owned()]],
        };
        let expected = "\
+ Cluster: batman (7710345176211496303) ---+
| Member                  | Role   | TL |
+-------------------------+--------+----+
| postgresql0-with-a-name | Leader |  1 |
+-------------------------+--------+----+";
        let expected = expected.replacen("(7710345176211496303) ---+", "(7710345176211496303) +", 1);
        assert_eq!(table.render(), expected);
    }
}
