//! What a user sees while a run goes on: a bar on a terminal, one line per epoch elsewhere. All of it on standard
//! error, so that standard output holds results alone.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use fb_core::Progress;

use crate::results::seconds;

/// Standard error.
pub struct Console {
    terminal: bool,
    last: Instant,
}

impl Default for Console {
    fn default() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: Instant::now() }
    }
}

impl Console {
    /// One line.
    pub fn line(&mut self, text: &str) {
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        // A standard error that is closed must not end a training.
        let _ = writeln!(std::io::stderr(), "{clear}{text}");
    }

    /// Something the user should know.
    pub fn warn(&mut self, text: &str) {
        self.line(&format!("warning: {text}"));
    }

    /// How far an epoch is.
    pub fn tick(&mut self, label: &str, epoch: usize, epochs: usize, part: f64) {
        if !self.terminal || self.last.elapsed() < Duration::from_millis(100) {
            return;
        }
        self.last = Instant::now();
        let full = (part * 30.0) as usize;
        let bar = format!("{}{}", "━".repeat(full), "╌".repeat(30 - full.min(30)));
        let _ = write!(std::io::stderr(), "\r\x1b[2K{label}  epoch {epoch}/{epochs}  {bar}");
        let _ = std::io::stderr().flush();
    }

    /// The end of an epoch.
    pub fn epoch(&mut self, label: &str, p: &Progress, time: f64) {
        let (epoch, epochs, time) = (p.epoch, p.epochs, seconds(time));
        let told = |what: &str, x: Option<f64>| x.map_or_else(String::new, |x| format!("  {what} {x:.4}"));
        let validation = told("validation loss", p.validation_loss) + &told("accuracy", p.validation_accuracy);
        self.line(&format!("{label}  epoch {epoch}/{epochs}  loss {:.4}{validation}  {time}", p.loss));
    }
}
