//! Generated documents, and broken ones, read by the reader and by its model.

use super::super::{JsonError, Value, read_levels};
use super::model;

/// Pieces that documents are broken with: what JSON is made of, and what it must not contain.
const PIECES: [&[u8]; 44] = [
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\"",
    b"\\",
    b"\\u",
    b"\\u0000",
    b"\\ud83d",
    b"\\ude00",
    b"\\uD83D\\uDE00",
    b"\\n",
    b"\\x",
    b"\\/",
    b" ",
    b"\t\r\n",
    b"\x0b",
    b"\x00",
    b"\x1f",
    b"\x7f",
    b"\xc3\xa4",
    b"\xed\xa0\x80",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"-",
    b"+",
    b"0",
    b"00",
    b".",
    b"e",
    b"E5",
    b"e308",
    b"1e309",
    b"-0",
    b"18446744073709551616",
    b"-9223372036854775809",
    b"true",
    b"null",
    b"NaN",
    b"//",
    b"\"a\":1,",
];

const NAMES: [&str; 12] = [
    "a",
    "b",
    "\\u0061",
    "name",
    "n\\u0061me",
    "id",
    "",
    "\u{e4}",
    "\\u00e4",
    "a\\u0000",
    "\\ud83d\\ude00",
    "a name of more than eight bytes",
];

const NUMBERS: [&str; 20] = [
    "0",
    "-0",
    "-1",
    "7",
    "1.5",
    "-2.50",
    "1e5",
    "1E-7",
    "9223372036854775807",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1.8e308",
    "1e999",
    "0e999",
    "1e-999",
    "123456789012345678901234567890",
    "0.1e99",
];

/// Steele and Vigna's SplitMix64, so that a seed names a document.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound.max(1)).unwrap()).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        *choices.get(self.below(choices.len())).unwrap()
    }

    fn value(&mut self, depth: usize, text: &mut String) {
        text.push_str(self.of(&["", "", "", " ", "\n\t"]));
        match self.below(if depth > 5 { 4 } else { 8 }) {
            0 => text.push_str(self.of(&["true", "false", "null"])),
            1 => text.push_str(self.of(&NUMBERS)),
            2 => {
                let integer = self.next().cast_signed() >> self.below(64);
                text.push_str(&integer.to_string());
            }
            3 => self.string(text),
            4 | 5 => self.list(['[', ']'], depth, text, |_, _| {}),
            _ => {
                // Few documents repeat a name, so that most are read to their end.
                let unique = self.below(8) > 0;
                let mut number = 0_u32;
                self.list(['{', '}'], depth, text, |random, text| {
                    number += 1;
                    if unique {
                        text.push_str(&format!(
                            "\"m{number}{}\" :",
                            random.of(&["", "\\n", "\u{1f600}"])
                        ));
                    } else {
                        text.push_str(&format!("\"{}\":", random.of(&NAMES)));
                    }
                });
            }
        }
        text.push_str(self.of(&["", "", "", " ", "\r\n"]));
    }

    fn list(
        &mut self,
        [open, close]: [char; 2],
        depth: usize,
        text: &mut String,
        mut label: impl FnMut(&mut Self, &mut String),
    ) {
        text.push(open);
        let longest = self.of(&[1, 2, 4, 4, 40]);
        for element in 0..self.below(longest) {
            if element > 0 {
                text.push(',');
            }
            label(self, text);
            self.value(depth + 1, text);
        }
        text.push(close);
    }

    fn string(&mut self, text: &mut String) {
        text.push('"');
        for _ in 0..self.below(20) {
            text.push_str(self.of(&[
                "a",
                "text of words",
                "\u{e4}",
                "\u{20ac}",
                "\u{1f600}",
                "\\n",
                "\\\"",
                "\\\\",
                "\\u00e4",
                "\\ud83d\\ude00",
                "\\u0000",
                "/",
                "\u{7f}",
            ]));
        }
        text.push('"');
    }

    fn broken(&mut self, mut document: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(3) {
            let at = self.below(document.len() + 1);
            match self.below(5) {
                0 => document.truncate(at),
                1 if at < document.len() => {
                    document.remove(at);
                }
                2 if at < document.len() => document[at] ^= 1 << self.below(8),
                3 => {
                    let until = (at + self.below(12)).min(document.len());
                    let part: Vec<u8> = document.drain(at..until).collect();
                    let to = self.below(document.len() + 1);
                    document.splice(to..to, part);
                }
                _ => {
                    document.splice(at..at, self.of(&PIECES).iter().copied());
                }
            }
        }
        document
    }
}

fn compare(document: &[u8]) -> Result<Value<'_>, JsonError> {
    for levels in [0, 1, 2, 4] {
        let shown = String::from_utf8_lossy(document);
        assert_eq!(
            read_levels(document, levels),
            model::read(document, levels),
            "{levels}: {shown}"
        );
    }
    let read = super::super::read(document);
    assert_eq!(read, model::read(document, usize::MAX), "{}", String::from_utf8_lossy(document));
    read
}

#[test]
fn the_reader_says_what_its_model_says() {
    let rounds = std::env::var("JSON_ROUNDS").map_or(20_000, |rounds| rounds.parse().unwrap());
    let mut verdicts = Vec::new();
    for seed in 0..rounds {
        let mut random = Random(seed);
        let mut document = String::new();
        random.value(0, &mut document);
        let document = document.into_bytes();
        let broken = random.broken(document.clone());
        verdicts.extend([document, broken].map(|document| compare(&document).err()));
    }
    // None of them is rare enough to go untested.
    for verdict in [
        None,
        Some(JsonError::Syntax),
        Some(JsonError::DuplicateName),
        Some(JsonError::NulInName),
        Some(JsonError::NotUtf8),
    ] {
        let times = verdicts.iter().filter(|other| **other == verdict).count();
        assert!(times > verdicts.len() / 200, "{times} times {verdict:?}");
    }
}

#[test]
fn numbers_are_those_of_the_model() {
    let digits = |number: usize| "9".repeat(number);
    for integer in [1, 18, 19, 20, 199, 200, 201, 308, 309, 310] {
        for exponent in [
            "", "e0", "e9", "e99", "e098", "e+108", "e109", "e307", "e308", "e-99", "e-300",
            "E-999",
        ] {
            for fraction in ["", ".5", ".0000000000000000000000000000000001"] {
                for number in [digits(integer), format!("1{}", "0".repeat(integer - 1))] {
                    let document =
                        format!("[{number}{fraction}{exponent},-{number}{fraction}{exponent}]");
                    let _verdict = compare(document.as_bytes());
                }
            }
        }
    }
}

/// A special byte at every place of a word, among bytes that differ from it by a borrow or a bit.
#[test]
fn strings_end_where_the_model_ends_them() {
    for byte in 0..=u8::MAX {
        for around in [b'a', 0x20, 0x21, b'#', b'[', b']', 0x7f] {
            for place in 0..18 {
                let mut document = vec![b'"'];
                document.extend([around; 18]);
                document.push(b'"');
                document[place + 1] = byte;
                let _verdict = compare(&document);
            }
        }
    }
}
