//! Completion of command words.

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use super::command::COMMANDS;

pub(super) struct CommandCompleter;

impl Completer for CommandCompleter {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, line.get(..position).map(candidates).unwrap_or_default()))
    }
}

/// The command words that begin like this.
fn candidates(typed: &str) -> Vec<String> {
    COMMANDS
        .iter()
        .filter(|(word, ..)| word.starts_with(typed))
        .map(|(word, needs, _)| {
            let space = if needs.is_empty() { "" } else { " " };
            format!("{word}{space}")
        })
        .collect()
}

impl Hinter for CommandCompleter {
    type Hint = String;
}

impl Highlighter for CommandCompleter {}

impl Validator for CommandCompleter {}

impl Helper for CommandCompleter {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_complete() {
        assert_eq!(candidates(".cr"), [".create ", ".create-collection "]);
        assert_eq!(candidates(".ex"), [".exit"]);
        assert!(candidates(".read 1").is_empty());
        assert_eq!(candidates("").len(), COMMANDS.len());
    }
}
