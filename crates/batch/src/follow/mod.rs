//! The page that comes after one: which a response names, and how it is asked for.
//!
//! `link` reads `Link` fields, `pointer` finds a value in a JSON body.

mod link;
mod pointer;

use std::fmt;
use std::str::FromStr;

use fetchway_policy::redirect::{self, resolve, same_origin};
use http::Method;
use http::header::LINK;
use url::Url;

use crate::outcome::is_failure;
use crate::{Request, Response};
use pointer::Pointer;

/// Where a response names the page that comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// In a link of this relation type, RFC 8288: `link:next`.
    Link(String),
    /// In its JSON body, at this pointer, RFC 6901: `json:/next`.
    Json(String),
}

impl FromStr for Follow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(relation) = text.strip_prefix("link:") {
            let is_one = !relation.is_empty() && !relation.contains(|c: char| c.is_whitespace());
            return match is_one {
                true => Ok(Self::Link(relation.to_owned())),
                false => Err("after link: comes one relation type, such as link:next".to_owned()),
            };
        }
        let Some(pointer) = text.strip_prefix("json:") else {
            return Err(
                "expected link: and a relation type, such as link:next, or json: and a JSON pointer, \
                 such as json:/next"
                    .to_owned(),
            );
        };
        match Pointer::is_one(pointer) {
            true => Ok(Self::Json(pointer.to_owned())),
            false => Err(
                "after json: comes a JSON pointer (RFC 6901), such as json:/paging/next; ~ in a name \
                 is ~0, and / is ~1"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link(relation) => write!(f, "link:{relation}"),
            Self::Json(pointer) => write!(f, "json:{pointer}"),
        }
    }
}

impl Follow {
    /// The page that `response` names: http or https, without credentials and fragment, resolved
    /// against where the response came from. None if it names none that can be fetched, or failed.
    ///
    /// Of several links the first that can be fetched counts. A JSON value that is no string, or an
    /// empty one, is the end, and so is a body that is no JSON. Reading a body takes its
    /// length in time and next to no memory.
    #[must_use]
    pub fn next(&self, response: &Response) -> Option<Url> {
        if is_failure(response.status) {
            return None;
        }
        let resolved = |reference: &[u8]| {
            // What names no page is no failure of the one that named it: the chain ends with it.
            let mut url = resolve(&response.url, reference).ok()?;
            url.set_fragment(None);
            Some(url)
        };
        match self {
            Self::Link(relation) => {
                let fields = response.headers.get_all(LINK).iter();
                let links = fields.flat_map(|field| link::links(field.as_bytes()));
                let mut links = links.filter(|link| link.is_of(relation));
                links.find_map(|link| {
                    // A link may be from another page than the one that has it.
                    let from = link.anchor().map_or(Some(true), |anchor| {
                        let mut here = response.url.clone();
                        here.set_fragment(None);
                        Some(resolved(&anchor)? == here)
                    });
                    from?.then(|| resolved(link.target()))?
                })
            }
            Self::Json(pointer) => {
                let named = Pointer::new(pointer).string_in(&response.body)?;
                // The empty reference would be the page itself.
                (!named.is_empty()).then(|| resolved(named.as_bytes()))?
            }
        }
    }
}

/// Whether what was asked for so may have pages that follow it: only GET asks for what there is.
pub(crate) fn may_go_on(request: &Request) -> bool {
    request.method == Method::GET
}

/// Whether credentials for `from` must not be sent to `to`.
pub(crate) fn leaves(from: &Url, to: &Url) -> bool {
    !same_origin(from, to)
}

impl Request {
    /// The request for a page that follows: this one, for another URL. If the chain has `left` the
    /// origin that it began at, without the credentials for that, as after a redirect. They do not come
    /// back with the origin: the URL is another's choice then.
    pub(crate) fn for_page(&self, url: Url, left: bool) -> Self {
        let mut headers = self.headers.clone();
        let hop = redirect::Follow {
            url,
            method: self.method.clone(),
            drop_body: false,
            cross_origin: left,
        };
        hop.apply(&mut headers);
        Self {
            url: hop.url,
            headers,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests;
