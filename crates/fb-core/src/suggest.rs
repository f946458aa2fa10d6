//! "Did you mean": the nearest of the names that exist.

/// The name nearest to `wanted` in edit distance, if it is near enough to be a slip of the pen.
///
/// ```
/// assert_eq!(fb_core::closest("fischer", ["fisher", "pfn"]), Some("fisher".to_owned()));
/// assert_eq!(fb_core::closest("mass", ["fisher", "pfn"]), None);
/// ```
pub fn closest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let limit = wanted.chars().count().div_ceil(3).max(1);
    names
        .into_iter()
        .map(|name| (distance(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|&(distance, _)| distance <= limit)
        .min()
        .map(|(_, name)| name.to_owned())
}

/// Levenshtein distance: insertions, deletions and substitutions each cost one.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
