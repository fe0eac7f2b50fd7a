//! Documents from the command line and from stdin.

use std::io::Read;

use bytes::Bytes;
use docdb_client::ErrorKind;
use docdb_types::limits::DOCUMENT_BYTES_MAX;

use crate::failure::Failure;

/// The document that an argument means: itself, or for `-` what stdin holds without one trailing
/// newline.
pub(crate) fn document(argument: &str) -> Result<Bytes, Failure> {
    if argument != "-" {
        return Ok(Bytes::copy_from_slice(argument.as_bytes()));
    }
    read_document(std::io::stdin().lock())
}

fn read_document(input: impl Read) -> Result<Bytes, Failure> {
    let mut text = Vec::new();
    // One byte for the newline, one to see that there is more.
    let most = DOCUMENT_BYTES_MAX as u64 + 2;
    input
        .take(most)
        .read_to_end(&mut text)
        .map_err(|error| Failure::file("stdin", &error))?;
    if text.last() == Some(&b'\n') {
        text.pop();
    }
    if text.len() > DOCUMENT_BYTES_MAX {
        let message = format!("stdin: a document has at most {DOCUMENT_BYTES_MAX} bytes");
        return Err(Failure::new(ErrorKind::TooLarge, message));
    }
    Ok(Bytes::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_trailing_newline_is_not_part_of_a_document() {
        for (input, expected) in [
            ("{}", "{}"),
            ("{}\n", "{}"),
            ("{}\n\n", "{}\n"),
            ("{}\r\n", "{}\r"),
            ("", ""),
        ] {
            assert_eq!(read_document(input.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn an_endless_document_is_refused() {
        let most = vec![b' '; DOCUMENT_BYTES_MAX];
        let with_newline = most.chain(&b"\n"[..]);
        assert_eq!(
            read_document(with_newline).unwrap().len(),
            DOCUMENT_BYTES_MAX
        );
        let failure = read_document(std::io::repeat(b' ')).unwrap_err();
        assert!(failure.line().starts_with("ERROR TooLarge"));
    }
}
