//! What came out: the table for people, lines of JSON for programs, a picture for both.

use std::fmt::Write as _;

use serde_json::json;

use crate::contestants::Who;
use crate::workloads::{Sample, Workload};

/// Everything measured for one workload, a list of rounds for each server.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) workload: Workload,
    pub(crate) rounds: Vec<(Who, Vec<Sample>)>,
}

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let upper = *values.get(half)?;
        let median = if values.len() % 2 == 1 { upper } else { f64::midpoint(*values.get(half - 1)?, upper) };
        Some(Self { median, min, max })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median >= 100.0 { 0 } else { 2 };
        if self.min.total_cmp(&self.max).is_eq() {
            write!(f, "{:.digits$}", self.median)
        } else {
            write!(f, "{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.min, self.max)
        }
    }
}

impl Results {
    fn samples(&self, who: Who) -> &[Sample] {
        self.rounds.iter().find(|(found, _)| *found == who).map_or(&[], |(_, samples)| samples)
    }

    pub(crate) fn cost(&self, who: Who) -> Option<Spread> {
        Spread::of(self.samples(who).iter().map(|sample| sample.cost))
    }

    /// The cost of one divided by that of the other, round by round.
    pub(crate) fn ratio(&self, above: Who, below: Who) -> Option<Spread> {
        let pairs = self.samples(above).iter().zip(self.samples(below));
        Spread::of(pairs.filter(|(_, below)| below.cost > 0.0).map(|(above, below)| above.cost / below.cost))
    }

    pub(crate) fn over_floor(&self) -> Option<Spread> {
        self.workload.floor.and_then(|floor| self.ratio(Who::Ours, floor))
    }

    pub(crate) fn peer_over_ours(&self) -> Option<Spread> {
        self.ratio(Who::Peer, Who::Ours)
    }

    fn p99_millis(&self, who: Who) -> Option<Spread> {
        Spread::of(self.samples(who).iter().filter_map(|sample| Some(sample.figures.latency?.p99 * 1e3)))
    }

    fn voids(&self) -> Vec<String> {
        let voids = |(who, samples): &(Who, Vec<Sample>)| {
            let count = samples.iter().filter(|sample| sample.void.is_some()).count();
            let why = samples.iter().find_map(|sample| sample.void)?;
            Some(format!("{}: {count} of {} rounds void: {why}", who.name(), samples.len()))
        };
        self.rounds.iter().filter_map(voids).collect()
    }

    /// The rounds as lines of JSON.
    pub(crate) fn json_lines(&self) -> String {
        let mut out = String::new();
        for (who, samples) in &self.rounds {
            for (round, sample) in samples.iter().enumerate() {
                let line = json!({
                    "workload": self.workload.id, "title": self.workload.title, "unit": self.workload.unit,
                    "server": who.name(), "round": round, "cost": sample.cost, "void": sample.void,
                    "client_share": sample.figures.client_share(), "figures": sample.figures,
                });
                let _ = writeln!(out, "{line}");
            }
        }
        out
    }
}

fn cell(spread: Option<Spread>) -> String {
    spread.map_or_else(|| "–".to_owned(), |spread| spread.to_string())
}

/// The table.
pub(crate) fn table(all: &[Results]) -> String {
    let head = [
        "",
        "workload",
        "unit",
        "ours",
        "floor",
        "ours/floor",
        "peer",
        "peer/ours",
        "p99 ms ours",
        "p99 ms peer",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    for results in all {
        let Workload { id, title, unit, floor, .. } = &results.workload;
        rows.push([
            (*id).to_owned(),
            (*title).to_owned(),
            (*unit).to_owned(),
            cell(results.cost(Who::Ours)),
            cell(floor.and_then(|floor| results.cost(floor))),
            cell(results.over_floor()),
            cell(results.cost(Who::Peer)),
            cell(results.peer_over_ours()),
            cell(results.p99_millis(Who::Ours)),
            cell(results.p99_millis(Who::Peer)),
        ]);
    }
    let widths: Vec<usize> = (0..head.len())
        .map(|column| {
            rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let mut out = String::new();
    for row in &rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "{}", cells.join("  ").trim_end());
    }
    for void in all.iter().flat_map(|results| {
        results.voids().into_iter().map(|void| format!("{}: {void}", results.workload.id))
    }) {
        let _ = writeln!(out, "note: {void}");
    }
    out
}

/// The ratios as a picture: bars for ours/floor and peer/ours, a line at 1.
pub(crate) fn picture(all: &[Results]) -> String {
    const ROW: usize = 34;
    const LEFT: usize = 290;
    const UNIT: f64 = 60.0;
    const MOST: f64 = 10.0;
    let rows: Vec<_> = all
        .iter()
        .map(|results| (&results.workload, results.over_floor(), results.peer_over_ours()))
        .filter(|(_, floor, peer)| floor.is_some() || peer.is_some())
        .collect();
    let height = rows.len() * ROW + 50;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1000\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"18\">Processor time or memory as ratios; grey: ours / floor (1 is the limit), \
         blue: peer / ours (longer is better)</text>\n"
    );
    let one = LEFT as f64 + UNIT;
    let _ = writeln!(out, "<line x1=\"{one}\" y1=\"26\" x2=\"{one}\" y2=\"{height}\" stroke=\"#999\"/>");
    for (index, (workload, floor, peer)) in rows.iter().enumerate() {
        let y = 34 + index * ROW;
        let _ = writeln!(out, "<text x=\"10\" y=\"{}\">{} {}</text>", y + 15, workload.id, workload.title);
        for (spread, offset, fill) in [(floor, 0, "#888"), (peer, 13, "#36c")] {
            let Some(spread) = spread else { continue };
            let width = spread.median.min(MOST) * UNIT;
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{}\" width=\"{width:.0}\" height=\"11\" fill=\"{fill}\"/>\n\
                 <text x=\"{:.0}\" y=\"{}\">{spread}</text>",
                y + offset,
                LEFT as f64 + width + 6.0,
                y + offset + 10,
            );
        }
    }
    out.push_str("</svg>\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_figures() {
        let spread = Spread::of([3.0, 1.0, 2.0]).expect("figures");
        assert_eq!(spread, Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([1.0, 2.0]).expect("figures").median, 1.5);
        assert_eq!(Spread::of([]), None);
        assert_eq!(spread.to_string(), "2.00 (1.00–3.00)");
    }
}
