//! `Link` fields, RFC 8288 §3, read as its appendix B.2 has it.
//!
//! What is malformed ends its field: where the next link would begin is a guess then, and what is
//! quoted in one could pass for another.

use std::borrow::Cow;

/// One link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link<'a> {
    target: &'a [u8],
    relations: Cow<'a, [u8]>,
    anchor: Option<Cow<'a, [u8]>>,
}

impl Link<'_> {
    /// The URL that it leads to, as it stands there.
    pub(super) fn target(&self) -> &[u8] {
        self.target
    }

    /// The URL that it leads from, if it is not the response's.
    pub(super) fn anchor(&self) -> Option<Cow<'_, [u8]>> {
        self.anchor.as_deref().map(Cow::Borrowed)
    }

    /// Whether it is of this relation type; compared without case, §2.1.2.
    pub(super) fn is_of(&self, relation: &str) -> bool {
        let mut types = self.relations.split(u8::is_ascii_whitespace);
        types.any(|it| it.eq_ignore_ascii_case(relation.as_bytes()))
    }
}

/// The links of one field, as far as it is well-formed.
pub(super) fn links(field: &[u8]) -> impl Iterator<Item = Link<'_>> {
    let mut rest = Some(field);
    std::iter::from_fn(move || {
        let (link, after) = link(rest.take()?)?;
        rest = Some(after);
        Some(link)
    })
}

/// The first link, and what comes after it.
fn link(mut field: &[u8]) -> Option<(Link<'_>, &[u8])> {
    while let [b',' | b' ' | b'\t', after @ ..] = field {
        field = after;
    }
    let field = field.strip_prefix(b"<")?;
    let end = memchr::memchr(b'>', field)?;
    let (target, mut rest) = (&field[..end], &field[end + 1..]);
    let (mut relations, mut anchor) = (None, None);
    loop {
        rest = rest.trim_ascii_start();
        match rest {
            [] | [b',', ..] => break,
            [b';', after @ ..] => rest = after.trim_ascii_start(),
            _ => return None,
        }
        let (name, value, after) = parameter(rest)?;
        rest = after;
        // The first of each counts, §3.3.
        if name.eq_ignore_ascii_case(b"rel") {
            relations.get_or_insert(value);
        } else if name.eq_ignore_ascii_case(b"anchor") {
            anchor.get_or_insert(value);
        }
    }
    let link = Link {
        target,
        relations: relations.unwrap_or_default(),
        anchor,
    };
    Some((link, rest))
}

type Parameter<'a> = (&'a [u8], Cow<'a, [u8]>, &'a [u8]);

/// A parameter's name and value, the latter empty if there is none, and what comes after it.
fn parameter(field: &[u8]) -> Option<Parameter<'_>> {
    let end = |text: &[u8], ends: &[u8]| {
        let at = text.iter().position(|byte| ends.contains(byte));
        at.unwrap_or(text.len())
    };
    let (name, rest) = field.split_at(end(field, b"=;, \t"));
    let Some(rest) = rest.trim_ascii_start().strip_prefix(b"=") else {
        return Some((name, Cow::default(), rest));
    };
    let rest = rest.trim_ascii_start();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let (value, rest) = unquoted(quoted)?;
        return Some((name, value, rest));
    }
    let (value, rest) = rest.split_at(end(rest, b";, \t"));
    Some((name, Cow::Borrowed(value), rest))
}

/// A quoted string's content, RFC 9110 §5.6.4, and what comes after it.
fn unquoted(quoted: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let first = memchr::memchr2(b'"', b'\\', quoted)?;
    if quoted[first] == b'"' {
        return Some((Cow::Borrowed(&quoted[..first]), &quoted[first + 1..]));
    }
    let (mut content, mut rest) = (quoted[..first].to_vec(), &quoted[first..]);
    loop {
        match rest {
            [b'"', after @ ..] => return Some((Cow::Owned(content), after)),
            [b'\\', byte, after @ ..] | [byte, after @ ..] => {
                content.push(*byte);
                rest = after;
            }
            [] => return None,
        }
    }
}
