//! Texts as payloads.

use bytes::Bytes;
use tourbillon_types::Payload;

use super::write::Writer;

/// The JSON string of a text: the form in which payloads and deltas go to JSON clients that negotiated deltas (HID-08).
/// `None` for bytes that are not UTF-8.
///
/// ```
/// let string = tourbillon_protocol::json_string(br#"{"a":1}"#).ok_or("not UTF-8")?;
/// assert_eq!(string.as_ref(), br#""{\"a\":1}""#);
/// # Ok::<(), &str>(())
/// ```
#[must_use]
pub fn json_string(text: &[u8]) -> Option<Payload> {
    let text = std::str::from_utf8(text).ok()?;
    let mut writer = Writer::new(text.len() + text.len() / 8 + 2);
    writer.value(text);
    Some(Payload::from_json(Bytes::from(writer.finish())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_comes_back_as_it_was() {
        for text in ["", "{\n \"a\": \"<\u{2028}\\u00e9\" }\r\n", "9\n5@0,3:ü!2zQ;", "\u{0}\u{1f}\u{7f}数🚀"]
        {
            let string = json_string(text.as_bytes()).expect("UTF-8");
            assert!(string.is_known_json() && !string.as_ref().contains(&b'\n'));
            assert_eq!(serde_json::from_slice::<String>(string.as_ref()).expect("a string"), text);
        }
        assert_eq!(json_string(&[b'a', 0xff]), None);
    }
}
