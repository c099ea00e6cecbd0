//! The rates as bars, in SVG.

use std::fmt::Write as _;

const LINE: f64 = 26.0;
const LABELS: f64 = 400.0;
const BARS: f64 = 420.0;
const VALUES: f64 = 110.0;

/// A bar for each name and rate; a line marks the rate of the first.
pub(crate) fn bars(title: &str, rates: &[(&str, f64)]) -> String {
    let most = rates.iter().map(|(_, rate)| *rate).fold(1.0, f64::max);
    let (width, height) = (LABELS + BARS + VALUES, LINE * (rates.len() as f64 + 2.0));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"8\" y=\"18\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    for (n, (name, rate)) in rates.iter().enumerate() {
        let (top, length) = (LINE * (n as f64 + 1.5), BARS * rate / most);
        let colour = if name.starts_with("sink") { "#2b6cb0" } else { "#a0aec0" };
        let text = top + 15.0;
        write!(
            svg,
            "<text x=\"{:.0}\" y=\"{text}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LABELS}\" y=\"{top}\" width=\"{length:.0}\" height=\"20\" fill=\"{colour}\"/>\n\
             <text x=\"{:.0}\" y=\"{text}\">{:.0},000/s</text>\n",
            LABELS - 8.0,
            escaped(name),
            LABELS + length + 6.0,
            rate / 1000.0
        )
        .expect("writing to a String cannot fail");
    }
    if let Some((_, first)) = rates.first() {
        let x = LABELS + BARS * first / most;
        writeln!(
            svg,
            "<line x1=\"{x:.0}\" x2=\"{x:.0}\" y1=\"{LINE}\" y2=\"{:.0}\" stroke=\"#c53030\" stroke-dasharray=\"4\"/>",
            height - LINE / 2.0
        )
        .expect("writing to a String cannot fail");
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
