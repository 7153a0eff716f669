//! The next page that a response names, and the request for it.
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

use crate::item::Request;
use crate::outcome::Response;
use crate::outcome::is_failure;
use pointer::Pointer;

/// Where a response names the next page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Follow {
    /// In a `Link` field of this relation type, RFC 8288: `link:next`.
    Link(String),
    /// In a JSON body, at this pointer, RFC 6901: `json:/next`.
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
    /// Returns the page that `response` names: an http or https URL without credentials and fragment, resolved
    /// against the URL of the response. None if the response failed or names no page that can be fetched.
    ///
    /// Of several links the first that can be fetched counts. A JSON value that is not a string or is empty
    /// ends the chain, and so does a body that is not JSON. Reading a body takes time in proportion to its
    /// length, and next to no memory.
    #[must_use]
    pub fn next(&self, response: &Response) -> Option<Url> {
        if is_failure(response.status) {
            return None;
        }
        let resolved = |reference: &[u8]| {
            // A reference that is not valid ends the chain; the page that has it does not fail.
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

/// Returns true if pages may follow this request: only GET merely asks for something.
pub(crate) fn may_continue(request: &Request) -> bool {
    request.method == Method::GET
}

/// Returns true if credentials for `from` must not be sent to `to`.
pub(crate) fn leaves(from: &Url, to: &Url) -> bool {
    !same_origin(from, to)
}

/// Returns the request for a page that follows: `request` with another URL. If the chain has `left` its first
/// origin, the credentials are dropped, as after a redirect. They stay dropped if the chain returns, because
/// another origin chose the URL.
pub(crate) fn for_page(request: &Request, url: Url, left: bool) -> Request {
    let mut headers = request.headers.clone();
    let hop = redirect::Follow {
        url,
        method: request.method.clone(),
        drop_body: false,
        cross_origin: left,
    };
    hop.apply(&mut headers);
    Request {
        url: hop.url,
        headers,
        ..request.clone()
    }
}

#[cfg(test)]
mod tests;
