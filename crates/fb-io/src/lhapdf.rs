//! Grids of parton distributions in LHAPDF's format `lhagrid1`, `SET_0000.dat`, and their interpolation.
//!
//! The table has a row for each knot, with x, Q in GeV, and x·f(x, Q²) of each flavour as `xf_PDG` (`xf_21` is the gluon,
//! `xf_-2` the anti-up quark). [`Grid::xfxq2`] interpolates between the knots.
//! Source: LHAPDF6, arXiv 1412.7420.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};

use crate::table::{self, Table};
use crate::text::Lines;
use crate::{Error, Result};

/// How files begin.
pub(crate) const MAGIC: &[u8] = b"PdfType:";
/// The line that ends the header and every subgrid.
const END: &str = "---";

/// The parton distributions of one member of a set.
#[derive(Debug, Clone)]
pub struct Grid {
    /// PDG numbers of the flavours.
    flavours: Vec<i32>,
    /// Ranges of Q² between flavour thresholds, rising. The last knot of one is the first of the next.
    subgrids: Vec<Subgrid>,
}

#[derive(Debug, Clone)]
struct Subgrid {
    x: Vec<f64>,
    q: Vec<f64>,
    log_x: Vec<f64>,
    log_q2: Vec<f64>,
    /// x·f, [x, Q, flavour].
    values: Vec<f64>,
}

impl Grid {
    /// Reads a member.
    ///
    /// # Errors
    /// [`Error::Corrupt`] with the line; [`Error::Unsupported`] for fewer than 4 knots in x.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut lines = Lines::open(path, 0, 1)?;
        let mut format = None;
        while let Some(line) = lines.peek().filter(|line| line.trim() != END) {
            format = format.or(line.strip_prefix("Format:").map(|name| name.trim().to_owned()));
            lines.advance()?;
        }
        if format.as_deref() != Some("lhagrid1") {
            let found = format.map_or_else(|| "no `Format:`".to_owned(), |name| format!("`{}`", name.escape_default()));
            return Err(Error::unsupported(path, "header", format!("found {found}, expected `Format: lhagrid1`")));
        }
        advance(&mut lines)?;
        let (mut flavours, mut subgrids): (Vec<i32>, Vec<Subgrid>) = Default::default();
        while lines.peek().is_some_and(|line| !line.trim().is_empty()) {
            let (own, subgrid) = Subgrid::read(&mut lines)?;
            if let Some(last) = subgrids.last() {
                if own != flavours {
                    return Err(lines.corrupt("the flavours are others than those of the subgrid before"));
                }
                if last.q.last() != subgrid.q.first() {
                    return Err(lines.corrupt("the subgrid does not begin at the Q at which the one before ends"));
                }
            }
            flavours = own;
            subgrids.push(subgrid);
        }
        if subgrids.is_empty() {
            return Err(lines.corrupt("there is no subgrid"));
        }
        if subgrids.iter().any(|subgrid| subgrid.x.len() < 4) {
            return Err(Error::unsupported(path, "knots in x", "fewer than 4, which cubic interpolation needs"));
        }
        Ok(Self { flavours, subgrids })
    }

    /// PDG numbers of its flavours.
    pub fn flavours(&self) -> &[i32] {
        &self.flavours
    }

    /// x·f(x, Q²) of a flavour (0 is the gluon too), with Q² in GeV². A flavour that the grid does not have has 0.
    /// `None` outside of the grid: there is no extrapolation.
    ///
    /// Cubic in log x and log Q² in each cell, with slopes that are means of the differences to both sides, or the one
    /// difference there is at the edge of a subgrid; linear in both where a subgrid has two knots in Q (`logcubic` of
    /// LHAPDF 6.5).
    /// At a threshold the upper subgrid holds.
    pub fn xfxq2(&self, flavour: i32, x: f64, q2: f64) -> Option<f64> {
        let (log_x, log_q2) = (x.ln(), q2.ln());
        let starts_below = |subgrid: &&Subgrid| subgrid.log_q2[0] <= log_q2;
        let subgrid = self.subgrids.iter().rev().find(starts_below)?;
        let (i, j) = (cell(&subgrid.log_x, log_x)?, cell(&subgrid.log_q2, log_q2)?);
        let wanted = if flavour == 0 { 21 } else { flavour };
        let Some(flavour) = self.flavours.iter().position(|&f| f == wanted) else { return Some(0.0) };
        let value = |i: usize, j: usize| subgrid.values[(i * subgrid.q.len() + j) * self.flavours.len() + flavour];
        let is_cubic = subgrid.q.len() >= 3;
        let at_q = |j: usize| interpolate(&subgrid.log_x, i, log_x, is_cubic, &|i| value(i, j));
        Some(interpolate(&subgrid.log_q2, j, log_q2, is_cubic, &at_q))
    }

    /// The knots as columns.
    fn batch(&self) -> RecordBatch {
        let column = |of: &dyn Fn(&Subgrid) -> Vec<f64>| -> ArrayRef {
            Arc::new(Float64Array::from(self.subgrids.iter().flat_map(of).collect::<Vec<_>>()))
        };
        let mut names = vec!["x".to_owned(), "Q".to_owned()];
        let mut arrays = vec![
            column(&|s| s.x.iter().flat_map(|&x| vec![x; s.q.len()]).collect()),
            column(&|s| s.q.repeat(s.x.len())),
        ];
        for (f, pdg) in self.flavours.iter().enumerate() {
            names.push(format!("xf_{pdg}"));
            arrays.push(column(&|s| s.values[f..].iter().step_by(self.flavours.len()).copied().collect()));
        }
        let field = |name: String| {
            let unit = if name == "Q" { "GeV" } else { "1" };
            Field::new(name, DataType::Float64, false).with_metadata([(table::UNIT.to_owned(), unit.to_owned())])
        };
        let schema = Arc::new(Schema::new(names.into_iter().map(field).collect::<Vec<_>>()));
        RecordBatch::try_new(Arc::clone(&schema), arrays).unwrap_or_else(|_| RecordBatch::new_empty(schema))
    }
}

