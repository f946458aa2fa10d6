//! What every format gives: tables of branches, read by ranges of entries into columns of Arrow.
//!
//! Arrow's arrays hold all that files of this field contain (numbers of every width, texts, lists of lists, records,
//! missing values), so formats convert into each other without loss. [`events`] narrows them to what methods see.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::types::{
    Decimal32Type, Decimal64Type, Decimal128Type, Decimal256Type, DecimalType, Float16Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, FixedSizeListArray, Float32Array, Float64Array,
    Int64Array, LargeBinaryArray, LargeListArray, LargeStringArray, ListArray, MapArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray, StructArray, make_array,
};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use fb_core::{Column, Data, Events, Unit};

use crate::Result;
pub use crate::batches::{Batches, batches, read_batch};

/// Key of a field's metadata that holds the symbol of its unit.
pub const UNIT: &str = "unit";

/// A branch (column, field, data set) of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Its name in the file.
    pub name: String,
    /// Its type in the words of the format: `vector<float>`, `Int_t[3]`, `<f4`.
    pub type_name: String,
    /// The type of its arrays, or why it is not read.
    pub content: std::result::Result<DataType, String>,
    /// Its unit, where the file or the name says.
    pub unit: Unit,
}

impl Branch {
    /// The field of a schema. A branch that is not read has none.
    pub fn field(&self) -> Option<Field> {
        let field = Field::new(&self.name, self.content.clone().ok()?, true);
        let unit = self.unit.symbol();
        Some(if unit.is_empty() { field } else { field.with_metadata([(UNIT.to_owned(), unit.to_owned())]) })
    }
}

/// A table in a file: a `TTree`, an `RNTuple`, a Parquet file, a group of an HDF5 file.
pub trait Table: Send + Sync {
    /// Its path in the file; empty where the file is the table.
    fn name(&self) -> &str;
    /// What it is: `TTree`, `RNTuple`, `Parquet`, ….
    fn kind(&self) -> &'static str;
    /// Number of entries (events).
    fn entries(&self) -> u64;
    /// All its branches, those that are not read as well.
    fn branches(&self) -> &[Branch];
    /// Ranges of entries that are stored together, in order and without a gap: the natural blocks to read. Each fits
    /// into memory.
    fn clusters(&self) -> Vec<Range<u64>>;
    /// Reads these entries of the branches of these indices, all of which must be readable. The arrays have the types
    /// that [`Branch::content`] tells. Calls from several threads at once are welcome.
    ///
    /// # Errors
    /// [`crate::Error`] with the branch and the entries.
    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>>;
    /// Why the table, which its file names, cannot be opened. It then has no branches.
    fn damage(&mut self) -> Option<crate::Error> {
        None
    }
    /// Whether branches are stored apart, so that threads may share them out.
    fn is_columnar(&self) -> bool {
        true
    }
    /// Cuts these entries of a branch into up to `n` parts that threads may read apart without much being unpacked twice.
    fn parts(&self, branch: usize, entries: Range<u64>, n: usize) -> Vec<Range<u64>> {
        let _ = (branch, n);
        vec![entries]
    }
}

/// A small table that is held in memory.
pub fn held(name: &str, kind: &'static str, batch: &RecordBatch) -> Box<dyn Table> {
    let branch = |field: &Arc<Field>| Branch {
        name: field.name().clone(),
        type_name: field.data_type().to_string(),
        content: Ok(field.data_type().clone()),
        unit: field.metadata().get(UNIT).map_or(Unit::Unknown, |symbol| Unit::from_symbol(symbol)),
    };
    let branches = batch.schema_ref().fields().iter().map(branch).collect();
    Box::new(Held { name: name.to_owned(), kind, branches, batch: batch.clone() })
}

struct Held {
    name: String,
    kind: &'static str,
    branches: Vec<Branch>,
    batch: RecordBatch,
}

impl Table for Held {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn entries(&self) -> u64 {
        self.batch.num_rows() as u64
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        let entries = self.entries();
        if entries == 0 { Vec::new() } else { std::iter::once(0..entries).collect() }
    }

    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        let (start, length) = (entries.start as usize, (entries.end - entries.start) as usize);
        Ok(branches.iter().map(|&b| self.batch.column(b).slice(start, length)).collect())
    }
}

/// The schema of some branches of a table.
pub fn schema(table: &dyn Table, branches: &[usize]) -> SchemaRef {
    Arc::new(Schema::new(branches.iter().filter_map(|&b| table.branches()[b].field()).collect::<Vec<_>>()))
}

/// A list per entry, from its offsets.
///
/// # Errors
/// `None` if the offsets do not rise, or go beyond the content or 2³¹.
pub fn list(offsets: &[usize], content: ArrayRef) -> Option<ArrayRef> {
    if offsets.first() != Some(&0) || offsets.last().is_none_or(|&end| end > content.len()) {
        return None;
    }
    let rising = offsets.windows(2).all(|o| o[0] <= o[1]);
    let narrow: Option<Vec<i32>> = offsets.iter().map(|&o| i32::try_from(o).ok()).collect();
    let offsets = OffsetBuffer::new(ScalarBuffer::from(narrow.filter(|_| rising)?));
    Some(Arc::new(ListArray::new(item(content.data_type().clone()), offsets, content, None)))
}

