//! Variables in texts.

use std::collections::BTreeMap;

/// How a text names a variable that it has in it. Only variables that are for that: texts go to others.
const BEGINNINGS: [&str; 2] = ["${CENTRIFUGO_VAR_", "${TOURBILLON_VAR_"];

/// A text with its variables. What comes of them is left alone.
///
/// # Errors
///
/// Which variable is not there.
pub fn expanded(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = BEGINNINGS.iter().filter_map(|beginning| rest.find(beginning)).min() {
        let (before, named) = rest.split_at(at);
        let Some((name, behind)) = named.trim_start_matches("${").split_once('}') else { break };
        let found = variables.get(name).ok_or_else(|| format!("there is no variable {name}"))?;
        expanded.push_str(before);
        expanded.push_str(found);
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_put_into_texts() {
        let variables =
            [("CENTRIFUGO_VAR_A", "a${CENTRIFUGO_VAR_A}"), ("TOURBILLON_VAR_B", ""), ("HOME", "x")];
        let variables: BTreeMap<_, _> =
            variables.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        for (text, expected) in [
            ("x", Ok("x")),
            ("<${CENTRIFUGO_VAR_A}>", Ok("<a${CENTRIFUGO_VAR_A}>")),
            ("${TOURBILLON_VAR_B}${CENTRIFUGO_VAR_A}", Ok("a${CENTRIFUGO_VAR_A}")),
            (
                "${HOME} $CENTRIFUGO_VAR_A ${CENTRIFUGO_VAR_A",
                Ok("${HOME} $CENTRIFUGO_VAR_A ${CENTRIFUGO_VAR_A"),
            ),
            ("${CENTRIFUGO_VAR_C}", Err("there is no variable CENTRIFUGO_VAR_C")),
        ] {
            let found = expanded(text, &variables);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
        }
    }
}
