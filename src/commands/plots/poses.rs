//! Plots of a pose evaluation: skeletons over truth, error by joint, reliability.

use std::path::Path;

use anyhow::Context;
use invispose_models::evaluate::{Example, Reliability, Report};
use invispose_models::skeleton::{BONES, HIPS, Keypoints, NAMES, SHOULDERS};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::{COLOURS, FONT, picture::Picture, write_png};

type Area<'a> = DrawingArea<&'a mut Picture, Shift>;

/// Writes the plots of a report into `folder`; gives the names of the files.
pub fn write(report: &Report, name: &str, folder: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let mut made = Vec::new();
    let mut draw =
        |what: &'static str, file: &str, size: (u32, u32), to: &dyn Fn(&Area<'_>) -> anyhow::Result<()>| {
            let mut picture = Picture::new(size);
            to(&(&mut picture).into_drawing_area()).context(what)?;
            let file = format!("{name}-{file}.png");
            write_png(&picture, &folder.join(&file))?;
            made.push((what, file));
            anyhow::Ok(())
        };
    if !report.examples.is_empty() {
        let columns = report.examples.len() as u32;
        draw("Skeletons over truth", "skeletons", (300 * columns, 560), &|area| skeletons(area, report))?;
    }
    if !report.persons.is_empty() {
        draw("Error by joint", "joints", (900, 60 + NAMES.len() as u32 * 40), &|area| joints(area, report))?;
    }
    draw("Reliability of confidences", "reliability", (700, 620), &|area| reliability(area, report))?;
    Ok(made)
}

/// For each example the floor from above, and the room from the side.
fn skeletons(area: &Area<'_>, report: &Report) -> anyhow::Result<()> {
    text(area, "black: truth, red: reported; above: the floor plan, below: from the side (x, z)", (8, 4))?;
    let (_, panels) = area.split_vertically(28);
    for (panel, example) in panels.split_evenly((1, report.examples.len())).iter().zip(&report.examples) {
        let (width, _) = panel.dim_in_pixel();
        let [x, y, z] = example.room_m;
        let scale = (f64::from(width) - 24.0) / f64::from(x.max(1.15 * y));
        let bottom = 12 + (scale * f64::from(y)) as i32;
        view(panel, example, scale, bottom, [x, y], [0, 1])?;
        view(panel, example, scale, bottom + 24 + (scale * f64::from(z)) as i32, [x, z], [0, 2])?;
    }
    Ok(())
}

/// A room and its people in two of three coordinates, the second one upwards from `bottom`.
fn view(
    area: &Area<'_>,
    example: &Example,
    scale: f64,
    bottom: i32,
    size: [f32; 2],
    axes: [usize; 2],
) -> anyhow::Result<()> {
    let at = |a: f32, b: f32| (12 + (scale * f64::from(a)) as i32, bottom - (scale * f64::from(b)) as i32);
    area.draw(&Rectangle::new([at(0.0, size[1]), at(size[0], 0.0)], BLACK.mix(0.3)))?;
    let trunk = [(SHOULDERS[0], HIPS[0]), (SHOULDERS[1], HIPS[1])];
    let person = |pose: &Keypoints, style: ShapeStyle| -> anyhow::Result<()> {
        let joint = |j: usize| at(pose[j][axes[0]], pose[j][axes[1]]);
        for (a, b) in BONES.into_iter().chain(trunk) {
            area.draw(&PathElement::new([joint(a), joint(b)], style))?;
        }
        area.draw(&Circle::new(joint(0), 4, style.filled()))?;
        Ok(())
    };
    example.truth.iter().try_for_each(|pose| person(pose, BLACK.stroke_width(1)))?;
    example.found.iter().try_for_each(|d| person(&d.keypoints, RED.stroke_width(1)))
}

/// Bars for each joint, one for each number of people.
fn joints(area: &Area<'_>, report: &Report) -> anyhow::Result<()> {
    text(area, "error relative to the root, millimetres, by number of people in the room", (8, 4))?;
    let most = report.persons.values().flat_map(|by| &by.joints_mm).fold(1.0f64, |a, b| a.max(*b));
    let (left, width) = (150, f64::from(area.dim_in_pixel().0) - 230.0);
    let thick = 36 / report.persons.len().max(1) as i32;
    for (i, (count, by)) in report.persons.iter().enumerate() {
        let colour = COLOURS[i % COLOURS.len()];
        let key = 560 + 100 * i as i32;
        area.draw(&Rectangle::new([(key, 30), (key + 14, 40)], colour.filled()))?;
        text(area, count, (key + 20, 27))?;
        for (joint, error) in by.joints_mm.iter().enumerate() {
            let top = 50 + 40 * joint as i32 + thick * i as i32;
            let end = left + (width * error / most) as i32;
            area.draw(&Rectangle::new([(left, top), (end, top + thick - 2)], colour.filled()))?;
            text(area, &format!("{error:.0}"), (end + 6, top + thick / 2 - 8))?;
        }
    }
    for (joint, name) in NAMES.iter().enumerate() {
        text(area, &name.replace('_', " "), (8, 60 + 40 * joint as i32))?;
    }
    Ok(())
}

/// Share of right answers over their confidence.
fn reliability(area: &Area<'_>, report: &Report) -> anyhow::Result<()> {
    let mut chart = ChartBuilder::on(area)
        .caption("how often answers of a confidence are right", FONT)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..1.0, 0.0..1.0)?;
    chart.configure_mesh().x_desc("confidence").y_desc("share that is right").label_style(FONT).draw()?;
    chart.draw_series(LineSeries::new([(0.0, 0.0), (1.0, 1.0)], BLACK.mix(0.4)))?;
    let keypoints = format!("keypoints in {:.2} m", report.keypoint_within_m);
    let curves: [(&str, &Reliability); 2] = [("people", &report.presence), (&keypoints, &report.keypoints)];
    for ((name, reliability), colour) in curves.into_iter().zip(COLOURS) {
        let bins = reliability.bins();
        let points = || bins.iter().map(|b| (b.confidence, b.right));
        chart
            .draw_series(LineSeries::new(points(), colour.stroke_width(2)))?
            .label(format!("{name}: off by {:.3}", reliability.expected_error()))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        chart.draw_series(points().map(|at| Circle::new(at, 4, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .margin(16)
        .label_font(FONT)
        .draw()?;
    Ok(())
}

fn text(area: &Area<'_>, words: &str, at: (i32, i32)) -> anyhow::Result<()> {
    area.draw(&Text::new(words.to_owned(), at, FONT))?;
    Ok(())
}
