//! A curve as a picture, both scales logarithmic.

use super::Curve;
use crate::Result;
use plotters::prelude::*;
use std::path::Path;

const COLOURS: [RGBColor; 6] = [
    RGBColor(46, 125, 90),
    RGBColor(200, 98, 42),
    RGBColor(60, 90, 170),
    RGBColor(150, 80, 150),
    RGBColor(120, 120, 120),
    RGBColor(190, 160, 40),
];

/// Writes `curve-<file>.svg`.
pub fn draw(curve: &Curve, folder: &Path) -> Result<()> {
    let path = folder.join(format!("curve-{}.svg", curve.file));
    let area = SVGBackend::new(&path, (720, 420)).into_drawing_area();
    area.fill(&WHITE)?;
    let points = || curve.series.iter().flat_map(|s| s.points.iter().copied());
    let (least_x, most_x) = bounds(points().map(|(x, _)| x));
    let (least_y, most_y) = bounds(points().map(|(_, y)| y));
    let mut chart = ChartBuilder::on(&area)
        .caption(curve.title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d((least_x..most_x).log_scale(), (least_y / 2.0..most_y * 2.0).log_scale())?;
    chart.configure_mesh().x_desc(curve.x).y_desc(curve.y).light_line_style(WHITE).draw()?;
    for (series, colour) in curve.series.iter().zip(COLOURS.iter().cycle()) {
        chart
            .draw_series(
                LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)).point_size(3),
            )?
            .label(series.name)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(WHITE)
        .draw()?;
    Ok(area.present()?)
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, 0.0), |(least, most), x| (least.min(x), most.max(x)))
}
