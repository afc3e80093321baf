//! Addresses of key sets, with placeholders.

use http::Uri;

use crate::{ConfigProblem, Pattern};

/// The address of a key set, in which groups of expressions may stand (KEY-07).
pub(super) struct Endpoint {
    parts: Vec<Part>,
    /// Whether what fills placeholders was not checked beforehand.
    open: bool,
}

enum Part {
    Text(Box<str>),
    Group(Box<str>),
}

impl Endpoint {
    /// Reads an address, and checks what may fill its placeholders: the values come from tokens whose signature is
    /// not checked yet, so each must be one of a list that the operator wrote.
    pub(super) fn new(
        address: &str,
        regexes: &[(&'static str, Option<&Pattern>)],
        open: bool,
    ) -> Result<Self, ConfigProblem> {
        if address.is_empty() {
            return Err(ConfigProblem::Empty);
        }
        let parts = parse(address)?;
        for part in &parts {
            let Part::Group(group) = part else { continue };
            let mut known = false;
            for (option, regex) in regexes {
                let Some(regex) = regex else { continue };
                if !regex.group_names().any(|name| name == &**group) {
                    continue;
                }
                known = true;
                if !open && regex.has_classes() {
                    return Err(ConfigProblem::CharacterClass);
                }
                if !open && !regex.lists_texts(group) {
                    return Err(ConfigProblem::OpenPlaceholder { group: group.to_string(), regex: option });
                }
            }
            if !known {
                return Err(ConfigProblem::UnknownPlaceholder(group.to_string()));
            }
        }
        let endpoint = Self { parts, open };
        // With something harmless in place of each placeholder it must be an address.
        let sample = endpoint.join(&|_| Some("0")).ok_or(ConfigProblem::Address)?;
        match check(&sample) {
            Some(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
                Err(ConfigProblem::Credentials)
            }
            Some(_) => Ok(endpoint),
            None => Err(ConfigProblem::Address),
        }
    }

    pub(super) fn has_placeholders(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Group(_)))
    }

    /// The address with its placeholders filled; `None` if that is not one, or leads out of the path that the
    /// operator wrote.
    pub(super) fn fill<'a>(&self, group: &dyn Fn(&str) -> Option<&'a str>) -> Option<String> {
        let address = self.join(group)?;
        let uri = check(&address)?;
        uri.authority().is_some_and(|authority| !authority.as_str().contains('@')).then_some(address)
    }

    /// Whether this could be the address, filled in some way.
    pub(super) fn may_be(&self, address: &str) -> bool {
        let mut rest = address;
        let mut after_group = false;
        for part in &self.parts {
            match part {
                Part::Group(_) => after_group = true,
                Part::Text(text) => {
                    let Some(at) = rest.find(&**text) else { return false };
                    if at > 0 && !after_group {
                        return false;
                    }
                    rest = rest.get(at + text.len()..).unwrap_or_default();
                    after_group = false;
                }
            }
        }
        after_group || rest.is_empty()
    }

    fn join<'a>(&self, group: &dyn Fn(&str) -> Option<&'a str>) -> Option<String> {
        let mut address = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => address.push_str(text),
                Part::Group(name) => {
                    let value = group(name).filter(|value| !value.is_empty())?;
                    // Nothing that could end a host or begin another part of the address.
                    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
                    if self.open && !value.bytes().all(harmless) {
                        return None;
                    }
                    address.push_str(value);
                }
            }
        }
        Some(address)
    }
}

/// Splits at `{{` and `}}`.
fn parse(address: &str) -> Result<Vec<Part>, ConfigProblem> {
    let mut parts = Vec::new();
    let mut rest = address;
    while let Some((text, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(ConfigProblem::Address)?;
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        parts.push(Part::Group(name.into()));
        rest = after;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    Ok(parts)
}

/// An address that can be asked: HTTP with or without TLS, a host, and no way up in its path.
fn check(address: &str) -> Option<Uri> {
    let uri: Uri = address.parse().ok()?;
    let scheme = uri.scheme_str()?;
    let is_http = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    let climbs = uri.path().split('/').any(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".." || segment.contains('\\')
    });
    let hidden = uri.path().to_ascii_lowercase().contains("%2f");
    (is_http && !uri.host()?.is_empty() && !climbs && !hidden).then_some(uri)
}
