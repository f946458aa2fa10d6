//! What the language of equations has beside expressions: unknowns at places, derivatives, integrals.

use fb_core::expression::Expression;
use fb_core::{Result, closest};
use fb_nn::taylor::MOST_VARIABLES;
use fb_physics::calculus::Formula;

use super::language::{Argument, DEEPEST, MOST_DERIVATIVES, Part, Place, RESERVED, Reader, Slots, visible};
use super::symbolic;

impl<'a> Reader<'a> {
    /// What stands between brackets, cut at commas, and the place behind them.
    fn brackets(part: Part<'a>) -> Result<(Vec<Part<'a>>, usize)> {
        let (mut depth, mut from, mut parts) = (0usize, part.start + 1, Vec::new());
        for (i, byte) in part.text().bytes().enumerate() {
            let at = part.start + i;
            match byte {
                b'(' => depth += 1,
                b')' => depth -= 1,
                _ => {}
            }
            if depth == 0 || (depth == 1 && byte == b',') {
                parts.push(Part { start: from, end: at, ..part }.trimmed());
                from = at + 1;
            }
            if depth == 0 {
                return Ok((parts, at + 1));
            }
        }
        Err(part.error("this bracket is not closed"))
    }

    /// `name(…)`, with the place behind it.
    pub(super) fn special(
        &mut self,
        name: Part,
        open: Part,
        scope: &[String],
        slots: &mut Slots,
        depth: usize,
    ) -> Result<(Expression, usize)> {
        let (parts, end) = Reader::brackets(open)?;
        if let Some(unknown) = self.names.unknowns.iter().position(|u| u == name.text()) {
            let place = self.places(name, &parts, scope)?;
            let value = Argument::Value { unknown, order: [0; MOST_VARIABLES], place };
            return Ok((self.label(value, slots), end));
        }
        if name.text() == "integral" {
            return Ok((self.integral(name, &parts, scope, slots, depth)?, end));
        }
        let [inner, by @ ..] = &parts[..] else { return Err(name.error("expected an expression")) };
        let directions: Vec<Vec<usize>> = if name.text() == "laplacian" {
            if !by.is_empty() {
                return Err(name.error(format!("`laplacian` takes one argument, found {}", parts.len())));
            }
            (0..self.names.variables.len()).map(|i| vec![i, i]).collect()
        } else {
            vec![self.directions(name, by, scope)?]
        };
        if let Some(unknown) = self.names.unknowns.iter().position(|u| u == inner.text()) {
            let mut orders = directions.iter().map(|directions| {
                let mut order = [0; MOST_VARIABLES];
                for &i in directions {
                    order[i] += 1;
                }
                order
            });
            if let (Some(second), false) = (Reader::opening(open, end), name.text() == "laplacian") {
                let (places, end) = Reader::brackets(Part { start: second, ..open })?;
                let place = self.places(name, &places, scope)?;
                let order = orders.next().unwrap_or_default();
                return Ok((self.label(Argument::Value { unknown, order, place }, slots), end));
            }
            let dummy = by.iter().find(|by| !self.names.variables.iter().any(|v| v == by.text()));
            if let Some(dummy) = dummy {
                // In an integral over t, with one variable: the derivative at t.
                let slot = scope.iter().rposition(|s| s == dummy.text()).unwrap_or(0);
                let order = orders.next().unwrap_or_default();
                let place = vec![Place::Coordinate(slot)];
                return Ok((self.label(Argument::Value { unknown, order, place }, slots), end));
            }
            let terms: Vec<Expression> =
                orders.collect::<Vec<_>>().into_iter().map(|o| self.here(unknown, o, scope, slots)).collect();
            return Ok((symbolic::sum(terms), end));
        }
        if scope.len() > self.names.variables.len() {
            return Err(name.error("in an integral only an unknown itself can be differentiated"));
        }
        let tree = self.tree(*inner, scope, slots, depth + 1)?;
        let mut terms = Vec::new();
        for directions in directions {
            let mut term = tree.clone();
            for by in directions {
                term = self.derivative(&term, by, scope, slots).map_err(|reason| name.error(reason))?;
            }
            terms.push(term);
        }
        Ok((symbolic::sum(terms), end))
    }

    /// ∂/∂xᵢ of an expression with unknowns in it, by the chain rule.
    fn derivative(
        &mut self,
        tree: &Expression,
        by: usize,
        scope: &[String],
        slots: &mut Slots,
    ) -> std::result::Result<Expression, String> {
        let variable = self.names.variables[by].clone();
        let derived = symbolic::differentiate(tree, &mut |name| {
            if name == variable {
                return Ok(Some(Expression::Number(1.0)));
            }
            let Some((_, argument)) = slots.0.iter().find(|(label, _)| label == name) else { return Ok(None) };
            match argument.clone() {
                Argument::Eigenvalue => Ok(None),
                Argument::Value { unknown, mut order, place } => {
                    if place.iter().all(|p| matches!(p, Place::Constant(_))) {
                        return Ok(None);
                    }
                    let own = place.iter().enumerate().all(|(i, p)| matches!(p, Place::Coordinate(j) if *j == i));
                    if !own {
                        return Err("cannot differentiate an unknown at another place".to_owned());
                    }
                    order[by] += 1;
                    if order.iter().sum::<u8>() > MOST_DERIVATIVES {
                        return Err(format!("derivatives beyond order {MOST_DERIVATIVES} are not taken"));
                    }
                    Ok(Some(self.here(unknown, order, scope, slots)))
                }
                Argument::Integral { .. } => Err("cannot differentiate an integral; write it out".to_owned()),
            }
        })?;
        if symbolic::size(&derived) > 20_000 {
            return Err("its derivative is too long".to_owned());
        }
        Ok(derived)
    }

