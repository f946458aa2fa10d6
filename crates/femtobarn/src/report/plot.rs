//! A figure in the style of the field's papers, as SVG: ticks inward on all sides, no grid, the label above the frame.

use std::fmt::Write as _;

/// Ten colours that stay apart for the colour-blind too (Petroff, arXiv:2107.02270).
pub const COLOURS: [&str; 10] =
    ["#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"];

/// The colour of the `i`-th curve.
pub fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// Text that is safe between tags and in attributes.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Safe text of a figure; `ε_S` and `ε_B` get their subscripts.
fn label(text: &str) -> String {
    let low = |c: char| format!("ε<tspan dy=\"3\" font-size=\"75%\">{c}</tspan><tspan dy=\"-3\">\u{200b}</tspan>");
    escape(text).replace("ε_S", &low('S')).replace("ε_B", &low('B'))
}

/// How an axis divides its range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By decades.
    Log,
}

/// An axis.
#[derive(Debug, Clone)]
pub struct Axis {
    label: String,
    low: f64,
    high: f64,
    scale: Scale,
}

impl Axis {
    /// From `low` to `high`. An empty or broken range is widened to one that can be drawn.
    pub fn new(label: &str, low: f64, high: f64, scale: Scale) -> Self {
        let (low, high) = match scale {
            Scale::Log => {
                let high = if high.is_finite() && high > 0.0 { high } else { 1.0 };
                (if low > 0.0 && low < high { low } else { high / 10.0 }, high)
            }
            Scale::Linear if low.is_finite() && high.is_finite() && low < high => (low, high),
            Scale::Linear if low.is_finite() => (low - 0.5, low + 0.5),
            Scale::Linear => (0.0, 1.0),
        };
        Self { label: label.to_owned(), low, high, scale }
    }

    /// Where it begins and ends.
    pub fn ends(&self) -> [f64; 2] {
        [self.low, self.high]
    }

    /// Place of `x` between 0 and 1.
    fn place(&self, x: f64) -> f64 {
        match self.scale {
            Scale::Linear => (x - self.low) / (self.high - self.low),
            Scale::Log => (x.max(1e-300) / self.low).ln() / (self.high / self.low).ln(),
        }
    }

    /// (value, whether it carries a number) of each tick.
    fn ticks(&self) -> Vec<(f64, bool)> {
        let mut ticks = Vec::new();
        match self.scale {
            Scale::Log => {
                let decades = (self.high / self.low).log10();
                for exponent in self.low.log10().floor() as i32..=self.high.log10().ceil() as i32 {
                    for digit in 1..10 {
                        let x = f64::from(digit) * 10f64.powi(exponent);
                        // Within a decade or so, some minor ticks carry numbers too.
                        let major = digit == 1 || decades < 1.5 && [2, 5].contains(&digit);
                        ticks.push((x, major));
                    }
                }
            }
            Scale::Linear => {
                let raw = (self.high - self.low) / 5.0;
                let power = 10f64.powf(raw.log10().floor());
                let step =
                    [1.0, 2.0, 5.0, 10.0].into_iter().map(|s| s * power).find(|s| *s >= raw * 0.999).unwrap_or(raw);
                let minor = step / 5.0;
                let first = (self.low / minor).ceil() as i64;
                let last = (self.high / minor).floor() as i64;
                ticks.extend((first..=last).map(|i| (i as f64 * minor, i.rem_euclid(5) == 0)));
            }
        }
        let slack = 1e-9;
        ticks.retain(|(x, _)| (-slack..=1.0 + slack).contains(&self.place(*x)));
        ticks
    }

    fn number(&self, x: f64) -> String {
        if self.scale == Scale::Log && !(0.0999..=9999.0).contains(&x) {
            let exponent = x.log10().floor();
            let digit = (x / 10f64.powf(exponent)).round();
            let digit = if digit == 1.0 { String::new() } else { format!("{digit}·") };
            return format!("{digit}10<tspan dy=\"-6\" font-size=\"70%\">{exponent}</tspan>");
        }
        // As many decimals as the steps need, and no "-0".
        let span = if self.scale == Scale::Log { x } else { (self.high - self.low) / 5.0 };
        let decimals = (-(span.log10() + 1e-9).floor()).clamp(0.0, 6.0) as usize;
        let x = if x.abs() < 1e-12 { 0.0 } else { x };
        format!("{x:.decimals$}")
    }
}

