//! Values that are counted by identity alone, each text stored once for as long as an entry has it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::expr::Cell;

#[derive(Debug, Default)]
pub(crate) struct Texts {
    numbers: HashMap<Arc<str>, u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    scratch: String,
}

#[derive(Debug)]
struct Slot {
    text: Arc<str>,
    n_refs: u32,
}

impl Texts {
    /// The number of the value: equal values of equal type have one number. Adds a reference.
    pub(crate) fn hold(&mut self, value: Cell<'_>) -> i64 {
        use std::fmt::Write;
        self.scratch.clear();
        let written = match value {
            Cell::Text(value) => write!(self.scratch, "t{value}"),
            Cell::Int(value) => write!(self.scratch, "i{value}"),
            Cell::Bool(value) => write!(self.scratch, "b{value}"),
            Cell::Float(value) => write!(self.scratch, "f{value}"),
        };
        written.expect("a String takes every write");
        let scratch = std::mem::take(&mut self.scratch);
        let number = self.hold_text(&scratch);
        self.scratch = scratch;
        number
    }

    /// The number of a text as [`Texts::sorted`] gives it: type and value. Adds a reference.
    pub(crate) fn hold_text(&mut self, text: &str) -> i64 {
        if let Some(number) = self.numbers.get(text) {
            let slot = self.slots[*number as usize].as_mut();
            slot.expect("a numbered text has its slot").n_refs += 1;
            return i64::from(*number);
        }
        let text: Arc<str> = text.into();
        let slot = Some(Slot {
            text: text.clone(),
            n_refs: 1,
        });
        let number = match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                u32::try_from(self.slots.len() - 1).expect("fewer than 4 billion texts fit memory")
            }
        };
        self.numbers.insert(text, number);
        i64::from(number)
    }

    /// The text of a number, led by its type: `t` for a text.
    pub(crate) fn get(&self, number: i64) -> Option<&str> {
        let number = usize::try_from(number).ok()?;
        Some(&self.slots.get(number)?.as_ref()?.text)
    }

    /// Every text with its number, in order of the texts.
    pub(crate) fn sorted(&self) -> Vec<(&str, i64)> {
        let numbers = self.numbers.iter();
        let mut texts: Vec<_> = numbers.map(|it| (&**it.0, i64::from(*it.1))).collect();
        texts.sort_unstable();
        texts
    }

    /// Gives one reference back.
    pub(crate) fn release(&mut self, number: i64) {
        let number = u32::try_from(number).expect("the number came from hold");
        let slot = &mut self.slots[number as usize];
        let held = slot.as_mut().expect("a held text has its slot");
        held.n_refs -= 1;
        if held.n_refs == 0 {
            self.numbers.remove(&held.text);
            *slot = None;
            self.free.push(number);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        // Key, number and slot, the text with its two counts, and the map's spare room.
        self.numbers.keys().map(|it| it.len() + 16 + 64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_lives_as_long_as_it_is_held() {
        let mut texts = Texts::default();
        let a = texts.hold(Cell::Text("1"));
        assert_eq!(texts.hold(Cell::Text("1")), a);
        assert_ne!(texts.hold(Cell::Int(1)), a);
        texts.release(a);
        assert_eq!(texts.hold(Cell::Text("1")), a);
        texts.release(a);
        texts.release(a);
        assert_eq!(texts.numbers.len(), 1);
        assert_eq!(texts.hold(Cell::Text("2")), a);
    }
}
