//! Tables without borders, so that `cut` and `grep` work on them.

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Row, Table, presets::NOTHING};

/// The width of a table that is not printed on a terminal.
const WIDTH: u16 = 80;
/// The narrowest table, so that clipped cells still say something.
const WIDTH_MIN: u16 = 60;

/// How the header row is printed.
pub(crate) const HEAD: Style = Style::new().bold();
/// How a row is printed that is over.
pub(crate) const OVER: Style = Style::new().dimmed();

/// Aligns the cells of rows in columns. The cells must already be safe to print.
pub(crate) fn columns(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_rows(rows);
    pad(&mut table);
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
}

/// A table of one line per row, with a header and within a width.
#[derive(Debug)]
pub(crate) struct List {
    head: Vec<String>,
    /// The columns whose cells are clipped where the width does not suffice.
    flexible: &'static [usize],
    rows: Vec<(Style, Vec<String>)>,
}

impl List {
    pub(crate) fn new(head: &[&str], flexible: &'static [usize]) -> Self {
        Self { head: head.iter().map(|&text| text.to_owned()).collect(), flexible, rows: Vec::new() }
    }

    /// Adds a row. Its cells must already be safe to print.
    pub(crate) fn row(&mut self, style: Style, cells: Vec<String>) {
        self.rows.push((style, cells));
    }

    /// The table within the width of the terminal, or 80 columns.
    pub(crate) fn text(self, has_head: bool) -> String {
        let terminal = terminal_size::terminal_size_of(std::io::stdout()).map(|(width, _)| width.0);
        self.within(terminal.unwrap_or(WIDTH).max(WIDTH_MIN), has_head)
    }

    /// The header is laid out in any case: pages of one list have to look alike.
    fn within(self, width: u16, has_head: bool) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        // No cell has this character: one that is too wide is clipped where the room ends, not at its last blank.
        table.set_truncation_indicator("…").set_delimiter('\0');
        let mut styles = vec![HEAD];
        table.add_row(one_line(self.head));
        for (style, cells) in self.rows {
            styles.push(style);
            table.add_row(one_line(cells));
        }
        pad(&mut table);
        for (index, column) in table.column_iter_mut().enumerate() {
            if !self.flexible.contains(&index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        let lines = styles.into_iter().zip(table.lines()).skip(usize::from(!has_head));
        lines.map(|(style, line)| format!("{style}{}{style:#}\n", line.trim_end())).collect()
    }
}

fn pad(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

fn one_line(cells: Vec<String>) -> Row {
    let mut row = Row::from(cells);
    row.max_height(1);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_without_lines() {
        let rows =
            [["ID", "SUBJECT", "X"], ["1", "李", "y"], ["200", "", ""]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(columns(rows), "ID   SUBJECT  X\n1    李       y\n200\n");
        assert_eq!(columns(Vec::new()), "");
    }

    #[test]
    fn a_list_has_one_line_for_each_row_within_its_width() {
        let text = |width, subject: &str, has_head| {
            let mut list = List::new(&["ID", "SUBJECT", "ENDS"], &[1]);
            list.row(Style::new(), ["5d41402abc4b", subject, "in 29m"].map(str::to_owned).to_vec());
            list.row(OVER, ["5d41402abc4c", "李", "1h ago"].map(str::to_owned).to_vec());
            anstream::adapter::strip_str(&list.within(width, has_head)).to_string()
        };
        let short = "ID            SUBJECT  ENDS\n5d41402abc4b  anna     in 29m\n5d41402abc4c  李       1h ago\n";
        assert_eq!(text(80, "anna", true), short);
        assert_eq!(text(80, "anna", false).lines().count(), 2);
        for long in ["a".repeat(300), "李".repeat(300), "some words with spaces in between ".repeat(20)] {
            let shown = text(60, &long, true);
            assert_eq!(shown.lines().count(), 3, "{shown}");
            let widest =
                shown.lines().map(|line| line.chars().map(|c| 1 + usize::from(c == '李')).sum::<usize>()).max();
            assert!(widest.is_some_and(|widest| (50..=60).contains(&widest)), "{widest:?} {shown}");
            assert!(shown.contains('…') && shown.contains("in 29m"), "{shown}");
        }
    }
}
