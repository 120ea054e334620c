//! A plot over an axis, as SVG: lines, bands and marks in one frame.
//!
//! All plots of a report have the same width and margins, so plots over the same axis stand exactly
//! above each other. Colours are classes that the page's style gives a meaning in light and dark.

use std::fmt::Write;

use super::page::escape;
use super::scale::{Axis, finite};

/// Of every plot, in units of its drawing.
pub(super) const WIDTH: f64 = 960.0;
/// Where the frame begins: the labels at the left need the room.
pub(super) const LEFT: f64 = 88.0;
/// Where the frame ends: the names of lines stand beside it.
pub(super) const RIGHT: f64 = WIDTH - 128.0;
/// Above the frame: what the axis counts.
pub(super) const TOP: f64 = 22.0;
/// Below the frame: ticks.
const BOTTOM: f64 = 24.0;
/// Of a frame.
const HEIGHT: f64 = 170.0;
/// What the name of the other axis takes, above the frame.
const UNIT: f64 = 140.0;
/// Between the names of lines.
const LABEL_STEP: f64 = 15.0;
/// A line is drawn with at most four points for each of these columns.
const COLUMNS: u32 = 800;

/// A plot.
#[derive(Debug)]
pub(super) struct Chart<'a> {
    /// For those who do not see it.
    pub(super) title: &'a str,
    pub(super) x: &'a Axis,
    pub(super) y: Axis,
    /// Below the lines, in this order.
    pub(super) bands: Vec<Band>,
    pub(super) lines: Vec<Line>,
    /// A moment that matters, and its name.
    pub(super) mark: Option<(f64, &'a str)>,
}

/// A value over the axis.
#[derive(Debug)]
pub(super) struct Line {
    /// Stands at its end.
    pub(super) name: String,
    /// A class of the style.
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) shape: Shape,
}

/// How points are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// The value holds until the next.
    Steps,
    /// The value goes straight to the next.
    Straight,
}

/// What lies between two values over the axis.
#[derive(Debug)]
pub(super) struct Band {
    /// A class of the style.
    pub(super) colour: &'static str,
    /// Where, the low value, the high one.
    pub(super) points: Vec<(f64, f64, f64)>,
}

