//! The text format, version 0.0.4.

use std::fmt::{self, Display, Write};

use crate::prometheus::Report;
use crate::{Distribution, Labels, SampleKind, Shape};

/// Writes metrics that are in the order of their names.
pub(super) fn write(report: &Report) -> String {
    let mut out = String::with_capacity(64 * (report.samples.len() + 8 * report.distributions.len()));
    let mut last = None;
    for sample in &report.samples {
        let name = sample.family.full_name();
        if last.as_ref() != Some(&name) {
            let kind = match sample.family.kind {
                SampleKind::Counter => "counter",
                SampleKind::Gauge => "gauge",
            };
            head(&mut out, &name, sample.family.help, kind);
        }
        line(&mut out, &name, &sample.labels, None, &Number(sample.value));
        last = Some(name);
    }
    for of_name in report.distributions.chunk_by(|one, other| one.name == other.name) {
        if let Some(first) = of_name.first() {
            let kind = if matches!(first.shape, Shape::Summary(_)) { "summary" } else { "histogram" };
            head(&mut out, &first.name, first.help, kind);
        }
        of_name.iter().for_each(|one| distribution(&mut out, one));
    }
    out
}

fn distribution(out: &mut String, one: &Distribution) {
    let Distribution { name, labels, count, sum, .. } = one;
    let bucket = |out: &mut String, bound: f64, below: u64| {
        line(out, &format!("{name}_bucket"), labels, Some(("le", bound)), &below);
    };
    match &one.shape {
        Shape::Summary(quantiles) => {
            for (quantile, value) in quantiles {
                line(out, name, labels, Some(("quantile", *quantile)), &Number(*value));
            }
        }
        Shape::Classic(buckets) => {
            buckets.iter().for_each(|(bound, below)| bucket(out, *bound, *below));
            bucket(out, f64::INFINITY, *count);
        }
        Shape::Native { .. } => bucket(out, f64::INFINITY, *count),
    }
    line(out, &format!("{name}_sum"), labels, None, &Number(*sum));
    line(out, &format!("{name}_count"), labels, None, count);
}

fn head(out: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} {kind}", Escaped(help, false));
}

fn line(out: &mut String, name: &str, labels: &Labels, more: Option<(&str, f64)>, value: &impl Display) {
    out.push_str(name);
    let mut before = '{';
    for (label, text) in labels {
        let _ = write!(out, "{before}{label}=\"{}\"", Escaped(text, true));
        before = ',';
    }
    if let Some((label, number)) = more {
        let _ = write!(out, "{before}{label}=\"{}\"", Number(number));
        before = ',';
    }
    if before == ',' {
        out.push('}');
    }
    let _ = writeln!(out, " {value}");
}

struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            infinite if infinite == f64::INFINITY => f.write_str("+Inf"),
            infinite if infinite == f64::NEG_INFINITY => f.write_str("-Inf"),
            other => write!(f, "{other}"),
        }
    }
}

/// Text in which nothing ends a line, nor, in a label, the text.
struct Escaped<'a>(&'a str, bool);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.1 => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::Exposition;
    use crate::{Family, Sample};

    static COUNT: Family = Family::new(SampleKind::Counter, "test", "count", "Counts \"this\".\nAnd that.");
    static PLAIN: Family = Family::new(SampleKind::Gauge, "", "plain_bytes", "A name of its own.");

    fn spread(name: &str, shape: Shape) -> Distribution {
        let labels = vec![("method", "rpc".into())];
        Distribution { name: name.to_owned(), help: "Spread.", labels, count: 4, sum: 1.5, shape }
    }

    #[test]
    fn metrics_are_written_by_their_names_with_one_head_each() {
        let samples = vec![
            Sample::new(&COUNT, vec![("a", "x\\y\"z\n".into()), ("b", "".into())], 3.0),
            Sample::new(&PLAIN, Vec::new(), 12_345_678_901_234.0),
            Sample::new(&COUNT, vec![("a", "other".into())], 0.5),
        ];
        let distributions = vec![
            spread("seconds_histogram", Shape::Classic(vec![(0.0001, 1), (2.5, 3)])),
            spread("seconds", Shape::Summary(vec![(0.5, 0.25), (0.999, f64::NAN)])),
            spread("native", Shape::Native { schema: 3, zero: 0, buckets: vec![(1, 4)] }),
        ];
        let text = Report::new(samples, distributions).write(Exposition::Text);
        expect_test::expect![[r#"
            # HELP centrifugo_test_count Counts "this".\nAnd that.
            # TYPE centrifugo_test_count counter
            centrifugo_test_count{a="x\\y\"z\n",b=""} 3
            centrifugo_test_count{a="other"} 0.5
            # HELP plain_bytes A name of its own.
            # TYPE plain_bytes gauge
            plain_bytes 12345678901234
            # HELP native Spread.
            # TYPE native histogram
            native_bucket{method="rpc",le="+Inf"} 4
            native_sum{method="rpc"} 1.5
            native_count{method="rpc"} 4
            # HELP seconds Spread.
            # TYPE seconds summary
            seconds{method="rpc",quantile="0.5"} 0.25
            seconds{method="rpc",quantile="0.999"} NaN
            seconds_sum{method="rpc"} 1.5
            seconds_count{method="rpc"} 4
            # HELP seconds_histogram Spread.
            # TYPE seconds_histogram histogram
            seconds_histogram_bucket{method="rpc",le="0.0001"} 1
            seconds_histogram_bucket{method="rpc",le="2.5"} 3
            seconds_histogram_bucket{method="rpc",le="+Inf"} 4
            seconds_histogram_sum{method="rpc"} 1.5
            seconds_histogram_count{method="rpc"} 4
        "#]]
        .assert_eq(std::str::from_utf8(&text).expect("text"));
    }
}