/// The field inside of a list.
pub fn item(content: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", content, true))
}

/// A list of this content.
pub fn list_of(content: DataType) -> DataType {
    DataType::List(item(content))
}

/// What methods see of columns: numbers and texts, flat or in one list per event. Missing numbers become NaN. Columns of
/// another kind (lists of lists, records) are left out and named.
pub fn events(batch: &RecordBatch) -> (Events, Vec<String>) {
    let (mut columns, mut left_out): (Vec<Column>, Vec<String>) = Default::default();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(mut column) = column(field.name(), array) else {
            left_out.push(field.name().clone());
            continue;
        };
        column.unit = field.metadata().get(UNIT).map_or(Unit::Unknown, |symbol| Unit::from_symbol(symbol));
        // Lists of equal lengths are one collection and share their offsets.
        let same = columns.iter().filter_map(|c| c.offsets.as_ref()).find(|o| Some(*o) == column.offsets.as_ref());
        column.offsets = same.cloned().or(column.offsets);
        columns.push(column);
    }
    // The columns have the batch's length each.
    (Events::new(columns).unwrap_or_default(), left_out)
}

/// What kind of content methods do not see, if this is of one.
pub fn unseen(content: &DataType) -> Option<&'static str> {
    let seen = |content: &DataType| {
        content.is_numeric()
            || content.is_temporal()
            || matches!(
                content,
                DataType::Boolean | DataType::Utf8 | DataType::LargeUtf8 | DataType::Binary | DataType::LargeBinary
            )
    };
    match content {
        DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
            match inner.data_type() {
                DataType::Struct(_) => Some("lists of records"),
                inner if inner.is_nested() => Some("lists of lists"),
                inner => (!seen(inner)).then_some("lists of bytes"),
            }
        }
        DataType::Struct(_) => Some("records"),
        DataType::Map(..) => Some("maps"),
        other => (!seen(other)).then_some("values of this type"),
    }
}

/// Where the lists of an array begin and end, from zero, and what they hold. The array may be a part of a longer one.
pub(crate) fn lists(array: &ArrayRef) -> Option<(Vec<usize>, ArrayRef)> {
    let any = array.as_any();
    let (offsets, content): (Vec<usize>, ArrayRef) = if let Some(list) = any.downcast_ref::<ListArray>() {
        (list.value_offsets().iter().map(|&o| o as usize).collect(), Arc::clone(list.values()))
    } else if let Some(list) = any.downcast_ref::<LargeListArray>() {
        (list.value_offsets().iter().map(|&o| o as usize).collect(), Arc::clone(list.values()))
    } else if let Some(map) = any.downcast_ref::<MapArray>() {
        (map.value_offsets().iter().map(|&o| o as usize).collect(), Arc::new(map.entries().clone()))
    } else {
        let list = any.downcast_ref::<FixedSizeListArray>()?;
        let n = list.value_length() as usize;
        ((0..=list.len()).map(|i| i * n).collect(), Arc::clone(list.values()))
    };
    let (start, end) = (*offsets.first()?, *offsets.last()?);
    Some((offsets.iter().map(|o| o - start).collect(), content.slice(start, end - start)))
}

fn column(name: &str, array: &ArrayRef) -> Option<Column> {
    match lists(array) {
        // A missing list stands for an empty one where it holds no entry.
        Some((offsets, content)) => Some(Column::jagged(name, data(&content)?, Arc::new(offsets))),
        None => Some(Column::flat(name, data(array)?)),
    }
}

/// The numbers and texts in an array, however deep in lists: those of a record by the names of its members.
pub fn leaves(name: &str, array: &ArrayRef) -> Vec<(String, Data)> {
    if let Some((_, content)) = lists(array) {
        return leaves(name, &content);
    }
    if let Some(record) = array.as_any().downcast_ref::<StructArray>() {
        let members = record.fields().iter().zip(record.columns());
        return members.flat_map(|(field, column)| leaves(&format!("{name}.{}", field.name()), column)).collect();
    }
    data(array).map(|data| (name.to_owned(), data)).into_iter().collect()
}