/// A figure that is being drawn.
pub struct Plot {
    size: [f64; 2],
    x: Axis,
    y: Axis,
    body: String,
    /// (characters, markup) of each line.
    legend: Vec<(usize, String)>,
    label: String,
    note: String,
    /// Room for the numbers or names on the left.
    left: f64,
    /// Room above and below the frame.
    top: f64,
    bottom: f64,
    /// Whether the horizontal axis has ticks.
    numbered: bool,
    /// What stands on the left in place of numbers, from above.
    names: Vec<String>,
    /// The colours of a map and what they mean.
    key: String,
}

const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 46.0;
/// Half the room between panels.
const JOINT: f64 = 4.0;
/// Characters of a name on the left.
const LONGEST_NAME: usize = 28;

impl Plot {
    /// An empty figure; `label` stands above its frame on the left, `note` on the right.
    pub fn new(size: [f64; 2], x: Axis, y: Axis, label: &str, note: &str) -> Self {
        let (label, note) = (escape(label), escape(note));
        let (body, legend, names, key) = (String::new(), Vec::new(), Vec::new(), String::new());
        Self { size, x, y, body, legend, label, note, left: LEFT, top: TOP, bottom: BOTTOM, numbered: true, names, key }
    }

    /// As one of several that share the horizontal axis: with another one close above or below, which has the numbers.
    #[must_use]
    pub fn panel(mut self, above: bool, below: bool) -> Self {
        if above {
            self.top = JOINT;
        }
        if below {
            self.bottom = JOINT;
        }
        self
    }

    /// With these names in place of numbers on the left; the vertical axis goes from zero to their number.
    #[must_use]
    pub fn named(mut self, names: &[String]) -> Self {
        let short = |name: &String| match name.char_indices().nth(LONGEST_NAME) {
            Some((at, _)) => format!("{}…", &name[..at]),
            None => name.clone(),
        };
        self.names = names.iter().map(short).collect();
        let longest = self.names.iter().map(|n| n.chars().count()).max().unwrap_or(0);
        self.left = (16.0 + 6.2 * longest as f64).max(LEFT);
        // The frame stays as wide as that of other figures.
        self.size[0] += self.left - LEFT;
        self
    }

    /// Without numbers and ticks below.
    #[must_use]
    pub fn unnumbered(mut self) -> Self {
        self.numbered = false;
        self
    }

    /// A bar from zero beside the `i`-th name, with its error.
    pub fn bar(&mut self, i: usize, value: &fb_core::Value, colour: &str) {
        let y = self.names.len() as f64 - i as f64 - 0.5;
        let ([x0, top], [x1, bottom]) = (self.at(0.0, y + 0.32), self.at(value.central, y - 0.32));
        let ([low, middle], [high, _]) = (self.at(value.low, y), self.at(value.high, y));
        let (x, width, height) = (x0.min(x1), (x1 - x0).abs(), bottom - top);
        let _ = write!(
            self.body,
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\" fill-opacity=\"0.75\"/><path d=\"M{low:.1} {middle:.1}H{high:.1}\" stroke=\"#111\" stroke-width=\"1.3\"/>"
        );
    }

    /// A bar beside the `i`-th name between two values, filled with some of its colour.
    pub fn span(&mut self, i: usize, [from, to]: [f64; 2], colour: &str, fill: f64) {
        let y = self.names.len() as f64 - i as f64 - 0.5;
        let ([x0, top], [x1, bottom]) = (self.at(from.min(to), y + 0.32), self.at(from.max(to), y - 0.32));
        let (width, height) = (x1 - x0, bottom - top);
        let _ = write!(
            self.body,
            "<rect x=\"{x0:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{colour}\" fill-opacity=\"{fill}\" stroke=\"{colour}\"/>"
        );
    }

