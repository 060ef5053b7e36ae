//! Whether bytes that come in pieces are UTF-8.

use crate::json::JsonError;

/// Checks the pieces of one text.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    /// The start of a character that the last piece was cut in: at most 3 bytes.
    open: Vec<u8>,
}

impl Utf8 {
    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), JsonError> {
        let mut rest = piece;
        while !self.open.is_empty() {
            let Some((&byte, after)) = rest.split_first() else { return Ok(()) };
            rest = after;
            self.open.push(byte);
            match std::str::from_utf8(&self.open) {
                Ok(_) => self.open.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(JsonError::NotUtf8),
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => {}
            Err(error) if error.error_len().is_none() => {
                self.open.extend(rest.iter().skip(error.valid_up_to()));
            }
            Err(_) => return Err(JsonError::NotUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the pieces are the start of a text.
    fn reads(pieces: &[&[u8]]) -> bool {
        let mut utf8 = Utf8::default();
        pieces.iter().all(|piece| utf8.push(piece).is_ok())
    }

    #[test]
    fn a_character_may_be_cut_anywhere() {
        let text = "a\u{e4}\u{20ac}\u{1f600}z\u{10ffff}";
        for size in 1..=text.len() {
            assert!(reads(&text.as_bytes().chunks(size).collect::<Vec<_>>()), "{size}");
        }
    }

    #[test]
    fn rfc_3629_section_3_other_bytes_are_refused_wherever_they_are_cut() {
        for bytes in [
            b"\x80".as_slice(),
            b"a\xc0\xafb",
            b"\xe0\x80\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"\xff\xfe",
            b"\xe2\x82\"",
        ] {
            for size in 1..=bytes.len() {
                assert!(!reads(&bytes.chunks(size).collect::<Vec<_>>()), "{bytes:?} {size}");
            }
        }
        assert!(reads(&[b"\xe2", b"", b"\x82", b"\xac"]));
    }
}
