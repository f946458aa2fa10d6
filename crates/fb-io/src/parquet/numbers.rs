//! Columns of numbers and of lists of numbers, which most files consist of: from levels and values straight to an array.
//!
//! The library's own way to lists goes over several masks and copies, which takes longer than unpacking them. All other
//! columns go that way.

use std::sync::Arc;

use arrow_array::types::{self, ArrowPrimitiveType};
use arrow_array::{ArrayRef, GenericListArray, OffsetSizeTrait, PrimitiveArray};
use arrow_buffer::{
    ArrowNativeType, BooleanBuffer, BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use arrow_schema::{DataType, FieldRef};
use parquet::column::page::PageReader;
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{self, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::{ParquetError, Result};
use parquet::schema::types::{ColumnDescPtr, Type};

/// Records that are read at a time: their levels stay in the processor's cache, and a damaged page cannot ask for more.
const STEP: usize = 1 << 14;

/// How a column is to be read.
pub(super) struct Plan {
    /// Its number among all that are stored.
    pub(super) leaf: usize,
    descriptor: ColumnDescPtr,
    content: DataType,
    /// Level from which on there is a list; none below.
    list: i16,
    /// Level from which on there is an entry.
    entry: i16,
}

impl Plan {
    /// The plan for a column of this content, if it is one of numbers or of lists of numbers.
    pub(super) fn new(root: &Type, content: &DataType, leaf: usize, descriptor: ColumnDescPtr) -> Option<Self> {
        use parquet::basic::Type as Physical;
        let (is_list, number) = match content {
            DataType::List(item) | DataType::LargeList(item) => (true, item.data_type()),
            number => (false, number),
        };
        let fits = matches!(
            (number, descriptor.physical_type()),
            (DataType::Int32 | DataType::UInt32, Physical::INT32)
                | (DataType::Int64 | DataType::UInt64, Physical::INT64)
                | (DataType::Float32, Physical::FLOAT)
                | (DataType::Float64, Physical::DOUBLE)
        );
        // A root that repeats without a group around it is a list that is never missing.
        let list = i16::from(root.is_optional());
        let entry = list + i16::from(is_list);
        let missing = descriptor.max_def_level() - if is_list { entry } else { 0 };
        let is_plain = descriptor.max_rep_level() == i16::from(is_list) && (0..=1).contains(&missing);
        let entry = if is_list { entry } else { 0 };
        (fits && is_plain).then(|| Self { leaf, descriptor, content: content.clone(), list, entry })
    }

    /// Reads rows behind those that are passed over. `likely` is a number of entries to make room for.
    pub(super) fn read(&self, pages: Box<dyn PageReader>, skip: usize, rows: usize, likely: usize) -> Result<ArrayRef> {
        match self.number() {
            DataType::Int32 | DataType::UInt32 => self.read_as::<Int32Type>(pages, skip, rows, likely),
            DataType::Int64 | DataType::UInt64 => self.read_as::<Int64Type>(pages, skip, rows, likely),
            DataType::Float32 => self.read_as::<FloatType>(pages, skip, rows, likely),
            _ => self.read_as::<DoubleType>(pages, skip, rows, likely),
        }
    }

    fn read_as<T: data_type::DataType<T: ArrowNativeType>>(
        &self,
        pages: Box<dyn PageReader>,
        skip: usize,
        rows: usize,
        likely: usize,
    ) -> Result<ArrayRef> {
        match self.content {
            DataType::LargeList(_) => self.read_lists::<T, i64>(pages, skip, rows, likely),
            _ => self.read_lists::<T, i32>(pages, skip, rows, likely),
        }
    }

    fn item(&self) -> Option<&FieldRef> {
        if let DataType::List(item) | DataType::LargeList(item) = &self.content { Some(item) } else { None }
    }

    fn number(&self) -> &DataType {
        self.item().map_or(&self.content, |item| item.data_type())
    }

    /// The offsets of lists are of the type `O`, where the column has lists.
    fn read_lists<T: data_type::DataType<T: ArrowNativeType>, O: OffsetSizeTrait>(
        &self,
        pages: Box<dyn PageReader>,
        skip: usize,
        rows: usize,
        likely: usize,
    ) -> Result<ArrayRef> {
        let short = |found| Err(ParquetError::EOF(format!("{found} rows, expected {}", skip + rows)));
        let mut reader = ColumnReaderImpl::<T>::new(Arc::clone(&self.descriptor), pages);
        let skipped = if skip > 0 { reader.skip_records(skip)? } else { 0 };
        if skipped < skip {
            return short(skipped);
        }
        let (mut definitions, mut repetitions) = (Vec::new(), Vec::new());
        let mut values: Vec<T::T> = Vec::with_capacity(likely);
        let mut lists = self.item().map(|_| Lists::<O>::default());
        let mut entries = Mask::default();
        let mut missing = rows;
        while missing > 0 {
            definitions.clear();
            repetitions.clear();
            let (defined, repeated) = (Some(&mut definitions), Some(&mut repetitions));
            let (records, present, levels) = reader.read_records(missing.min(STEP), defined, repeated, &mut values)?;
            if records == 0 {
                return short(skip + rows - missing);
            }
            missing -= records;
            let n = match &mut lists {
                Some(lists) => lists.extend(&definitions, &repetitions, records, self.list, self.entry)?,
                None => levels,
            };
            // Where no value is missing there is nothing to tell.
            if present == n {
                entries.present(n);
            } else {
                let whole = self.descriptor.max_def_level();
                let of_entries = definitions.iter().filter(|&&level| level >= self.entry);
                entries.some(of_entries.map(|&level| level == whole), n);
            }
        }
        let length = entries.length;
        let nulls = entries.finish();
        let values = match &nulls {
            Some(nulls) => spread(&values, nulls.inner()),
            None => values,
        };
        if values.len() != length {
            return Err(ParquetError::General(format!("{} values for {length} entries", values.len())));
        }
        let wrong = |e: arrow_schema::ArrowError| ParquetError::General(e.to_string());
        let buffer = Buffer::from_vec(values);
        let values = match self.number() {
            DataType::Int32 => primitive::<types::Int32Type>(buffer, length, nulls),
            DataType::UInt32 => primitive::<types::UInt32Type>(buffer, length, nulls),
            DataType::Int64 => primitive::<types::Int64Type>(buffer, length, nulls),
            DataType::UInt64 => primitive::<types::UInt64Type>(buffer, length, nulls),
            DataType::Float32 => primitive::<types::Float32Type>(buffer, length, nulls),
            _ => primitive::<types::Float64Type>(buffer, length, nulls),
        }
        .map_err(wrong)?;
        let (Some(lists), Some(item)) = (lists, self.item()) else { return Ok(values) };
        let (ends, nulls) = lists.finish();
        Ok(Arc::new(GenericListArray::<O>::try_new(Arc::clone(item), ends, values, nulls).map_err(wrong)?))
    }
}

/// Numbers of a type, which are as wide in the file as they are here.
fn primitive<T: ArrowPrimitiveType>(
    buffer: Buffer,
    length: usize,
    nulls: Option<NullBuffer>,
) -> std::result::Result<ArrayRef, arrow_schema::ArrowError> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(ScalarBuffer::new(buffer, 0, length), nulls)?))
}

