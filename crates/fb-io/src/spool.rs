//! Columns put aside while they are written: formats of whole arrays (NumPy, HDF5) must know lengths before values.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, SchemaRef};
use fb_core::Unit;

use crate::arrays::OFFSETS;
use crate::file::{aside, system};
use crate::raw::{Element, Scalar};
use crate::table::{self, UNIT};
use crate::{Error, Result};

/// Texts of up to this many bytes are one array; each entry takes as much as the longest.
const LONGEST_TEXT: usize = 1 << 16;

/// The columns of a file to be.
pub(crate) struct Spool {
    path: PathBuf,
    columns: Vec<Column>,
}

struct Column {
    values: Spooled,
    offsets: Option<Spooled>,
}

/// An array that is complete but for its place in the file.
pub(crate) struct Spooled {
    /// Its name.
    pub(crate) name: String,
    /// Its unit.
    pub(crate) unit: Unit,
    /// What an entry is; texts have the width of the longest.
    pub(crate) element: Element,
    /// Number of entries.
    pub(crate) entries: u64,
    file: BufWriter<File>,
}

impl Spool {
    /// Room for the columns of a schema: numbers and texts, lists of them, and arrays of a fixed shape in both.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for columns of another kind.
    pub(crate) fn new(path: &Path, schema: &SchemaRef) -> Result<Self> {
        let columns = schema.fields().iter().map(|field| column(path, field)).collect::<Result<Vec<_>>>()?;
        let spool = Self { path: path.to_owned(), columns };
        let names: Vec<&str> = spool.arrays().map(|array| array.name.as_str()).collect();
        if let Some((_, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            let reason = "there are two arrays of this name (`NAME_offsets` goes with lists)";
            return Err(Error::unsupported(path, format!("column `{twice}`"), reason));
        }
        Ok(spool)
    }

    fn arrays(&self) -> impl Iterator<Item = &Spooled> {
        self.columns.iter().flat_map(|column| std::iter::once(&column.values).chain(&column.offsets))
    }

    /// Appends rows.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        for (column, array) in self.columns.iter_mut().zip(batch.columns()) {
            let name = column.values.name.clone();
            let put = match &mut column.offsets {
                None => column.values.put(array),
                Some(offsets) => lists(array).and_then(|(ends, content)| {
                    let base = column.values.entries;
                    for end in ends {
                        offsets.file.write_all(&(base + end).to_le_bytes()).map_err(Fault::System)?;
                        offsets.entries += 1;
                    }
                    column.values.put(&content)
                }),
            };
            put.map_err(|fault| match fault {
                Fault::System(source) => system("write", &self.path)(source),
                Fault::Kind(reason) => Error::unsupported(&self.path, format!("column `{name}`"), reason),
            })?;
        }
        Ok(())
    }

    /// The arrays, in the order of the columns.
    pub(crate) fn into_arrays(self) -> impl Iterator<Item = Spooled> {
        self.columns.into_iter().flat_map(|column| std::iter::once(column.values).chain(column.offsets))
    }
}

fn column(path: &Path, field: &Field) -> Result<Column> {
    let (mut content, is_list) = match field.data_type() {
        DataType::List(inner) | DataType::LargeList(inner) => (inner.data_type(), true),
        other => (other, false),
    };
    let mut shape = Vec::new();
    while let DataType::FixedSizeList(inner, n) = content {
        shape.push(*n as usize);
        content = inner.data_type();
    }
    let Some(scalar) = Scalar::of(content) else {
        let reason = format!("{content} does not fit into arrays; write .parquet instead");
        return Err(Error::unsupported(path, format!("column `{}`", field.name()), reason));
    };
    let unit = field.metadata().get(UNIT).map_or(Unit::Unknown, |symbol| Unit::from_symbol(symbol));
    let spooled = |name: String, unit, scalar, shape| {
        let element = Element { scalar, big_endian: false, shape };
        Ok::<_, Error>(Spooled { name, unit, element, entries: 0, file: BufWriter::new(aside(path)?) })
    };
    let values = spooled(field.name().clone(), unit, scalar, shape)?;
    let mut offsets = None;
    if is_list {
        let mut first = spooled(format!("{}{OFFSETS}", field.name()), Unit::Unknown, Scalar::Uint(8), Vec::new())?;
        first.file.write_all(&0u64.to_le_bytes()).map_err(system("write", path))?;
        first.entries = 1;
        offsets = Some(first);
    }
    Ok(Column { values, offsets })
}

enum Fault {
    System(std::io::Error),
    Kind(String),
}