impl Chart<'_> {
    /// The plot as an element of a page.
    pub(super) fn svg(&self) -> String {
        let mut svg = open(self.title, TOP + HEIGHT + BOTTOM);
        grid_x(&mut svg, self.x, TOP, TOP + HEIGHT);
        self.grid_y(&mut svg);
        for band in &self.bands {
            let path = self.area(&band.points);
            let _ = write!(svg, r#"<path class="band {}" d="{path}"/>"#, band.colour);
        }
        for line in &self.lines {
            let path = self.path(line);
            let _ = write!(svg, r#"<path class="line {}" d="{path}"/>"#, line.colour);
        }
        if let Some((at, name)) = self.mark {
            mark(&mut svg, self.x, at, name, TOP + HEIGHT);
        }
        self.names(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn grid_y(&self, svg: &mut String) {
        let _ =
            write!(svg, r#"<text class="unit" x="{LEFT}" y="12">{}</text>"#, escape(self.y.unit));
        for (value, label) in &self.y.ticks {
            let y = number(self.y(*value));
            let class = if *value == 0.0 { "axis" } else { "grid" };
            let _ = write!(
                svg,
                r#"<path class="{class}" d="M{LEFT} {y}H{RIGHT}"/><text class="tick" x="{}" y="{}" text-anchor="end">{label}</text>"#,
                LEFT - 8.0,
                number(self.y(*value) + 4.0),
            );
        }
    }

    /// Names of lines beside their ends, moved apart where they would cover each other.
    fn names(&self, svg: &mut String) {
        let ends = self.lines.iter().filter_map(|line| Some((line, line.points.last()?.1)));
        let mut ends: Vec<(&Line, f64)> = ends.map(|(line, value)| (line, self.y(value))).collect();
        ends.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut floor = TOP;
        for (_, y) in &mut ends {
            *y = y.max(floor);
            floor = *y + LABEL_STEP;
        }
        // What was pushed below the frame goes up again, the lowest first.
        let mut ceiling = TOP + HEIGHT + LABEL_STEP / 2.0;
        for (_, y) in ends.iter_mut().rev() {
            *y = y.min(ceiling);
            ceiling = *y - LABEL_STEP;
        }
        for (line, y) in ends {
            let _ = write!(
                svg,
                r#"<text class="name {}" x="{}" y="{}">{}</text>"#,
                line.colour,
                RIGHT + 8.0,
                number(y + 4.0),
                escape(&line.name),
            );
        }
    }

    fn path(&self, line: &Line) -> String {
        let mut path = String::new();
        for (index, (at, value)) in thinned(&line.points, self.x.end).into_iter().enumerate() {
            let (x, y) = (number(x(self.x, at)), number(self.y(value)));
            let _ = match (index, line.shape) {
                (0, _) => write!(path, "M{x} {y}"),
                (_, Shape::Steps) => write!(path, "H{x}V{y}"),
                (_, Shape::Straight) => write!(path, "L{x} {y}"),
            };
        }
        path
    }

    fn area(&self, points: &[(f64, f64, f64)]) -> String {
        // Every so many points are enough: a band has no peaks that matter.
        let step = points.len().div_ceil(COLUMNS as usize).max(1);
        let points: Vec<_> = points.iter().step_by(step).chain(points.last()).collect();
        let mut path = String::new();
        for (index, (at, _, high)) in points.iter().enumerate() {
            let letter = if index == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{letter}{} {}", number(x(self.x, *at)), number(self.y(*high)));
        }
        for (at, low, _) in points.iter().rev() {
            let _ = write!(path, "L{} {}", number(x(self.x, *at)), number(self.y(*low)));
        }
        if !path.is_empty() {
            path.push('Z');
        }
        path
    }

    fn y(&self, value: f64) -> f64 {
        TOP + HEIGHT * (1.0 - (finite(value) / self.y.end).clamp(0.0, 1.0))
    }
}

/// The beginning of a drawing of this height.
pub(super) fn open(title: &str, height: f64) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {}" role="img" aria-label="{}">"#,
        number(height),
        escape(title)
    )
}

/// Thin lines at the ticks of `axis`, and their labels below.
pub(super) fn grid_x(svg: &mut String, axis: &Axis, top: f64, bottom: f64) {
    for (value, label) in &axis.ticks {
        let at = number(x(axis, *value));
        let _ = write!(
            svg,
            r#"<path class="grid" d="M{at} {}V{}"/><text class="tick" x="{at}" y="{}" text-anchor="middle">{label}</text>"#,
            number(top),
            number(bottom),
            number(bottom + 16.0),
        );
    }
    let _ = write!(
        svg,
        r#"<text class="unit" x="{}" y="{}">{}</text>"#,
        number(RIGHT + 8.0),
        number(bottom + 16.0),
        escape(axis.unit),
    );
}

/// A moment that matters, through the whole height.
pub(super) fn mark(svg: &mut String, axis: &Axis, at: f64, name: &str, bottom: f64) {
    let at = x(axis, at);
    // Its name stands on the side where there is room, and not over what the other axis counts.
    let (anchor, beside) = match at > (LEFT + RIGHT) / 2.0 {
        true => ("end", at - 4.0),
        false => ("start", (at + 4.0).max(LEFT + UNIT)),
    };
    let _ = write!(
        svg,
        r#"<path class="mark" d="M{0} {1}V{2}"/><text class="mark" x="{3}" y="12" text-anchor="{anchor}">{4}</text>"#,
        number(at),
        TOP - 6.0,
        number(bottom),
        number(beside),
        escape(name),
    );
}

/// Where a value of the axis is.
pub(super) fn x(axis: &Axis, value: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * (finite(value) / axis.end).clamp(0.0, 1.0)
}

/// A coordinate with one decimal at most.
pub(super) fn number(value: f64) -> String {
    let text = format!("{:.1}", finite(value));
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// The first, the last, the least and the greatest point of each column: nothing is seen of the rest.
fn thinned(points: &[(f64, f64)], end: f64) -> Vec<(f64, f64)> {
    if points.len() <= COLUMNS as usize * 2 {
        return points.to_vec();
    }
    let column = |at: f64| (at / end * f64::from(COLUMNS)).floor();
    let mut thin = Vec::new();
    for group in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let extremes = [group.iter().min_by(by_value), group.iter().max_by(by_value)];
        let mut kept: Vec<_> =
            extremes.into_iter().chain([group.first(), group.last()]).flatten().copied().collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.dedup();
        thin.extend(kept);
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(x: &Axis, points: Vec<(f64, f64)>, shape: Shape) -> String {
        let line = Line { name: "a < b".to_owned(), colour: "c1", points, shape };
        let y = Axis::count(10.0, "hosts");
        Chart { title: "T", x, y, bands: Vec::new(), lines: vec![line], mark: None }.svg()
    }

    #[test]
    fn a_value_holds_until_the_next_or_goes_straight_to_it() {
        let axis = Axis::time(10_000);
        let points = vec![(0.0, 0.0), (5_000.0, 5.0), (10_000.0, 10.0)];
        let steps = chart(&axis, points.clone(), Shape::Steps);
        assert!(steps.contains("M88 192H460V107H832V22"), "{steps}");
        let straight = chart(&axis, points, Shape::Straight);
        assert!(straight.contains("M88 192L460 107L832 22"), "{straight}");
        assert!(straight.contains(">a &lt; b</text>"), "{straight}");
    }

    #[test]
    fn what_is_no_number_or_out_of_bounds_stays_in_the_frame() {
        let axis = Axis::time(10);
        let svg = chart(&axis, vec![(0.0, f64::NAN), (1e300, 1e300)], Shape::Straight);
        assert!(svg.contains("M88 192L832 22"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn no_points_are_an_empty_frame() {
        let axis = Axis::time(10);
        assert!(chart(&axis, Vec::new(), Shape::Steps).contains(r#"d="""#));
    }

    #[test]
    fn a_long_line_is_thinned_and_keeps_its_peaks() {
        let mut points: Vec<_> = (0..100_000).map(|at| (f64::from(at), 1.0)).collect();
        points[50_001].1 = 9.0;
        points[50_002].1 = 0.0;
        let thin = thinned(&points, 100_000.0);
        assert!(thin.len() < 4_000, "{}", thin.len());
        assert!(thin.contains(&(50_001.0, 9.0)) && thin.contains(&(50_002.0, 0.0)));
        assert_eq!((thin.first(), thin.last()), (points.first(), points.last()));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn names_do_not_cover_each_other() {
        let axis = Axis::time(10);
        let line = |name: &str, value| Line {
            name: name.to_owned(),
            colour: "c1",
            points: vec![(0.0, value)],
            shape: Shape::Steps,
        };
        let lines = vec![line("a", 0.0), line("b", 0.0), line("c", 0.1)];
        let y = Axis::count(10.0, "hosts");
        let svg = Chart { title: "T", x: &axis, y, bands: Vec::new(), lines, mark: None }.svg();
        let at = |name: &str| {
            let before = svg.split(&format!(">{name}</text>")).next().unwrap();
            before.rsplit("y=\"").next().unwrap().trim_end_matches('"').parse::<f64>().unwrap()
        };
        assert!((at("b") - at("a")).abs() >= LABEL_STEP - 0.2, "{svg}");
        assert!((at("a") - at("c")).abs() >= LABEL_STEP - 0.2, "{svg}");
        assert!(at("a").max(at("b")) < TOP + HEIGHT + BOTTOM);
    }
}