/// Which of some entries are there.
#[derive(Default)]
struct Mask {
    length: usize,
    /// Begins with the first entry that is missing.
    bits: Option<BooleanBufferBuilder>,
}

impl Mask {
    fn present(&mut self, n: usize) {
        self.length += n;
        if let Some(bits) = &mut self.bits {
            bits.append_n(n, true);
        }
    }

    fn some(&mut self, present: impl Iterator<Item = bool>, n: usize) {
        let before = self.length;
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(before + n);
            bits.append_n(before, true);
            bits
        });
        present.for_each(|present| bits.append(present));
        self.length += n;
    }

    fn finish(self) -> Option<NullBuffer> {
        self.bits.map(|bits| NullBuffer::new(bits.build()))
    }
}

/// Lists that grow by the levels of their entries.
struct Lists<O> {
    ends: Vec<O>,
    present: Mask,
}

impl<O: OffsetSizeTrait> Default for Lists<O> {
    fn default() -> Self {
        Self { ends: vec![O::default()], present: Mask::default() }
    }
}

impl<O: OffsetSizeTrait> Lists<O> {
    /// Appends `records` lists and gives the number of their entries.
    fn extend(
        &mut self,
        definitions: &[i16],
        repetitions: &[i16],
        records: usize,
        list: i16,
        entry: i16,
    ) -> Result<usize> {
        let begins = repetitions.iter().filter(|&&level| level == 0).count();
        let (last, before) = (self.ends.last().copied().unwrap_or_default(), self.ends.len() - 1);
        let is_whole = repetitions.first() == Some(&0) && begins == records && definitions.len() == repetitions.len();
        let most = last.as_usize() + definitions.len();
        if !is_whole || O::from_usize(most).is_none() {
            return Err(ParquetError::General(format!("{begins} lists of {most} entries, expected {records} lists")));
        }
        self.ends.resize(self.ends.len() + records, last);
        // One write for every level and no branch: the last one of a list stays.
        let (mut at, mut end) = (before, last.as_usize());
        for (&definition, &repetition) in definitions.iter().zip(repetitions) {
            at += usize::from(repetition == 0);
            end += usize::from(definition >= entry);
            self.ends[at] = O::usize_as(end);
        }
        if list > 0 && definitions.iter().any(|&level| level < list) {
            let of_lists = definitions.iter().zip(repetitions).filter(|(_, repetition)| **repetition == 0);
            self.present.some(of_lists.map(|(&level, _)| level >= list), records);
        } else {
            self.present.present(records);
        }
        Ok(end - last.as_usize())
    }

    fn finish(self) -> (OffsetBuffer<O>, Option<NullBuffer>) {
        (OffsetBuffer::new(self.ends.into()), self.present.finish())
    }
}

/// Puts values where they are present, and zero elsewhere.
fn spread<T: Copy + Default>(values: &[T], present: &BooleanBuffer) -> Vec<T> {
    let mut spread = vec![T::default(); present.len()];
    for (at, &value) in present.set_indices().zip(values) {
        spread[at] = value;
    }
    spread
}
