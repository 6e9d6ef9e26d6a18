//! Plots as SVG, drawn by hand: axes, lines, dots with intervals, bars. Colours come from the page, by class.

use std::fmt::Write as _;

/// The size of every plot, in units that the page scales.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 92.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 52.0;

/// An axis: what it shows, from where to where, and its marks.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    pub(super) title: String,
    pub(super) low: f64,
    pub(super) high: f64,
    /// Where marks are, and what is written there.
    pub(super) marks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis in powers of ten that holds all these values; the values on it are logarithms.
    pub(super) fn powers_of_ten(title: &str, values: impl Iterator<Item = f64>) -> Self {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) =
            logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), log| (low.min(log), high.max(log)));
        if low > high {
            return Self { title: title.to_owned(), low: 0.0, high: 1.0, marks: Vec::new() };
        }
        let (low, high) = (low.floor(), high.ceil().max(low.floor() + 1.0));
        let marks = (low as i32..=high as i32).map(|power| (f64::from(power), grouped(10_f64.powi(power)))).collect();
        Self { title: title.to_owned(), low, high, marks }
    }

    /// An axis from 0 or from `low` that holds all these values.
    pub(super) fn linear(title: &str, low: f64, values: impl Iterator<Item = f64>) -> Self {
        let high = values.filter(|value| value.is_finite()).fold(low, f64::max);
        let step = step((high - low).max(f64::MIN_POSITIVE) / 4.0);
        let count = ((high - low) / step).ceil().max(1.0) as u32;
        let digits = (-step.log10().floor()).max(0.0) as usize;
        let mark = |number| {
            let value = low + step * f64::from(number);
            (value, if digits > 0 { format!("{value:.digits$}") } else { grouped(value) })
        };
        Self {
            title: title.to_owned(),
            low,
            high: low + step * f64::from(count),
            marks: (0..=count).map(mark).collect(),
        }
    }

    /// An axis with a place for each of these texts.
    pub(super) fn places(title: &str, texts: &[String]) -> Self {
        let marks = texts.iter().enumerate().map(|(place, text)| (place as f64, text.clone())).collect();
        Self { title: title.to_owned(), low: -0.5, high: texts.len().max(1) as f64 - 0.5, marks }
    }

    fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

/// 1, 2 or 5 times a power of ten, not less than this.
fn step(least: f64) -> f64 {
    let power = 10_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power).into_iter().find(|step| *step >= least).unwrap_or(power)
}

/// A number with thin spaces between thousands.
pub(super) fn grouped(value: f64) -> String {
    if value.abs() < 1.0 && value != 0.0 {
        return format!("{value}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 && digits.as_bytes()[place - 1].is_ascii_digit() {
            text.push('\u{2009}');
        }
        text.push(digit);
    }
    text
}

/// A plot that is being drawn.
#[derive(Debug)]
pub(super) struct Plot {
    x: Axis,
    y: Axis,
    body: String,
}

impl Plot {
    pub(super) fn new(x: Axis, y: Axis) -> Self {
        Self { x, y, body: String::new() }
    }

    /// A line through these points, in the colour of this number.
    pub(super) fn line(&mut self, colour: usize, points: &[(f64, f64)]) {
        let points: Vec<String> =
            points.iter().map(|&(x, y)| format!("{:.1},{:.1}", self.at_x(x), self.at_y(y))).collect();
        self.draw(format_args!("<polyline class=\"line c{colour}\" points=\"{}\"/>", points.join(" ")));
    }

    /// A dot with its interval.
    pub(super) fn dot(&mut self, colour: usize, x: f64, y: f64, interval: Option<(f64, f64)>, title: &str) {
        let (x, y) = (self.at_x(x), self.at_y(y));
        if let Some((low, high)) = interval {
            let (low, high) = (self.at_y(low), self.at_y(high));
            self.draw(format_args!("<path class=\"line c{colour}\" d=\"M{x:.1} {low:.1}V{high:.1}\"/>"));
        }
        let title = escaped(title);
        self.draw(format_args!(
            "<circle class=\"fill c{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"><title>{title}</title></circle>"
        ));
    }

