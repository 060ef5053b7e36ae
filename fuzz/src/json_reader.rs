//! `json::read` and `json::read_levels`: one strict answer to what a document says.
//!
//! What is accepted has none of the defects that the model finds, and says the same to
//! the model and to `serde_json`. What is refused has the defect that is given as the reason.
//! How many levels are kept changes nothing of that.

use countersign::json::{self, JsonError, Value};
use serde_json::Number;

use super::model::document::{Node, scan};

/// Checks one document.
pub fn check(data: &[u8]) -> bool {
    let read = json::read(data);
    for levels in 0..6 {
        let kept = json::read_levels(data, levels);
        let agrees = match (&kept, &read) {
            (Ok(kept), Ok(read)) => is_kept(kept, read, levels),
            (kept, read) => kept == read,
        };
        assert!(agrees, "{levels} levels: {kept:?} of {read:?}");
    }
    let Ok(text) = std::str::from_utf8(data) else {
        assert_eq!(read, Err(JsonError::NotUtf8));
        return false;
    };
    if text.starts_with('\u{feff}') {
        assert_eq!(read, Err(JsonError::ByteOrderMark));
        return false;
    }
    let scan = scan(text);
    let lenient = serde_json::from_slice::<serde_json::Value>(data);
    match read {
        Ok(value) => {
            assert_eq!(scan.defects, [], "accepted");
            assert!(scan.value.is_some_and(|node| is_same(&value, &node)), "read otherwise");
            assert!(lenient.is_ok_and(|lenient| is_equal(&value, &lenient)), "serde_json differs");
            true
        }
        Err(JsonError::Syntax) if scan.near_range_end => false,
        Err(reason) => {
            assert!(scan.defects.contains(&reason), "{reason:?} is not among {:?}", scan.defects);
            if reason == JsonError::Syntax && !scan.near_range_end {
                assert!(lenient.is_err(), "serde_json accepts it");
            }
            false
        }
    }
}

/// Whether `kept` is the outermost `levels` of `read`.
fn is_kept(kept: &Value<'_>, read: &Value<'_>, levels: usize) -> bool {
    let inner = levels.checked_sub(1);
    match (kept, read, inner) {
        (Value::Array(kept), Value::Array(read), Some(inner)) => {
            kept.len() == read.len() && kept.iter().zip(read).all(|(a, b)| is_kept(a, b, inner))
        }
        (Value::Object(kept), Value::Object(read), Some(inner)) => {
            kept.len() == read.len()
                && kept
                    .iter()
                    .zip(read.iter())
                    .all(|((name, a), (other, b))| name == other && is_kept(a, b, inner))
        }
        (Value::Skipped, Value::Array(_) | Value::Object(_), inner) => inner.is_none(),
        (kept, read, _) => kept == read,
    }
}

fn is_same(value: &Value<'_>, node: &Node) -> bool {
    match (value, node) {
        (Value::Null, Node::Null) => true,
        (Value::Bool(value), Node::Bool(node)) => value == node,
        (Value::Number(value), Node::Number(node)) => is_number(value, node),
        (Value::String(value), Node::String(node)) => value == node,
        (Value::Array(values), Node::Array(nodes)) => {
            values.len() == nodes.len()
                && values.iter().zip(nodes).all(|(value, node)| is_same(value, node))
        }
        (Value::Object(object), Node::Object(members)) => {
            object.len() == members.len()
                && object.is_empty() == members.is_empty()
                && object.iter().zip(members).all(|((name, value), (member, node))| {
                    name == member
                        && is_same(value, node)
                        && object.get(name).is_some_and(|found| std::ptr::eq(found, value))
                })
        }
        _ => false,
    }
}

/// Integers that fit keep their value; what else is written becomes a double.
fn is_number(number: &Number, text: &str) -> bool {
    let integer = !text.contains(['.', 'e', 'E']) && text != "-0";
    match (text.parse::<u64>(), text.parse::<i64>()) {
        (Ok(expected), _) if integer => number.as_u64() == Some(expected),
        (_, Ok(expected)) if integer => number.as_i64() == Some(expected),
        _ => {
            number.is_f64()
                && text.parse().is_ok_and(|expected| {
                    number.as_f64().is_some_and(|number| is_near(number, expected))
                })
        }
    }
}

/// Parsers differ in the last bit of a double.
fn is_near(one: f64, other: f64) -> bool {
    let difference = (one - other).abs();
    one == other || difference <= one.abs().max(other.abs()) * 1e-15 || difference <= 1e-320
}

fn is_equal(value: &Value<'_>, lenient: &serde_json::Value) -> bool {
    match (value, lenient) {
        (Value::Null, serde_json::Value::Null) => true,
        (Value::Bool(one), serde_json::Value::Bool(other)) => one == other,
        (Value::Number(one), serde_json::Value::Number(other)) => {
            one == other
                || matches!(
                    (one.as_f64(), other.as_f64()),
                    (Some(a), Some(b)) if one.is_f64() && other.is_f64() && is_near(a, b)
                )
        }
        (Value::String(one), serde_json::Value::String(other)) => one == other,
        (Value::Array(one), serde_json::Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_equal(a, b))
        }
        (Value::Object(one), serde_json::Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().all(|(name, a)| other.get(name).is_some_and(|b| is_equal(a, b)))
        }
        _ => false,
    }
}
