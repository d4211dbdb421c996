//! Tables without borders, so that `cut` and `grep` work on them.

use comfy_table::{Table, presets::NOTHING};

/// Aligns the cells of rows in columns. The cells must already be safe to print.
pub(super) fn columns(rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| format!("{}\n", line.trim_end()));
    lines.collect()
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
}
