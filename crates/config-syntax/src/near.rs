//! Names that were meant, perhaps.

/// The name among several that looks most like a wrong one.
#[must_use]
pub fn nearest_of<'a>(wrong: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let best = names.map(|name| (distance(wrong, name), name)).min()?;
    (best.0 <= 3.max(wrong.len() / 5)).then_some(best.1)
}

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (at, left) in a.bytes().enumerate() {
        let mut before = at;
        let mut current = at + 1;
        for (slot, right) in row.iter_mut().skip(1).zip(b.bytes()) {
            let change = before + usize::from(left != right);
            before = *slot;
            current = change.min(before + 1).min(current + 1);
            *slot = current;
        }
        if let Some(first) = row.first_mut() {
            *first = at + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