/// Where each list ends, and what they hold.
fn lists(array: &ArrayRef) -> std::result::Result<(Vec<u64>, ArrayRef), Fault> {
    let lists = table::lists(array);
    let (offsets, content) = lists.ok_or_else(|| Fault::Kind(format!("{} in a column of lists", array.data_type())))?;
    // A missing list stands for an empty one where it holds no entry.
    if (0..array.len()).any(|i| array.is_null(i) && offsets[i] < offsets[i + 1]) {
        return Err(Fault::Kind("a missing list holds entries".to_owned()));
    }
    Ok((offsets.iter().skip(1).map(|&o| o as u64).collect(), content))
}

impl Spooled {
    /// Appends the entries of an array.
    fn put(&mut self, array: &ArrayRef) -> std::result::Result<(), Fault> {
        self.entries += array.len() as u64;
        let mut array = ArrayRef::clone(array);
        while let Some(list) = array.as_fixed_size_list_opt() {
            if list.null_count() > 0 {
                return Err(Fault::Kind("a list of a fixed length is missing (null)".to_owned()));
            }
            array = ArrayRef::clone(list.values());
        }
        let is_float = array.data_type().is_floating();
        if array.null_count() > 0 && !is_float {
            let reason = "a value is missing (null), and only floats can say so; write .parquet instead";
            return Err(Fault::Kind(reason.to_owned()));
        }
        macro_rules! numbers {
            ($kind:ty, $missing:expr) => {
                for value in array.as_primitive::<$kind>() {
                    self.file.write_all(&value.unwrap_or($missing).to_le_bytes()).map_err(Fault::System)?;
                }
            };
        }
        match array.data_type() {
            DataType::Boolean => {
                for bit in array.as_boolean() {
                    self.file.write_all(&[u8::from(bit == Some(true))]).map_err(Fault::System)?;
                }
            }
            DataType::Int8 => numbers!(Int8Type, 0),
            DataType::Int16 => numbers!(Int16Type, 0),
            DataType::Int32 => numbers!(Int32Type, 0),
            DataType::Int64 => numbers!(Int64Type, 0),
            DataType::UInt8 => numbers!(UInt8Type, 0),
            DataType::UInt16 => numbers!(UInt16Type, 0),
            DataType::UInt32 => numbers!(UInt32Type, 0),
            DataType::UInt64 => numbers!(UInt64Type, 0),
            DataType::Float16 => numbers!(Float16Type, "NaN".parse().unwrap_or_default()),
            DataType::Float32 => numbers!(Float32Type, f32::NAN),
            DataType::Float64 => numbers!(Float64Type, f64::NAN),
            DataType::Utf8 => array.as_string::<i32>().iter().flatten().try_for_each(|text| self.text(text))?,
            DataType::LargeUtf8 => array.as_string::<i64>().iter().flatten().try_for_each(|text| self.text(text))?,
            other => return Err(Fault::Kind(format!("{other} in a column of {}", self.element.type_name()))),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> std::result::Result<(), Fault> {
        if text.len() > LONGEST_TEXT {
            let reason =
                format!("a text of {} bytes, expected up to {LONGEST_TEXT}; write .parquet instead", text.len());
            return Err(Fault::Kind(reason));
        }
        let Scalar::Utf8(widest) = &mut self.element.scalar else { return Ok(()) };
        *widest = text.len().max(*widest);
        self.file.write_all(&(text.len() as u32).to_le_bytes()).map_err(Fault::System)?;
        self.file.write_all(text.as_bytes()).map_err(Fault::System)
    }

    /// Calls `each` with the bytes of one stretch of entries after the other. Texts come filled up to the width, each
    /// as `fill` does it.
    pub(crate) fn pour<E: From<std::io::Error>>(
        self,
        fill: impl Fn(&str, &mut Vec<u8>),
        each: &mut dyn FnMut(&[u8]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        let mut reader = BufReader::with_capacity(1 << 16, file);
        let mut bytes = Vec::new();
        if matches!(self.element.scalar, Scalar::Utf8(_)) {
            let mut text = Vec::new();
            let count = self.entries * self.element.count().unwrap_or(0) as u64;
            for _ in 0..count {
                let mut length = [0; 4];
                reader.read_exact(&mut length)?;
                text.resize(u32::from_le_bytes(length) as usize, 0);
                reader.read_exact(&mut text)?;
                fill(&String::from_utf8_lossy(&text), &mut bytes);
                if bytes.len() > 1 << 20 {
                    each(&bytes)?;
                    bytes.clear();
                }
            }
            return if bytes.is_empty() { Ok(()) } else { each(&bytes) };
        }
        // Whole entries at a time.
        let size = self.element.size().unwrap_or(1).max(1);
        let step = ((1 << 20) / size).max(1) * size;
        loop {
            bytes.clear();
            reader.by_ref().take(step as u64).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                return Ok(());
            }
            each(&bytes)?;
        }
    }
}