    /// A point beside the `i`-th name, with its error.
    pub fn mark(&mut self, i: usize, value: &fb_core::Value, colour: &str) {
        let y = self.names.len() as f64 - i as f64 - 0.5;
        let ([low, _], [x, y], [high, _]) = (self.at(value.low, y), self.at(value.central, y), self.at(value.high, y));
        let _ = write!(
            self.body,
            "<path d=\"M{low:.1} {y:.1}H{high:.1}\" stroke=\"{colour}\" stroke-width=\"1.3\"/><circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.8\" fill=\"{colour}\"/>"
        );
    }

    /// Small points without errors.
    pub fn dots(&mut self, points: &[(f64, f64)], colour: &str) {
        for &(x, y) in points {
            let [x, y] = self.at(x, y);
            let _ = write!(
                self.body,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"1.5\" fill=\"{colour}\" fill-opacity=\"0.6\"/>"
            );
        }
    }

    fn inner(&self) -> [f64; 2] {
        [self.size[0] - self.left - RIGHT, self.size[1] - self.top - self.bottom]
    }

    fn at(&self, x: f64, y: f64) -> [f64; 2] {
        let [width, height] = self.inner();
        // Far outside is far enough: no huge numbers in the file.
        let place = |p: f64| if p.is_nan() { 0.0 } else { p.clamp(-2.0, 3.0) };
        [self.left + width * place(self.x.place(x)), self.top + height * (1.0 - place(self.y.place(y)))]
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (i, (x, y)) in points.enumerate() {
            let [x, y] = self.at(x, y);
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        path
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(f64, f64)], colour: &str, dash: &str) {
        let path = self.path(points.iter().copied());
        let dash = if dash.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dash}\"") };
        let _ = write!(self.body, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dash}/>");
    }

    /// The area between two lines.
    pub fn band(&mut self, x: &[f64], low: &[f64], high: &[f64], colour: &str) {
        self.between(x, low, high, colour, 0.25);
    }

    /// The area between two lines, opaque.
    pub fn filled(&mut self, x: &[f64], low: &[f64], high: &[f64], colour: &str) {
        self.between(x, low, high, colour, 1.0);
    }

    fn between(&mut self, x: &[f64], low: &[f64], high: &[f64], colour: &str, opacity: f64) {
        let up = x.iter().zip(high).map(|(x, y)| (*x, *y));
        let down = x.iter().zip(low).rev().map(|(x, y)| (*x, *y));
        let path = self.path(up.chain(down));
        let _ = write!(self.body, "<path d=\"{path}Z\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>");
    }

    /// Text in the middle of a place.
    pub fn text(&mut self, x: f64, y: f64, text: &str, colour: &str) {
        let [x, y] = self.at(x, y);
        let (y, text) = (y + 4.0, escape(text));
        let _ = write!(
            self.body,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"11\" text-anchor=\"middle\" fill=\"{colour}\">{text}</text>"
        );
    }

    /// A histogram as steps, filled with some of its colour where `fill` is above zero.
    pub fn steps(&mut self, edges: &[f64], contents: &[f64], colour: &str, fill: f64) {
        let mut points = vec![(edges[0], self.y.low)];
        for (edges, &y) in edges.windows(2).zip(contents) {
            points.extend([(edges[0], y), (edges[1], y)]);
        }
        points.push((edges[edges.len() - 1], self.y.low));
        let path = self.path(points.into_iter());
        let _ = write!(
            self.body,
            "<path d=\"{path}\" fill=\"{colour}\" fill-opacity=\"{fill}\" stroke=\"{colour}\" stroke-width=\"1.3\"/>"
        );
    }

    /// Points (x, low, central, high) with error bars.
    pub fn points(&mut self, points: &[(f64, f64, f64, f64)], colour: &str) {
        for &(x, low, central, high) in points {
            let ([cx, cy], [_, y0], [_, y1]) = (self.at(x, central), self.at(x, low), self.at(x, high));
            let _ = write!(
                self.body,
                "<path d=\"M{cx:.1} {y0:.1}V{y1:.1}\" stroke=\"{colour}\"/><circle cx=\"{cx:.1}\" cy=\"{cy:.1}\" r=\"2.6\" fill=\"{colour}\"/>"
            );
        }
    }

    /// A rectangle of the plane.
    pub fn cell(&mut self, x: [f64; 2], y: [f64; 2], colour: &str) {
        let ([x0, y0], [x1, y1]) = (self.at(x[0], y[0]), self.at(x[1], y[1]));
        // A little larger, so that no seam shows between neighbours.
        let (w, h) = (x1 - x0 + 0.3, y0 - y1 + 0.3);
        let _ = write!(
            self.body,
            "<rect x=\"{x0:.1}\" y=\"{y1:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"{colour}\"/>"
        );
    }

    /// Plain words above the frame on the left.
    pub fn heading(&mut self, text: &str) {
        let (x, y, text) = (self.left, self.top - 8.0, escape(text));
        let _ = write!(self.key, "<text x=\"{x}\" y=\"{y}\" font-size=\"12\">{text}</text>");
    }

    /// The key of a map above its frame on the right, in place of a note: its colours from the lowest to the highest value.
    pub fn key(&mut self, low: &str, high: &str, colours: &dyn Fn(f64) -> String) {
        let (low, high) = (escape(low), escape(high));
        let (right, y) = (self.size[0] - RIGHT, self.top - 8.0);
        let end = right - 6.2 * high.chars().count() as f64 - 5.0;
        for k in 0..20 {
            let (x, colour) = (end - 80.0 + 4.0 * f64::from(k), colours(f64::from(k) / 19.0));
            let top = y - 9.0;
            let _ = write!(self.key, "<rect x=\"{x:.1}\" y=\"{top}\" width=\"4.2\" height=\"10\" fill=\"{colour}\"/>");
        }
        let start = end - 85.0;
        let _ = write!(
            self.key,
            "<text x=\"{right}\" y=\"{y}\" font-size=\"12\" text-anchor=\"end\">{high}</text>\
             <text x=\"{start:.1}\" y=\"{y}\" font-size=\"12\" text-anchor=\"end\">{low}</text>"
        );
    }

    /// A line of the legend.
    pub fn legend(&mut self, text: &str, colour: &str, dash: &str) {
        let (length, text) = (text.chars().count(), escape(text));
        let markup = format!(
            "<path d=\"M0 0H20\" stroke=\"{colour}\" stroke-width=\"2.2\" stroke-dasharray=\"{dash}\"/><text x=\"26\" y=\"4\" font-size=\"12\">{text}</text>"
        );
        self.legend.push((length, markup));
    }

    /// The SVG element, its legend in a corner.
    pub fn finish(self, corner: Corner) -> String {
        let ([width, height], left, top, bottom) = (self.size, self.left, self.top, self.bottom);
        let [inner_width, inner_height] = self.inner();
        let mut svg =
            format!("<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">");
        // Clip paths share one space of names in a document.
        let id = format!("{:x}", fb_core::philox::hash_text(&self.body));
        let _ = write!(
            svg,
            "<clipPath id=\"c{id}\"><rect x=\"{left}\" y=\"{top}\" width=\"{inner_width}\" height=\"{inner_height}\"/></clipPath><g clip-path=\"url(#c{id})\">{}</g>",
            self.body
        );
        self.frame(&mut svg);
        svg += &self.key;
        let longest = self.legend.iter().map(|l| l.0).max().unwrap_or(0);
        let text_width = (40.0 + 6.4 * longest as f64).min(inner_width);
        let lines = self.legend.len() as f64;
        let (x, y) = match corner {
            Corner::UpperRight => (width - RIGHT - text_width, top + 18.0),
            Corner::LowerRight => (width - RIGHT - text_width, height - bottom - 16.0 * lines + 2.0),
            Corner::UpperLeft => (left + 14.0, top + 18.0),
        };
        for (i, (_, line)) in self.legend.iter().enumerate() {
            let y = y + 16.0 * i as f64;
            let _ = write!(svg, "<g transform=\"translate({x:.0} {y:.0})\">{line}</g>");
        }
        svg + "</svg>"
    }

    fn frame(&self, svg: &mut String) {
        let ([width, height], left, top) = (self.size, self.left, self.top);
        let [inner_width, inner_height] = self.inner();
        let joined = self.bottom == JOINT;
        let mut ticks = String::new();
        for (value, major) in self.x.ticks().into_iter().filter(|_| self.numbered) {
            let [x, _] = self.at(value, self.y.low);
            let length = if major { 8.0 } else { 4.0 };
            let _ = write!(ticks, "M{x:.1} {:.1}v-{length}M{x:.1} {top}v{length}", height - self.bottom);
            if major && !joined {
                let (y, text) = (height - self.bottom + 17.0, self.x.number(value));
                let _ =
                    write!(svg, "<text x=\"{x:.1}\" y=\"{y}\" font-size=\"12\" text-anchor=\"middle\">{text}</text>");
            }
        }
        for (i, name) in self.names.iter().enumerate() {
            let [_, y] = self.at(self.x.low, self.names.len() as f64 - i as f64 - 0.5);
            let (x, y, name) = (left - 6.0, y + 4.0, escape(name));
            let _ = write!(svg, "<text x=\"{x}\" y=\"{y:.1}\" font-size=\"12\" text-anchor=\"end\">{name}</text>");
        }
        let numbers = if self.names.is_empty() { self.y.ticks() } else { Vec::new() };
        for (value, major) in numbers {
            let [_, y] = self.at(self.x.low, value);
            let length = if major { 8.0 } else { 4.0 };
            let _ = write!(ticks, "M{left} {y:.1}h{length}M{:.1} {y:.1}h-{length}", width - RIGHT);
            if major {
                let (x, y, text) = (left - 6.0, y + 4.0, self.y.number(value));
                let _ = write!(svg, "<text x=\"{x}\" y=\"{y:.1}\" font-size=\"12\" text-anchor=\"end\">{text}</text>");
            }
        }
        let (right, bottom) = (width - RIGHT, height - 10.0);
        let _ = write!(
            svg,
            "<path d=\"{ticks}\" stroke=\"#111\" stroke-width=\"0.9\"/>\
             <rect x=\"{left}\" y=\"{top}\" width=\"{inner_width}\" height=\"{inner_height}\" fill=\"none\" stroke=\"#111\" stroke-width=\"1.2\"/>\
             <text x=\"{right}\" y=\"{bottom}\" font-size=\"13\" text-anchor=\"end\">{}</text>\
             <text transform=\"translate(15 {top}) rotate(-90)\" font-size=\"13\" text-anchor=\"end\">{}</text>\
             <text x=\"{left}\" y=\"{}\" font-size=\"13\">{}</text>\
             <text x=\"{right}\" y=\"{}\" font-size=\"12\" text-anchor=\"end\">{}</text>",
            if joined { String::new() } else { label(&self.x.label) },
            label(&self.y.label),
            top - 8.0,
            self.label_markup(),
            top - 8.0,
            self.note
        );
    }

    /// "femtobarn" in bold as an experiment's name would be, the rest in italics.
    fn label_markup(&self) -> String {
        if self.label.is_empty() {
            return String::new();
        }
        format!("<tspan font-weight=\"bold\">femtobarn</tspan> <tspan font-style=\"italic\">{}</tspan>", self.label)
    }
}

