//! Exported networks under onnxruntime, which is loaded while the program runs and not needed to build it.

use std::borrow::Cow;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use crate::{Error, Inputs};

/// What to do where the library is missing.
const HINT: &str =
    "install it with `pip install onnxruntime` and name the library with `--onnxruntime` or ORT_DYLIB_PATH";
/// Events that are computed at a time: networks of pairs of particles take some megabytes for each.
const BLOCK: usize = 32;

/// The library that was loaded first serves the whole process.
static LOADED: Mutex<Option<(PathBuf, Environment)>> = Mutex::new(None);

/// An exported network under onnxruntime, on one thread.
pub struct Runtime {
    session: Session,
}

impl Runtime {
    /// Loads the library (`libonnxruntime.so`, version 1.16 or later) and in it the bytes of a model.
    ///
    /// # Errors
    /// [`Error::Runtime`] with a hint where there is no library, it is another one or it is not the one that this
    /// process has loaded before, and where it refuses the model.
    pub fn open(library: Option<&Path>, model: &[u8]) -> Result<Self, Error> {
        let library = library.ok_or_else(|| Error::Runtime { reason: format!("no library given; {HINT}") })?;
        let environment = environment(library)?;
        let builder = Session::builder(&environment).map_err(refused)?;
        let builder = builder.with_intra_threads(1).map_err(refused)?;
        let builder = builder.with_inter_threads(1).map_err(refused)?;
        let mut builder = builder.with_log_level(LogLevel::Error).map_err(refused)?;
        Ok(Self { session: builder.commit_from_memory(model).map_err(refused)? })
    }

    /// Probabilities [event, class], or of pairs [event, particle, particle].
    ///
    /// # Errors
    /// [`Error::Runtime`] where the inputs are not those of the model.
    pub fn probabilities(&mut self, inputs: &Inputs) -> Result<Vec<f32>, Error> {
        let mut all = Vec::new();
        for start in (0..inputs.len()).step_by(BLOCK) {
            let events = start..(start + BLOCK).min(inputs.len());
            let mut values: Vec<(Cow<'_, str>, SessionInputValue<'_>)> = Vec::new();
            for tensor in inputs.tensors() {
                let mut shape = tensor.shape.clone();
                let row: usize = shape[1..].iter().product();
                shape[0] = events.len();
                let view = TensorRef::from_array_view((shape, &tensor.values[events.start * row..events.end * row]));
                values.push((Cow::from(tensor.name.as_str()), view.map_err(refused)?.into()));
            }
            let outputs = self.session.run(values).map_err(refused)?;
            let output = outputs.get("probabilities").or_else(|| outputs.get("pairs"));
            let output = output.ok_or_else(|| refused("the model gives neither `probabilities` nor `pairs`"))?;
            all.extend_from_slice(output.try_extract_tensor::<f32>().map_err(refused)?.1);
        }
        Ok(all)
    }
}

fn refused(reason: impl Display) -> Error {
    Error::Runtime { reason: reason.to_string() }
}

/// The environment of the library, which is loaded on the first call.
fn environment(library: &Path) -> Result<Environment, Error> {
    let shown = library.display();
    let absent = |reason: &dyn Display| Error::Runtime { reason: format!("cannot load `{shown}`: {reason}; {HINT}") };
    let path = library.canonicalize().map_err(|e| absent(&e))?;
    if !path.is_file() {
        return Err(absent(&"it is not a file"));
    }
    let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    match &*loaded {
        Some((first, environment)) if *first == path => Ok(environment.clone()),
        Some((first, _)) => {
            Err(refused(format!("`{}` is loaded already, and a process can load one library only", first.display())))
        }
        None => {
            let builder = ort::init_from(&path).map_err(|e| absent(&e))?;
            let environment = builder.with_name("femtobarn").with_telemetry(false).build().map_err(|e| absent(&e))?;
            *loaded = Some((path, environment.clone()));
            Ok(environment)
        }
    }
}
