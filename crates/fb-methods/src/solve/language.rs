//! Equations as text: the one expression language, with unknown functions, their derivatives and integrals.
//!
//! What the language does not know (`phi(0, y)`, `d2(phi, x)`, `laplacian(phi)`, `integral(…, t, 0, x)`) is cut out first and
//! replaced by names of the same length, so that places in errors are those of the text. These names are *arguments*: an
//! equation is then a formula of coordinates and arguments ([`Form`]), whose gradient is exact.

use fb_core::expression::{Binary, Expression};
use fb_core::{Error, Result, closest};
use fb_nn::taylor::{MOST_VARIABLES, Order};
use fb_physics::calculus::Formula;

use super::symbolic;

/// Highest total order of a derivative.
pub(super) const MOST_DERIVATIVES: u8 = 4;
/// Deepest nesting of integrals and derivatives.
pub(super) const DEEPEST: usize = 6;
/// Names that mean something already.
pub(super) const RESERVED: [&str; 9] = ["d", "d1", "d2", "d3", "d4", "laplacian", "integral", "pi", "if"];

/// One coordinate of the place where an unknown is taken.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// A coordinate of the point, or a variable of an integral.
    Coordinate(usize),
    /// A number.
    Constant(f64),
    /// A formula of them.
    Formula(Formula),
}

/// What stands in an equation beside coordinates.
#[derive(Debug, Clone)]
pub(super) enum Argument {
    /// A derivative of an unknown at a place.
    Value { unknown: usize, order: Order, place: Vec<Place> },
    /// ∫ of a form between two formulas of the coordinates.
    Integral { low: Formula, high: Formula, inner: usize },
    /// The eigenvalue.
    Eigenvalue,
}

/// left − right of an equation, or an integrand: a formula of coordinates, then arguments.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub formula: Formula,
    pub coordinates: usize,
    pub arguments: Vec<Argument>,
}

/// The names of a problem.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub variables: Vec<String>,
    pub unknowns: Vec<String>,
    pub parameters: Vec<(String, f64)>,
    pub eigenvalue: Option<String>,
}

impl Names {
    /// Refuses names that are none, and one name for two things.
    pub fn check(&self) -> Result<()> {
        let groups = [("variables", &self.variables), ("unknowns", &self.unknowns)];
        let mut all: Vec<(&str, &str)> =
            groups.iter().flat_map(|(place, names)| names.iter().map(|name| (*place, name.as_str()))).collect();
        all.extend(self.parameters.iter().map(|(name, _)| ("parameters", name.as_str())));
        all.extend(self.eigenvalue.as_deref().map(|name| ("eigenvalue", name)));
        for (at, (place, name)) in all.iter().enumerate() {
            let error = |reason: String| Err(Error::Config { place: format!("solve.{place}"), reason });
            let parsed = Expression::parse(name);
            if !matches!(parsed, Ok(Expression::Name(n)) if n == *name) || name.starts_with('_') || name.contains('.') {
                return error(format!("found `{name}`, expected a name such as `phi`"));
            }
            if RESERVED.contains(name) || all[..at].iter().any(|(_, other)| other == name) {
                return error(format!("`{name}` has two meanings"));
            }
        }
        Ok(())
    }
}

/// An equation or a condition that has been read.
#[derive(Debug)]
pub(super) struct Read {
    pub form: usize,
    /// Variables that the text depends on at the point where it is taken.
    pub free: Vec<bool>,
    /// Whether an unknown stands there without a place.
    pub bare: bool,
}

/// Reads texts into forms.
pub(super) struct Reader<'a> {
    pub names: &'a Names,
    pub forms: Vec<Form>,
    labels: usize,
    free: Vec<bool>,
    bare: bool,
}

/// A stretch of a text.
#[derive(Clone, Copy)]
pub(super) struct Part<'a> {
    pub whole: &'a str,
    pub start: usize,
    pub end: usize,
}

impl<'a> Part<'a> {
    pub fn text(self) -> &'a str {
        &self.whole[self.start..self.end]
    }

    pub fn error(self, reason: impl Into<String>) -> Error {
        let position = self.whole[..self.start].chars().count() + 1;
        Error::Expression { text: self.whole.to_owned(), position, reason: reason.into() }
    }

    pub fn trimmed(self) -> Self {
        let text = self.text();
        let start = self.start + text.len() - text.trim_start().len();
        Self { start, end: (start + text.trim().len()).max(start), ..self }
    }
}

