//! Charts as SVG, in colours that the page's style gives a meaning to.

use docdb_crashtest::{Chart, ChartKind};
use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;

use super::super::figures::number;

/// Known to the page's style.
const SERIES: RGBColor = RGBColor(0x2f, 0x6f, 0xb0);
const AXIS: RGBColor = RGBColor(0x80, 0x80, 0x80);

const WIDTH: u32 = 840;
const ROW_HEIGHT: u32 = 22;
const HEIGHT: u32 = 260;
/// Bars of a histogram.
const BINS: usize = 30;
/// Bars that are drawn; there is no page long enough for all.
const BARS_MAX: usize = 60;
/// Characters of a bar's label.
const LABEL_CHARS_MAX: usize = 40;

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The chart as an `svg` element, or nothing if there is nothing to draw.
pub(super) fn svg(chart: &Chart) -> Option<String> {
    if chart.points.is_empty() {
        return None;
    }
    let height = match chart.kind {
        ChartKind::Bars => 60 + ROW_HEIGHT * chart.points.len().min(BARS_MAX) as u32,
        _ => HEIGHT,
    };
    let mut text = String::new();
    let drawn = {
        let root = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        match chart.kind {
            ChartKind::Bars => bars(chart, &root),
            ChartKind::Line => line(chart, &root),
            ChartKind::Histogram => histogram(chart, &root),
        }
    };
    drawn.ok().map(|()| text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// One horizontal bar for each point, the first at the top.
fn bars(chart: &Chart, root: &Area<'_>) -> Drawn {
    let points: Vec<_> = chart.points.iter().take(BARS_MAX).rev().collect();
    let most = end_of(points.iter().map(|(_, _, y)| *y));
    let label = |at: usize| {
        points
            .get(at)
            .map_or(String::new(), |(label, ..)| cut(label))
    };
    let longest = points.iter().map(|(label, ..)| cut(label).chars().count());
    let labels = 20 + 8 * longest.max().unwrap_or(0) as u32;
    // The end is within.
    let rows = (0..points.len().max(2) - 1).into_segmented();
    let mut context = ChartBuilder::on(root)
        .margin(8)
        .margin_right(70)
        .x_label_area_size(42)
        .y_label_area_size(labels)
        .build_cartesian_2d(0.0..most, rows)?;
    let mut mesh = context.configure_mesh();
    mesh.disable_mesh()
        .axis_style(AXIS)
        .label_style(("sans-serif", 15))
        .x_desc(&chart.y)
        .x_label_formatter(&|value| number(*value))
        .y_labels(points.len() + 1)
        .y_label_formatter(&|value| match value {
            SegmentValue::CenterOf(at) | SegmentValue::Exact(at) => label(*at),
            SegmentValue::Last => String::new(),
        })
        .draw()?;
    context.draw_series(points.iter().enumerate().map(|(at, (_, _, value))| {
        let from = (0.0, SegmentValue::Exact(at));
        let to = (*value, SegmentValue::Exact(at + 1));
        let mut bar = Rectangle::new([from, to], SERIES.filled());
        bar.set_margin(3, 3, 0, 0);
        bar
    }))?;
    context.draw_series(points.iter().enumerate().map(|(at, (_, _, value))| {
        let place = (*value, SegmentValue::CenterOf(at));
        EmptyElement::at(place) + Text::new(number(*value), (4, -6), ("sans-serif", 15))
    }))?;
    Ok(root.present()?)
}

fn line(chart: &Chart, root: &Area<'_>) -> Drawn {
    let xs = || chart.points.iter().map(|(_, x, _)| *x);
    let least = xs().fold(f64::INFINITY, f64::min);
    let most_x = xs().fold(f64::NEG_INFINITY, f64::max);
    let most_y = end_of(chart.points.iter().map(|(_, _, y)| *y));
    let mut context = ChartBuilder::on(root)
        .margin(8)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(least..most_x.max(least + 1e-9), 0.0..most_y)?;
    mesh(&mut context, &chart.x, &chart.y)?;
    let points = chart.points.iter().map(|(_, x, y)| (*x, *y));
    context.draw_series(LineSeries::new(points, SERIES.stroke_width(2)))?;
    Ok(root.present()?)
}

fn histogram(chart: &Chart, root: &Area<'_>) -> Drawn {
    let values = || chart.points.iter().map(|(_, _, y)| *y);
    let most = end_of(values());
    let mut bins = [0_u64; BINS];
    for value in values() {
        let at = (value / most * BINS as f64) as usize;
        bins[at.min(BINS - 1)] += 1;
    }
    let highest = end_of(bins.iter().map(|count| *count as f64));
    let mut context = ChartBuilder::on(root)
        .margin(8)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..most, 0.0..highest)?;
    // What is counted is the height here.
    mesh(&mut context, &chart.y, &chart.x)?;
    let width = most / BINS as f64;
    context.draw_series(bins.iter().enumerate().map(|(at, count)| {
        let from = (at as f64 * width, 0.0);
        let to = ((at + 1) as f64 * width, *count as f64);
        let mut bar = Rectangle::new([from, to], SERIES.filled());
        bar.set_margin(0, 0, 1, 1);
        bar
    }))?;
    Ok(root.present()?)
}

fn mesh(
    context: &mut ChartContext<
        '_,
        SVGBackend<'_>,
        Cartesian2d<plotters::coord::types::RangedCoordf64, plotters::coord::types::RangedCoordf64>,
    >,
    x: &str,
    y: &str,
) -> Drawn {
    let mut mesh = context.configure_mesh();
    mesh.disable_mesh()
        .axis_style(AXIS)
        .label_style(("sans-serif", 15))
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&|value| number(*value))
        .y_label_formatter(&|value| number(*value))
        .draw()?;
    Ok(())
}

/// Where an axis from 0 ends.
fn end_of(values: impl Iterator<Item = f64>) -> f64 {
    let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    if most > 0.0 { most * 1.02 } else { 1.0 }
}

fn cut(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    let start: String = label.chars().take(LABEL_CHARS_MAX - 1).collect();
    start + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(kind: ChartKind, points: &[(&str, f64, f64)]) -> Chart {
        let points = points
            .iter()
            .map(|(label, x, y)| ((*label).to_owned(), *x, *y));
        Chart {
            title: "title".to_owned(),
            kind,
            x: "across".to_owned(),
            y: "up".to_owned(),
            points: points.collect(),
        }
    }

    #[test]
    fn every_kind_is_drawn_whatever_its_points() {
        for kind in [ChartKind::Bars, ChartKind::Line, ChartKind::Histogram] {
            assert_eq!(svg(&chart(kind, &[])), None);
            for points in [
                &[("a<b", 0.0, 0.0)][..],
                &[("one", 1.0, 5.0), ("two", 2.0, 7.0)],
                &[("same", 1.0, 5.0), ("same", 1.0, 5.0)],
                &[("huge", 1e18, 1e18)],
            ] {
                let svg = svg(&chart(kind, points)).expect("a drawing");
                assert!(
                    svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"),
                    "{svg}"
                );
                assert!(svg.contains("#2F6FB0"), "the series has no colour: {svg}");
                assert!(svg.contains("up"), "{svg}");
            }
        }
    }

    #[test]
    fn labels_are_text_and_never_markup() {
        let svg = svg(&chart(ChartKind::Bars, &[("<script>", 0.0, 1.0)])).expect("a drawing");
        assert!(
            svg.contains("&lt;script&gt;") && !svg.contains("<script"),
            "{svg}"
        );
    }
}