    /// The variables by which `d(…, x)`, `d2(…, x)`, `d2(…, x, y)` differentiate.
    fn directions(&self, name: Part, by: &[Part], scope: &[String]) -> Result<Vec<usize>> {
        let order = name.text()[1..].parse::<usize>().ok();
        let mut found = Vec::new();
        for part in by {
            let variables = &self.names.variables;
            let dummy = scope.len() > variables.len() && scope.iter().any(|s| s == part.text());
            match variables.iter().position(|v| v == part.text()) {
                Some(i) => found.push(i),
                None if dummy && variables.len() == 1 => found.push(0),
                None => {
                    let hint = closest(part.text(), variables.iter().map(String::as_str));
                    let hint = hint.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                    return Err(part.error(format!("no variable `{}` to differentiate by{hint}", part.text())));
                }
            }
        }
        match (order, &found[..]) {
            (_, []) => Err(name.error(format!("`{}` takes an expression and a variable", name.text()))),
            (Some(order), &[one]) => Ok(vec![one; order]),
            (Some(order), several) if several.len() != order => {
                Err(name.error(format!("`{}` takes one variable or {order}, found {}", name.text(), several.len())))
            }
            (_, several) if several.len() > usize::from(MOST_DERIVATIVES) => {
                Err(name.error(format!("derivatives beyond order {MOST_DERIVATIVES} are not taken")))
            }
            _ => Ok(found),
        }
    }

    /// The place of `phi(…)`.
    pub(super) fn places(&mut self, name: Part, parts: &[Part], scope: &[String]) -> Result<Vec<Place>> {
        let expected = self.names.variables.len();
        if parts.len() != expected || parts.iter().any(|part| part.text().is_empty()) {
            let list = self.names.variables.join(", ");
            return Err(
                name.error(format!("expected a place with {expected} coordinates ({list}), found {}", parts.len()))
            );
        }
        parts.iter().map(|part| self.place(*part, scope)).collect()
    }

    fn place(&mut self, part: Part, scope: &[String]) -> Result<Place> {
        let mut slots = Slots::default();
        let tree = self.tree(part, scope, &mut slots, DEEPEST)?;
        if !slots.0.is_empty() {
            return Err(part.error("a place may not depend on unknowns"));
        }
        if let Expression::Name(name) = &tree
            && let Some(slot) = scope.iter().rposition(|s| s == name)
        {
            return Ok(Place::Coordinate(slot));
        }
        let formula = Formula::new(&tree, &visible(scope), &self.names.parameters)?;
        if tree.names().iter().any(|name| scope.iter().any(|s| s == name)) {
            return Ok(Place::Formula(formula));
        }
        let value = formula.evaluator().value(&vec![0.0; scope.len()]);
        if value.is_finite() { Ok(Place::Constant(value)) } else { Err(part.error(format!("this place is {value}"))) }
    }

    fn integral(
        &mut self,
        name: Part,
        parts: &[Part],
        scope: &[String],
        slots: &mut Slots,
        depth: usize,
    ) -> Result<Expression> {
        let [inner, dummy, low, high] = parts else {
            let found = parts.len();
            return Err(name.error(format!("expected `integral(expression, t, low, high)`, found {found} arguments")));
        };
        let known = |names: &[String]| names.iter().any(|n| n == dummy.text());
        let parsed = Expression::parse(dummy.text());
        if !matches!(parsed, Ok(Expression::Name(ref n)) if n == dummy.text() && !n.contains('.') && !n.starts_with('_'))
            || known(&self.names.unknowns)
            || self.names.parameters.iter().any(|(p, _)| p == dummy.text())
            || RESERVED.contains(&dummy.text())
        {
            return Err(dummy
                .error(format!("`{}` cannot be the variable of an integral; take a name such as `t`", dummy.text())));
        }
        let mut limit = |part: &Part| -> Result<Formula> {
            let mut none = Slots::default();
            let tree = self.tree(*part, scope, &mut none, DEEPEST)?;
            if !none.0.is_empty() {
                return Err(part.error("a limit may not depend on unknowns"));
            }
            Formula::new(&tree, &visible(scope), &self.names.parameters)
        };
        let (low, high) = (limit(low)?, limit(high)?);
        let mut deeper = scope.to_vec();
        deeper.push(dummy.text().to_owned());
        let mut own = Slots::default();
        let tree = self.tree(*inner, &deeper, &mut own, depth + 1)?;
        let inner = self.form(&tree, &deeper, own)?;
        Ok(self.label(Argument::Integral { low, high, inner }, slots))
    }
}
