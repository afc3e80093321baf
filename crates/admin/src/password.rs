//! The password in the body of a login.

use percent_encoding::percent_decode;

/// The field `password` of a form, as browsers send forms: URL-encoded, or in parts (ADM-03).
pub(crate) fn of_form(content_type: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut parameters = content_type.split(';').map(str::trim);
    let kind = parameters.next().unwrap_or_default();
    if kind.eq_ignore_ascii_case("multipart/form-data") {
        let boundary = parameters.find_map(|parameter| parameter.strip_prefix("boundary="))?;
        return of_parts(boundary.trim_matches('"').as_bytes(), body);
    }
    if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return None;
    }
    let value = body.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(b"password="))?;
    let spaced: Vec<u8> = value.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(percent_decode(&spaced).collect())
}

/// `multipart/form-data` (RFC 7578).
fn of_parts(boundary: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    if boundary.is_empty() || boundary.len() > 70 {
        return None;
    }
    let delimiter = [b"\r\n--", boundary].concat();
    // The first one has no line before it.
    let mut rest = body.strip_prefix(delimiter.get(2..)?)?;
    loop {
        let part = rest.strip_prefix(b"\r\n")?;
        let end = find(part, &delimiter)?;
        let (part, behind) = part.split_at_checked(end)?;
        let head = find(part, b"\r\n\r\n")?;
        let (head, value) = part.split_at_checked(head)?;
        if find(&head.to_ascii_lowercase(), b"name=\"password\"").is_some() {
            return value.strip_prefix(b"\r\n\r\n").map(<[u8]>::to_vec);
        }
        rest = behind.strip_prefix(&*delimiter)?;
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content_type: &str, body: &str) -> Option<String> {
        of_form(content_type, body.as_bytes()).map(|password| String::from_utf8(password).expect("text"))
    }

    #[test]
    fn forms_of_browsers_are_read() {
        let form = "application/x-www-form-urlencoded; charset=UTF-8";
        assert_eq!(of(form, "a=b&password=p%26+%C3%A9&c=d").as_deref(), Some("p& é"));
        assert_eq!(of(form, "password=").as_deref(), Some(""));
        assert_eq!(of(form, "xpassword=x"), None);
        assert_eq!(of("application/json", r#"{"password":"x"}"#), None);
        let part = |name: &str, value: &str| {
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let parts = part("other", "x") + &part("password", "p\r\n-- &") + "--B--\r\n";
        let multipart = "multipart/form-data; boundary=B";
        assert_eq!(of(multipart, &parts).as_deref(), Some("p\r\n-- &"));
        for broken in ["", "--B", "--B\r\n", "--B--\r\n", &part("password", "x"), &part("a", "--B--")] {
            assert_eq!(of(multipart, broken), None, "{broken:?}");
        }
        assert_eq!(of("multipart/form-data", &parts), None);
    }
}