fn data(array: &ArrayRef) -> Option<Data> {
    fn primitive<T: ArrowPrimitiveType>(array: &ArrayRef) -> Option<&PrimitiveArray<T>> {
        array.as_any().downcast_ref()
    }
    fn integers<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &ArrayRef) -> Option<Data> {
        let values = primitive::<T>(array)?;
        Some(if values.null_count() == 0 {
            Data::I64(values.values().iter().map(|&x| x.into()).collect())
        } else {
            Data::F64(values.iter().map(|x| x.map_or(f64::NAN, |x| x.into() as f64)).collect())
        })
    }
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_any().downcast_ref::<BooleanArray>()?;
            Some(if values.null_count() == 0 {
                Data::I64(values.values().iter().map(i64::from).collect())
            } else {
                Data::F64(values.iter().map(|x| x.map_or(f64::NAN, |x| f64::from(u8::from(x)))).collect())
            })
        }
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => {
            let values = primitive::<UInt64Type>(array)?;
            // What does not fit is given to the precision of a float, not with a wrong sign.
            Some(if values.null_count() == 0 && values.values().iter().all(|&x| i64::try_from(x).is_ok()) {
                Data::I64(values.values().iter().map(|&x| x as i64).collect())
            } else {
                Data::F64(values.iter().map(|x| x.map_or(f64::NAN, |x| x as f64)).collect())
            })
        }
        DataType::Float16 => {
            let values = primitive::<Float16Type>(array)?;
            Some(Data::F32(values.iter().map(|x| x.map_or(f32::NAN, f32::from)).collect()))
        }
        DataType::Float32 => {
            Some(Data::F32(primitive::<Float32Type>(array)?.iter().map(|x| x.unwrap_or(f32::NAN)).collect()))
        }
        DataType::Float64 => {
            Some(Data::F64(primitive::<Float64Type>(array)?.iter().map(|x| x.unwrap_or(f64::NAN)).collect()))
        }
        DataType::Utf8 => {
            let values = array.as_any().downcast_ref::<StringArray>()?;
            (values.null_count() == 0).then(|| Data::Text(values.iter().flatten().map(str::to_owned).collect()))
        }
        DataType::LargeUtf8 => {
            let values = array.as_any().downcast_ref::<LargeStringArray>()?;
            (values.null_count() == 0).then(|| Data::Text(values.iter().flatten().map(str::to_owned).collect()))
        }
        DataType::Binary => {
            let values = array.as_any().downcast_ref::<BinaryArray>()?;
            (values.null_count() == 0).then(|| Data::Text(values.iter().flatten().map(text).collect()))
        }
        DataType::LargeBinary => {
            let values = array.as_any().downcast_ref::<LargeBinaryArray>()?;
            (values.null_count() == 0).then(|| Data::Text(values.iter().flatten().map(text).collect()))
        }
        // Exact in the file; methods compute in floats.
        DataType::Decimal32(..) => Some(decimals(primitive::<Decimal32Type>(array)?)),
        DataType::Decimal64(..) => Some(decimals(primitive::<Decimal64Type>(array)?)),
        DataType::Decimal128(..) => Some(decimals(primitive::<Decimal128Type>(array)?)),
        DataType::Decimal256(..) => Some(decimals(primitive::<Decimal256Type>(array)?)),
        // Dates and times count days, seconds, … in the unit of the file.
        other if other.is_temporal() => {
            let width = if other.primitive_width() == Some(4) { DataType::Int32 } else { DataType::Int64 };
            let counts = array.to_data().into_builder().data_type(width).build().ok()?;
            data(&make_array(counts))
        }
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn decimals<T: DecimalType>(values: &PrimitiveArray<T>) -> Data {
    let number = |i: usize| {
        let missing = values.is_null(i);
        if missing { f64::NAN } else { values.value_as_string(i).parse().unwrap_or(f64::NAN) }
    };
    Data::F64((0..values.len()).map(number).collect())
}

/// Columns of Arrow from events.
pub fn batch(events: &Events) -> RecordBatch {
    let mut fields = Vec::with_capacity(events.columns().len());
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(events.columns().len());
    for column in events.columns() {
        let content: ArrayRef = match &column.data {
            Data::F32(v) => Arc::new(Float32Array::from(v.clone())),
            Data::F64(v) => Arc::new(Float64Array::from(v.clone())),
            Data::I64(v) => Arc::new(Int64Array::from(v.clone())),
            Data::Text(v) => Arc::new(StringArray::from_iter_values(v)),
        };
        let array = match &column.offsets {
            None => content,
            // Longer than 2³¹ particles in one table: lists of 64-bit offsets.
            Some(offsets) => list(offsets, Arc::clone(&content)).unwrap_or_else(|| {
                let wide = OffsetBuffer::new(offsets.iter().map(|&o| o as i64).collect());
                Arc::new(LargeListArray::new(item(content.data_type().clone()), wide, content, None))
            }),
        };
        let mut field = Field::new(&column.name, array.data_type().clone(), false);
        if !column.unit.symbol().is_empty() {
            field.set_metadata([(UNIT.to_owned(), column.unit.symbol().to_owned())]);
        }
        fields.push(field);
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(events.len()));
    let schema = Arc::new(Schema::new(fields));
    // The columns of events have equal lengths, so this cannot fail.
    RecordBatch::try_new_with_options(Arc::clone(&schema), arrays, &options)
        .unwrap_or_else(|_| RecordBatch::new_empty(schema))
}

/// A file that is being written, batch by batch. It appears under its name, whole, with [`Sink::finish`].
pub trait Sink {
    /// Appends rows. All batches have one schema.
    ///
    /// # Errors
    /// [`crate::Error`] if the system refuses or the format has no place for a column.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Puts the file in place.
    ///
    /// # Errors
    /// [`crate::Error`] if the system refuses.
    fn finish(self: Box<Self>) -> Result<()>;
}