/// Where a legend stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corner {
    /// Above, right.
    UpperRight,
    /// Above, left.
    UpperLeft,
    /// Below, right.
    LowerRight,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_numbers_inside_the_axis() {
        let axis = Axis::new("", 0.0, 1.0, Scale::Linear);
        let major: Vec<String> = axis.ticks().iter().filter(|t| t.1).map(|t| axis.number(t.0)).collect();
        assert_eq!(major, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        let axis = Axis::new("", 1.0, 2e4, Scale::Log);
        let major: Vec<f64> = axis.ticks().iter().filter(|t| t.1).map(|t| t.0).collect();
        assert_eq!(major.len(), 5);
        assert!(axis.number(1e4).contains("tspan"));
    }

    #[test]
    fn broken_ranges_are_drawn_all_the_same() {
        for scale in [Scale::Linear, Scale::Log] {
            for (low, high) in [(1.0, 1.0), (f64::NAN, 1.0), (0.0, f64::INFINITY), (-1.0, -2.0)] {
                let axis = Axis::new("x", low, high, scale);
                let plot = Plot::new([300.0, 200.0], axis.clone(), axis, "<l>", "");
                let svg = plot.finish(Corner::UpperRight);
                assert!(!svg.contains("NaN") && !svg.contains("inf") && svg.contains("&lt;l&gt;"));
            }
        }
    }
}
