//! A list in pages, each of which names the next.

use http::{StatusCode, header};
use serde_json::json;
use url::form_urlencoded;

use super::content::value;
use super::reply::{Refusal, Reply, sized, text};
use crate::body::whole;
use crate::query::Query;
use crate::shared::Shared;

/// Page `at` of `of` that follow the first one. It names the next in a `Link` field and in its body.
pub(super) fn page(shared: &Shared, query: &Query) -> Result<Reply, Refusal> {
    let number = |name| query.number_or::<u64>(name, 0);
    let (list, at, of) = (number("list")?, number("at")?, number("of")?);
    if let Some(failing) = query.number::<u64>("fail")?
        && failing == at
        && shared.visits.next(&format!("page {list}"))? == 0
    {
        let said = "this page fails the first time".to_owned();
        return Ok(text(StatusCode::SERVICE_UNAVAILABLE, said));
    }
    let next = (at < of).then(|| {
        let mut next = form_urlencoded::Serializer::new(String::new());
        next.append_pair("list", &list.to_string());
        next.append_pair("at", &(at + 1).to_string());
        for name in ["of", "fail"] {
            if let Some(given) = query.get(name) {
                next.append_pair(name, given);
            }
        }
        format!("/page?{}", next.finish())
    });
    let body = json!({"list": list, "at": at, "paging": {"next": &next}}).to_string();
    let mut reply = sized(body.len() as u64, "application/json", whole(body));
    if let Some(next) = next {
        let links = format!("</page?list={list}>; rel=\"first start\", <{next}>; rel=\"next\"");
        reply.headers_mut().insert(header::LINK, value(&links)?);
    }
    Ok(reply)
}
