//! The main table as a plot: requests a second of each row, grouped by the number of connections, with the spread of the rounds.

use crate::{
    parts::{CONNECTIONS, H2, MAIN},
    report::{Cell, Report},
    stats::Spread,
    subject::Row,
};
use plotters::prelude::*;

const SIZE: (u32, u32) = (960, 480);
const COLOURS: [RGBColor; 8] = [
    RGBColor(189, 189, 189),
    RGBColor(130, 130, 130),
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(23, 190, 207),
    RGBColor(140, 190, 226),
    RGBColor(214, 99, 39),
    RGBColor(246, 186, 132),
];
/// The part of a group's width that its bars fill.
const FILLED: f64 = 0.84;

/// The plot as SVG; `None` if the main table was not measured.
pub(crate) fn svg(report: &Report) -> Option<String> {
    report.cells.iter().find(|cell| cell.table == MAIN)?;
    let mut out = String::new();
    draw(report, &mut out).expect("a plot can be drawn into memory");
    Some(out)
}

fn draw(report: &Report, out: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let columns: Vec<String> = CONNECTIONS.iter().map(ToString::to_string).chain([H2.to_owned()]).collect();
    let rps = |row: Row, column: &String| {
        Spread::of(&report.cell(MAIN, row.title(), column).map(Cell::rps).unwrap_or_default())
    };
    let all = || Row::MAIN.into_iter().flat_map(|row| columns.iter().filter_map(move |column| rps(row, column)));
    let highest = all().map(|rps| rps.max).fold(1.0, f64::max);
    let area = SVGBackend::with_string(out, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(72)
        .caption("Requests a second, warm tokens", ("sans-serif", 20))
        .build_cartesian_2d(-0.5..columns.len() as f64 - 0.5, 0.0..highest * 1.25)?;
    let label = |at: &f64| match columns.get(at.round() as usize) {
        Some(column) if column == H2 => "h2, 64 connections".to_owned(),
        Some(column) => format!("{column} connection{}", if column == "1" { "" } else { "s" }),
        None => String::new(),
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(columns.len())
        .x_label_formatter(&label)
        .y_label_formatter(&|rps| format!("{rps:.0}"))
        .label_style(("sans-serif", 13))
        .draw()?;
    let width = FILLED / Row::MAIN.len() as f64;
    for (index, (row, colour)) in Row::MAIN.into_iter().zip(COLOURS).enumerate() {
        let left = |group: usize| group as f64 - FILLED / 2.0 + index as f64 * width;
        let figures: Vec<(f64, Spread)> =
            columns.iter().enumerate().filter_map(|(group, column)| Some((left(group), rps(row, column)?))).collect();
        let bars = figures
            .iter()
            .map(|(left, rps)| Rectangle::new([(*left, 0.0), (left + width, rps.median)], colour.filled()));
        chart
            .draw_series(bars)?
            .label(row.title())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
        let spreads = figures.iter().map(|(left, rps)| {
            let middle = left + width / 2.0;
            PathElement::new([(middle, rps.min), (middle, rps.max)], BLACK)
        });
        chart.draw_series(spreads)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Sample;

    #[test]
    fn what_was_measured_is_drawn_and_what_was_not_is_no_plot() {
        assert_eq!(svg(&Report::default()), None);
        let cell = Cell {
            table: MAIN,
            row: Row::Alone.title().to_owned(),
            column: "64".to_owned(),
            samples: vec![Sample { rps: 10_000.0, ..Sample::default() }],
            void: None,
        };
        let drawn = svg(&Report { cells: vec![cell], ..Report::default() }).expect("a plot");
        assert!(drawn.starts_with("<svg") && drawn.contains(Row::Alone.title()), "{drawn}");
    }
}