/// Where arguments are collected, by their labels.
#[derive(Default)]
pub(super) struct Slots(pub Vec<(String, Argument)>);

impl<'a> Reader<'a> {
    pub fn new(names: &'a Names) -> Self {
        Self { names, forms: Vec::new(), labels: 0, free: Vec::new(), bare: false }
    }

    /// Reads `left = right`.
    pub fn equation(&mut self, text: &str) -> Result<Read> {
        let part = |start, end| Part { whole: text, start, end };
        if text.len() > 10_000 {
            return Err(Error::Expression {
                text: text.chars().take(40).collect(),
                position: 10_000,
                reason: "longer than 10000 bytes".to_owned(),
            });
        }
        let bytes = text.as_bytes();
        let is_equals = |&i: &usize| {
            bytes[i] == b'='
                && bytes.get(i + 1) != Some(&b'=')
                && (i == 0 || !matches!(bytes[i - 1], b'=' | b'<' | b'>' | b'!'))
        };
        let equals: Vec<usize> = (0..bytes.len()).filter(is_equals).collect();
        let [middle] = equals[..] else {
            let at = equals.get(1).copied().unwrap_or(text.len());
            return Err(part(at, at).error(format!("expected one `=` between two sides, found {}", equals.len())));
        };
        self.free = vec![false; self.names.variables.len()];
        self.bare = false;
        let (scope, mut slots) = (self.names.variables.clone(), Slots::default());
        let left = self.tree(part(0, middle), &scope, &mut slots, 0)?;
        let right = self.tree(part(middle + 1, text.len()), &scope, &mut slots, 0)?;
        let tree = Expression::Binary(Binary::Subtract, Box::new(left), Box::new(right));
        let form = self.form(&tree, &scope, slots)?;
        Ok(Read { form, free: self.free.clone(), bare: self.bare })
    }

    pub(super) fn form(&mut self, tree: &Expression, scope: &[String], slots: Slots) -> Result<usize> {
        let (labels, arguments): (Vec<String>, Vec<Argument>) = slots.0.into_iter().unzip();
        let mut variables = visible(scope);
        variables.extend(labels.iter().map(String::as_str));
        let formula = Formula::new(tree, &variables, &self.names.parameters)?;
        self.forms.push(Form { formula, coordinates: scope.len(), arguments });
        Ok(self.forms.len() - 1)
    }

    /// The tree of a part, with labels for the arguments.
    pub(super) fn tree(&mut self, part: Part, scope: &[String], slots: &mut Slots, depth: usize) -> Result<Expression> {
        if depth > DEEPEST {
            return Err(part.error(format!("integrals and derivatives nested more than {DEEPEST} deep")));
        }
        let (mut masked, mut cut) = (String::with_capacity(part.end - part.start), Vec::new());
        let bytes = part.whole.as_bytes();
        let is_part = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'.';
        let mut at = part.start;
        while at < part.end {
            let Some(c) = part.whole[at..].chars().next() else { break };
            if !(c.is_ascii_alphabetic() || c == '_') || (at > part.start && is_part(bytes[at - 1])) {
                masked.push(c);
                at += c.len_utf8();
                continue;
            }
            let word = at + (at..part.end).take_while(|&i| is_part(bytes[i])).count();
            let name = Part { start: at, end: word, ..part };
            if c == '_' {
                return Err(name.error("a name begins with a letter"));
            }
            let special = self.names.unknowns.iter().any(|u| u == name.text())
                || RESERVED[..7].contains(&name.text()) && !scope.iter().any(|s| s == name.text());
            let Some(open) = Reader::opening(part, word).filter(|_| special) else {
                masked.push_str(name.text());
                at = word;
                continue;
            };
            let (replacement, end) = self.special(name, Part { start: open, ..part }, scope, slots, depth)?;
            self.labels += 1;
            let label = format!("_{}", self.labels);
            let length = part.whole[at..end].chars().count();
            masked.extend(label.chars().chain(std::iter::repeat('_')).take(length.max(label.len())));
            cut.push((masked[masked.len() - length.max(label.len())..].to_owned(), replacement));
            at = end;
        }
        let tree = Expression::parse(&masked).map_err(|error| match error {
            Error::Expression { position, reason, .. } => {
                let before = part.whole[..part.start].chars().count();
                let reason = reason.replace(", found the end", "");
                Error::Expression { text: part.whole.to_owned(), position: position + before, reason }
            }
            other => other,
        })?;
        self.resolved(tree, &cut, part, scope, slots)
    }

