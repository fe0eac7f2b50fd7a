//! Decisions taken from bytes.

/// Reads decisions from bytes; zeros once these have run out, so that every input means something.
/// Less than a library of structured input can do, but it needs none, and a file that a fuzzer left
/// is a test case as it is.
#[derive(Debug)]
pub(crate) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&first, rest)) => {
                self.0 = rest;
                first
            }
            None => 0,
        }
    }

    /// A number below `count`; 0 if there is none. Takes as many bytes as it needs.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let mut value = 0;
        let mut reach = 1;
        while reach < count {
            value = value << 8 | usize::from(self.byte());
            reach <<= 8;
        }
        value % count.max(1)
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}
