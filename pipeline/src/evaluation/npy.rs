//! NumPy array files: numbers, and arrays of Python strings, which NumPy pickles.

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use super::recordings::{self, EvaluationError};
use crate::capture::npz::npy_header;

/// Shape and values of an array of real numbers, in C order.
pub fn numbers(path: &Path) -> Result<(Vec<usize>, Vec<f64>), EvaluationError> {
    let (bytes, fail) = recordings::bytes(path)?;
    let header = npy_header(&bytes).ok_or_else(|| fail("no NumPy array".into()))?;
    let count = header.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    let size = header.element_bytes();
    let data = bytes.get(header.data_at..).unwrap_or(&[]);
    let count = count.filter(|n| n.checked_mul(size).is_some_and(|b| b <= data.len()));
    let count = count.ok_or_else(|| fail(format!("{} bytes for shape {:?}", data.len(), header.shape)))?;
    let values: Option<Vec<f64>> = data.chunks_exact(size).take(count).map(|b| header.number(b)).collect();
    let values = values.ok_or_else(|| fail("elements that are no real numbers".into()))?;
    if !header.fortran_order || header.shape.len() < 2 {
        return Ok((header.shape, values));
    }
    // Columns first: of two dimensions, transposed.
    let [rows, columns] = header.shape[..] else {
        return Err(fail(format!("columns first, with shape {:?}", header.shape)));
    };
    let turned = (0..rows * columns).map(|i| values[(i % columns) * rows + i / columns]).collect();
    Ok((header.shape, turned))
}

/// The strings of an object array.
pub fn strings(path: &Path) -> Result<Vec<String>, EvaluationError> {
    let (bytes, fail) = recordings::bytes(path)?;
    let header = npy_header(&bytes).ok_or_else(|| fail("no NumPy array".into()))?;
    let list = unpickle(bytes.get(header.data_at..).unwrap_or(&[]))
        .map_err(|(at, problem)| fail(format!("pickle offset {at}: {problem}")))?;
    Ok(list.iter().map(|s| s.to_string()).collect())
}

/// What a pickle's machine has on its stack, as far as strings are concerned.
#[derive(Clone)]
enum Item {
    Text(Rc<str>),
    List,
    Mark,
    Other,
}

/// The strings that a pickle appends to its lists. Nothing in it is run: every object but a string is only counted.
///
/// Source of the operations: CPython's `Lib/pickletools.py`, protocols 2 to 4.
fn unpickle(bytes: &[u8]) -> Result<Vec<Rc<str>>, (usize, String)> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), memo: HashMap::new(), found: Vec::new() };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(true) => {}
            Ok(false) => return Ok(machine.found),
            Err(problem) => return Err((at, problem)),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Item>,
    memo: HashMap<usize, Item>,
    found: Vec<Rc<str>>,
}

impl Machine<'_> {
    /// One operation; false at the end.
    fn step(&mut self) -> Result<bool, String> {
        let operation = self.take(1)?[0];
        match operation {
            b'.' => return Ok(false),
            0x80 => {
                self.take(1)?;
            }
            0x95 => {
                self.take(8)?;
            }
            b'(' => self.stack.push(Item::Mark),
            b'c' => {
                self.line()?;
                self.line()?;
                self.stack.push(Item::Other);
            }
            b'K' => self.skip(1)?,
            b'M' => self.skip(2)?,
            b'J' => self.skip(4)?,
            b'G' => self.skip(8)?,
            b'N' | 0x88 | 0x89 | b')' | b'}' => self.stack.push(Item::Other),
            b']' => self.stack.push(Item::List),
            b'C' | b'U' => self.counted(1, false)?,
            b'B' | b'T' => self.counted(4, false)?,
            0x8c => self.counted(1, true)?,
            b'X' => self.counted(4, true)?,
            0x93 | b'R' | 0x86 => {
                self.pop(2)?;
                self.stack.push(Item::Other);
            }
            // The state goes, the object stays.
            b'b' => self.pop(1)?,
            0x85 => {
                self.pop(1)?;
                self.stack.push(Item::Other);
            }
            0x87 => {
                self.pop(3)?;
                self.stack.push(Item::Other);
            }
            b't' => {
                self.above_mark()?;
                self.stack.push(Item::Other);
            }
            b'e' => {
                let items = self.above_mark()?;
                self.append(items);
            }
            b'a' => {
                let item = self.stack.pop().ok_or("nothing to append")?;
                self.append(vec![item]);
            }
            b'q' => {
                let key = usize::from(self.take(1)?[0]);
                self.remember(key)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.remember(key)?;
            }
            0x94 => {
                let key = self.memo.len();
                self.remember(key)?;
            }
            b'h' => {
                let key = usize::from(self.take(1)?[0]);
                self.recall(key)?;
            }
            b'j' => {
                let key = self.number(4)?;
                self.recall(key)?;
            }
            other => return Err(format!("operation {other:#04x} is not known here")),
        }
        Ok(true)
    }

    fn take(&mut self, count: usize) -> Result<&[u8], String> {
        let end = self.at.checked_add(count).filter(|&e| e <= self.bytes.len()).ok_or("it ends here")?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number(&mut self, count: usize) -> Result<usize, String> {
        Ok(self.take(count)?.iter().rev().fold(0, |n, &b| n << 8 | usize::from(b)))
    }

    fn skip(&mut self, count: usize) -> Result<(), String> {
        self.take(count)?;
        self.stack.push(Item::Other);
        Ok(())
    }

    fn line(&mut self) -> Result<(), String> {
        while self.take(1)?[0] != b'\n' {}
        Ok(())
    }

    fn counted(&mut self, bytes: usize, text: bool) -> Result<(), String> {
        let length = self.number(bytes)?;
        let content = self.take(length)?;
        let item = if text { Item::Text(String::from_utf8_lossy(content).into()) } else { Item::Other };
        self.stack.push(item);
        Ok(())
    }

    fn pop(&mut self, count: usize) -> Result<(), String> {
        let left = self.stack.len().checked_sub(count).ok_or("the stack is empty")?;
        self.stack.truncate(left);
        Ok(())
    }

    fn above_mark(&mut self) -> Result<Vec<Item>, String> {
        let mark = self.stack.iter().rposition(|i| matches!(i, Item::Mark)).ok_or("there is no mark")?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn append(&mut self, items: Vec<Item>) {
        if matches!(self.stack.last(), Some(Item::List)) {
            self.found
                .extend(items.into_iter().filter_map(|i| if let Item::Text(t) = i { Some(t) } else { None }));
        }
    }

    fn remember(&mut self, key: usize) -> Result<(), String> {
        let top = self.stack.last().ok_or("the stack is empty")?.clone();
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: usize) -> Result<(), String> {
        let item = self.memo.get(&key).ok_or_else(|| format!("nothing is remembered as {key}"))?.clone();
        self.stack.push(item);
        Ok(())
    }
}
