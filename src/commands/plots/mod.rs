//! Plots: lines over an axis as SVG, and pictures as PNG.

mod picture;
pub mod poses;

use std::fs;
use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use invispose_pipeline::evaluation::report::Plot;
use picture::Picture;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::output;

const SIZE: (u32, u32) = (900, 560);
const FONT: (&str, i32) = ("sans-serif", 14);
const COLOURS: [RGBColor; 6] = [
    RGBColor(31, 119, 180),
    RGBColor(214, 39, 40),
    RGBColor(44, 160, 44),
    RGBColor(127, 127, 127),
    RGBColor(148, 103, 189),
    RGBColor(255, 127, 14),
];

/// Writes each plot into `folder` as `NAME.svg`.
pub fn write(plots: &[Plot], folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    for plot in plots {
        let path = folder.join(format!("{}.svg", plot.name));
        let mut svg = String::new();
        draw(plot, &SVGBackend::with_string(&mut svg, SIZE).into_drawing_area())
            .with_context(|| path.display().to_string())?;
        fs::write(&path, svg).with_context(|| path.display().to_string())?;
        output::note(path.display());
    }
    Ok(())
}

/// Writes plots side by side into `folder` as `NAME.png`.
pub fn panels(name: &str, plots: &[Plot], folder: &Path) -> anyhow::Result<()> {
    if plots.is_empty() {
        return Ok(());
    }
    let mut picture = Picture::new((520 * plots.len() as u32, 440));
    {
        let area = (&mut picture).into_drawing_area();
        for (area, plot) in area.split_evenly((1, plots.len())).iter().zip(plots) {
            draw(plot, area)?;
        }
    }
    write_png(&picture, &folder.join(format!("{name}.png")))
}

fn write_png(picture: &Picture, path: &Path) -> anyhow::Result<()> {
    let shown = || path.display().to_string();
    fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).with_context(shown)?;
    fs::write(path, picture.png()?).with_context(shown)?;
    output::note(path.display());
    Ok(())
}

fn draw<B: DrawingBackend>(plot: &Plot, area: &DrawingArea<B, Shift>) -> anyhow::Result<()>
where
    B::ErrorType: 'static,
{
    let points = || plot.lines.iter().flat_map(|(_, points)| points);
    let (low, high) = points().fold((f64::MAX, f64::MIN), |(a, b), (x, _)| (a.min(*x), b.max(*x)));
    anyhow::ensure!(low < high, "nothing to draw");
    let top = points().fold(0.0, |top: f64, (_, y)| top.max(*y)).max(1e-3) * 1.05;
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(area)
        .caption(&plot.title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(low..high, 0.0..top)?;
    chart.configure_mesh().x_desc(plot.x.as_str()).y_desc(plot.y).label_style(FONT).draw()?;
    if let Some(x) = plot.chosen {
        let line = [(x, 0.0), (x, top)];
        chart
            .draw_series(LineSeries::new(line, BLACK.stroke_width(1)))?
            .label(format!("shipped: {x:.2}"))
            .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], BLACK));
    }
    for ((name, points), colour) in plot.lines.iter().zip(COLOURS.iter().cycle()) {
        let colour = *colour;
        // Few enough to be told apart.
        if points.len() <= 12 {
            chart.draw_series(points.iter().map(|at| Circle::new(*at, 4, colour.filled())))?;
        }
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(emptiest(plot, low..high, top))
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font(FONT)
        .draw()?;
    area.present()?;
    Ok(())
}

/// Where the legend hides the least of the lines: in one of the corners, or at the middle of a side.
fn emptiest(plot: &Plot, x: Range<f64>, top: f64) -> SeriesLabelPosition {
    // Shares of the width and height that a legend takes.
    const SIZE: (f64, f64) = (0.45, 0.3);
    let between = |ends: &[(f64, f64)]| {
        let (a, b) = (ends[0], ends[1]);
        (0..=20)
            .map(move |k| f64::from(k) / 20.0)
            .map(move |k| (a.0 + k * (b.0 - a.0), a.1 + k * (b.1 - a.1)))
    };
    let relative = |(at, y): (f64, f64)| ((at - x.start) / (x.end - x.start), 1.0 - y / top);
    let hidden = |left: f64, upper: f64| {
        let pairs = plot.lines.iter().flat_map(|(_, points)| points.windows(2));
        let inside =
            |(x, y): &(f64, f64)| (left..=left + SIZE.0).contains(x) && (upper..=upper + SIZE.1).contains(y);
        pairs.flat_map(between).map(relative).filter(inside).count()
    };
    let places = [
        (SeriesLabelPosition::MiddleRight, 1.0 - SIZE.0, 0.5 - 0.5 * SIZE.1),
        (SeriesLabelPosition::UpperRight, 1.0 - SIZE.0, 0.0),
        (SeriesLabelPosition::UpperLeft, 0.0, 0.0),
        (SeriesLabelPosition::MiddleLeft, 0.0, 0.5 - 0.5 * SIZE.1),
        (SeriesLabelPosition::UpperMiddle, 0.5 - 0.5 * SIZE.0, 0.0),
        (SeriesLabelPosition::MiddleMiddle, 0.5 - 0.5 * SIZE.0, 0.5 - 0.5 * SIZE.1),
        (SeriesLabelPosition::LowerRight, 1.0 - SIZE.0, 1.0 - SIZE.1),
        (SeriesLabelPosition::LowerLeft, 0.0, 1.0 - SIZE.1),
        (SeriesLabelPosition::LowerMiddle, 0.5 - 0.5 * SIZE.0, 1.0 - SIZE.1),
    ];
    let best = places.into_iter().min_by_key(|(_, left, upper)| hidden(*left, *upper));
    best.map_or(SeriesLabelPosition::MiddleRight, |(place, ..)| place)
}