    /// A bar from the bottom, this wide in units of the axis.
    pub(super) fn bar(&mut self, colour: usize, x: f64, width: f64, y: f64, title: &str) {
        let (left, right) = (self.at_x(x - width / 2.0), self.at_x(x + width / 2.0));
        let (top, bottom) = (self.at_y(y), self.at_y(self.y.low));
        let title = escaped(title);
        self.draw(format_args!(
            "<rect class=\"fill c{colour}\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{title}</title></rect>",
            (right - left).max(0.5),
            bottom - top
        ));
    }

    /// A line across at this height.
    pub(super) fn level(&mut self, y: f64) {
        let (y, right) = (self.at_y(y), WIDTH - RIGHT);
        self.draw(format_args!("<path class=\"level\" d=\"M{LEFT} {y:.1}H{right}\"/>"));
    }

    /// The whole, with a text for those who cannot see it.
    pub(super) fn finish(self, label: &str) -> String {
        let (axes, label) = (self.axes(), escaped(label));
        format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">{axes}{}</svg>", self.body)
    }

    fn axes(&self) -> String {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut text = String::new();
        // Writing to a string does not fail.
        for (value, mark) in &self.y.marks {
            let y = self.at_y(*value);
            let _ = write!(text, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/>");
            let _ =
                write!(text, "<text x=\"{}\" y=\"{:.1}\" class=\"end\">{}</text>", LEFT - 6.0, y + 5.0, escaped(mark));
        }
        for (value, mark) in &self.x.marks {
            let x = self.at_x(*value);
            let _ = write!(text, "<text x=\"{x:.1}\" y=\"{}\" class=\"mid\">{}</text>", bottom + 18.0, escaped(mark));
        }
        let (title, middle) = (escaped(&self.x.title), (LEFT + right) / 2.0);
        let _ = write!(text, "<text x=\"{middle}\" y=\"{}\" class=\"mid title\">{title}</text>", HEIGHT - 8.0);
        let (title, middle) = (escaped(&self.y.title), (TOP + bottom) / 2.0);
        let _ = write!(
            text,
            "<text transform=\"translate(14 {middle}) rotate(-90)\" class=\"mid title\">{title}</text>\
             <path class=\"axis\" d=\"M{LEFT} {TOP}V{bottom}H{right}\"/>"
        );
        text
    }

    fn draw(&mut self, shape: std::fmt::Arguments<'_>) {
        let _ = self.body.write_fmt(shape);
    }

    fn at_x(&self, value: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * self.x.share(value)
    }

    fn at_y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * self.y.share(value)
    }
}

/// Text as it stands in HTML and SVG.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_all_values_and_have_round_marks() {
        let axis = Axis::linear("", 0.0, [3.0, 17.0].into_iter());
        assert_eq!((axis.low, axis.high, axis.marks.len()), (0.0, 20.0, 5));
        let axis = Axis::powers_of_ten("", [150.0, 22_000.0].into_iter());
        assert_eq!(
            axis.marks.iter().map(|(_, mark)| mark.as_str()).collect::<Vec<_>>(),
            ["100", "1\u{2009}000", "10\u{2009}000", "100\u{2009}000"]
        );
        let nothing = Axis::powers_of_ten("", std::iter::empty());
        assert!(nothing.low < nothing.high);
        assert!(Axis::linear("", 0.0, std::iter::empty()).high > 0.0);
    }

    #[test]
    fn text_from_outside_cannot_leave_its_place() {
        let mut plot = Plot::new(Axis::places("", &["<b>".to_owned()]), Axis::linear("", 0.0, [1.0].into_iter()));
        plot.bar(0, 0.0, 0.5, 1.0, "\"&<script>");
        let drawn = plot.finish("a \"label\"");
        assert!(!drawn.contains("<b>") && !drawn.contains("<script>") && drawn.contains("&quot;&amp;&lt;script&gt;"));
    }
}