    /// Puts in what was cut out, and gives labels to unknowns without a place.
    fn resolved(
        &mut self,
        tree: Expression,
        cut: &[(String, Expression)],
        part: Part,
        scope: &[String],
        slots: &mut Slots,
    ) -> Result<Expression> {
        let mut failed = None;
        let resolved = symbolic::substitute(tree, &mut |name| {
            if let Some((_, tree)) = cut.iter().find(|(label, _)| label == name) {
                return tree.clone();
            }
            if let Some(slot) = scope.iter().rposition(|s| s == name) {
                self.mark(slot);
            } else if let Some(unknown) = self.names.unknowns.iter().position(|u| u == name) {
                return self.here(unknown, [0; MOST_VARIABLES], scope, slots);
            } else if self.names.eigenvalue.as_deref() == Some(name) {
                return self.label(Argument::Eigenvalue, slots);
            } else if !self.names.parameters.iter().any(|(p, _)| p == name) {
                failed.get_or_insert_with(|| self.unknown(name, part, scope));
            }
            Expression::Name(name.to_owned())
        });
        failed.map_or(Ok(resolved), Err)
    }

    fn unknown(&self, name: &str, part: Part, scope: &[String]) -> Error {
        let at = part.text().find(name).map_or(part.start, |at| part.start + at);
        let names = scope.iter().chain(&self.names.unknowns).chain(&self.names.eigenvalue).map(String::as_str);
        let hint = closest(name, names.chain(self.names.parameters.iter().map(|(p, _)| p.as_str())));
        let hint = hint.map_or_else(
            || "; expected a variable, an unknown or one of `parameters`".to_owned(),
            |near| format!("; did you mean `{near}`?"),
        );
        Part { start: at, ..part }.error(format!("nothing is called `{name}`{hint}"))
    }

    fn mark(&mut self, slot: usize) {
        if let Some(free) = self.free.get_mut(slot) {
            *free = true;
        }
    }

    pub(super) fn label(&mut self, argument: Argument, slots: &mut Slots) -> Expression {
        let known = slots.0.iter().find(|(_, other)| match (&argument, other) {
            (Argument::Eigenvalue, Argument::Eigenvalue) => true,
            (Argument::Value { unknown, order, place }, Argument::Value { unknown: u, order: o, place: p }) => {
                unknown == u
                    && order == o
                    && place.iter().zip(p).all(|pair| match pair {
                        (Place::Coordinate(a), Place::Coordinate(b)) => a == b,
                        (Place::Constant(a), Place::Constant(b)) => a == b,
                        _ => false,
                    })
            }
            _ => false,
        });
        if let Some((label, _)) = known {
            return Expression::Name(label.clone());
        }
        self.labels += 1;
        let label = format!("_{}", self.labels);
        slots.0.push((label.clone(), argument));
        Expression::Name(label)
    }

    /// A derivative of an unknown at the coordinates that its variables stand for.
    pub fn here(&mut self, unknown: usize, order: Order, scope: &[String], slots: &mut Slots) -> Expression {
        let slot = |variable: &String| scope.iter().rposition(|s| s == variable).unwrap_or(0);
        let places: Vec<usize> = self.names.variables.iter().map(slot).collect();
        if places.iter().all(|&slot| slot < self.names.variables.len()) {
            self.bare = true;
        }
        for &slot in &places {
            self.mark(slot);
        }
        let place = places.into_iter().map(Place::Coordinate).collect();
        self.label(Argument::Value { unknown, order, place }, slots)
    }

    /// The `(` that follows, if one does.
    pub(super) fn opening(part: Part, from: usize) -> Option<usize> {
        let blanks = part.whole[from..part.end].len() - part.whole[from..part.end].trim_start().len();
        part.whole[from + blanks..part.end].starts_with('(').then_some(from + blanks)
    }
}

/// The names of a scope; one that a later one hides has none.
pub(super) fn visible(scope: &[String]) -> Vec<&str> {
    let hidden = |i: usize| scope[i + 1..].contains(&scope[i]);
    (0..scope.len()).map(|i| if hidden(i) { "" } else { scope[i].as_str() }).collect()
}