impl Subgrid {
    /// Flavours and numbers, up to the line behind the subgrid.
    fn read(lines: &mut Lines) -> Result<(Vec<i32>, Self)> {
        let x = knots(lines, "x")?;
        let q = knots(lines, "Q")?;
        let flavours: Vec<i32> = numbers(lines, "PDG numbers")?;
        if let Some(twice) = flavours.iter().enumerate().find(|(i, f)| flavours[..*i].contains(f)) {
            return Err(lines.corrupt(format!("the flavour {} stands twice", twice.1)));
        }
        advance(lines)?;
        let mut values = Vec::new();
        while let Some(line) = lines.peek().filter(|line| line.trim() != END) {
            let before = values.len();
            for field in line.split_whitespace() {
                values.push(number(lines, field, "x·f")?);
            }
            if values.len() - before != flavours.len() {
                let found = values.len() - before;
                return Err(lines.corrupt(format!("found {found} numbers, expected {}", flavours.len())));
            }
            lines.advance()?;
        }
        let (found, expected) = (values.len() / flavours.len(), x.len().saturating_mul(q.len()));
        if found != expected {
            return Err(lines.corrupt(format!("found {found} knots, expected {} · {}", x.len(), q.len())));
        }
        advance(lines)?;
        let log_x = x.iter().map(|x| x.ln()).collect();
        let log_q2 = q.iter().map(|q| (q * q).ln()).collect();
        Ok((flavours, Self { x, q, log_x, log_q2, values }))
    }
}

/// Goes on to the next line, which may be the end of the file only behind [`END`].
fn advance(lines: &mut Lines) -> Result<()> {
    if lines.peek().is_none() {
        return Err(lines.corrupt(format!("the file ends here, expected `{END}`")));
    }
    lines.advance()
}

fn number<T: std::str::FromStr>(lines: &Lines, field: &str, what: &str) -> Result<T> {
    field.parse().map_err(|_| {
        let found: String = field.escape_default().take(40).collect();
        lines.corrupt(format!("found `{found}`, expected {what}"))
    })
}

/// The numbers of the line that comes next, at least one.
fn numbers<T: std::str::FromStr>(lines: &Lines, what: &str) -> Result<Vec<T>> {
    let fields = lines.peek().unwrap_or_default().split_whitespace();
    let numbers = fields.map(|field| number(lines, field, what)).collect::<Result<Vec<T>>>()?;
    if numbers.is_empty() {
        return Err(lines.corrupt(format!("found nothing, expected {what}")));
    }
    Ok(numbers)
}

/// Positive numbers that rise, at least two.
fn knots(lines: &mut Lines, what: &str) -> Result<Vec<f64>> {
    let knots: Vec<f64> = numbers(lines, what)?;
    let is_rising = knots[0] > 0.0 && knots.windows(2).all(|k| k[0] < k[1]) && knots[knots.len() - 1].is_finite();
    if knots.len() < 2 || !is_rising {
        return Err(lines.corrupt(format!("the knots in {what} are not positive and rising, at least two")));
    }
    advance(lines)?;
    Ok(knots)
}

/// The cell of rising knots that a place is in; the last knot belongs to the last cell.
fn cell(knots: &[f64], at: f64) -> Option<usize> {
    let is_inside = knots[0] <= at && at <= knots[knots.len() - 1];
    is_inside.then(|| (knots.partition_point(|&knot| knot <= at) - 1).min(knots.len() - 2))
}

/// Interpolates `y`, a value for each knot, in the cell behind the knot `i`.
fn interpolate(knots: &[f64], i: usize, at: f64, is_cubic: bool, y: &dyn Fn(usize) -> f64) -> f64 {
    let width = knots[i + 1] - knots[i];
    let t = (at - knots[i]) / width;
    let (low, high) = (y(i), y(i + 1));
    let rise = high - low;
    if !is_cubic {
        return low + t * rise;
    }
    // Differences to the neighbours, per width of this cell.
    let below = if i == 0 { rise } else { (low - y(i - 1)) * width / (knots[i] - knots[i - 1]) };
    let above = if i + 2 == knots.len() { rise } else { (y(i + 2) - high) * width / (knots[i + 2] - knots[i + 1]) };
    let (slope_low, slope_high) = (0.5 * (below + rise), 0.5 * (rise + above));
    let (t2, t3) = (t * t, t * t * t);
    (2.0 * t3 - 3.0 * t2 + 1.0) * low
        + (3.0 * t2 - 2.0 * t3) * high
        + (t3 - 2.0 * t2 + t) * slope_low
        + (t3 - t2) * slope_high
}

/// The table of a grid.
pub(crate) fn tables(path: &Path) -> Result<Vec<Box<dyn Table>>> {
    Ok(vec![table::held("", "LHAPDF", &Grid::read(path)?.batch())])
}
