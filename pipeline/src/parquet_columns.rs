//! Columns of a Parquet row group, one after the other in the order of the schema.

use std::io::Write;

use parquet::data_type::DataType;
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedRowGroupWriter;

/// The next column, with values for some of the rows.
///
/// # Errors
/// When the column is of another type or cannot be written.
pub fn optional<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: impl Iterator<Item = Option<T::T>>,
) -> Result<(), ParquetError> {
    let (mut defined, mut present) = (Vec::new(), Vec::new());
    for value in values {
        defined.push(i16::from(value.is_some()));
        present.extend(value);
    }
    column::<T>(group, &present, Some(&defined), None)
}

/// The next column, with a value for each row.
///
/// # Errors
/// As [`optional`].
pub fn required<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: impl Iterator<Item = T::T>,
) -> Result<(), ParquetError> {
    column::<T>(group, &values.collect::<Vec<_>>(), None, None)
}

/// The next column, with its definition and repetition levels.
///
/// # Errors
/// As [`optional`].
pub fn column<T: DataType>(
    group: &mut SerializedRowGroupWriter<'_, impl Write + Send>,
    values: &[T::T],
    defined: Option<&[i16]>,
    repeated: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let missing = || ParquetError::General("the schema has fewer columns than are written".to_owned());
    let mut column = group.next_column()?.ok_or_else(missing)?;
    column.typed::<T>().write_batch(values, defined, repeated)?;
    column.close()
}
