//! Routes that do not simply succeed: statuses, redirects, broken answers.

use futures_util::StreamExt as _;
use http::{HeaderValue, StatusCode, header};

use super::content::value;
use super::reply::{Refusal, Reply, sized, status_code, text};
use crate::body::{cut, filling};
use crate::filler::{Kind, filler};
use crate::query::{BadQuery, Query};
use crate::shared::Shared;

pub(super) fn status(query: &Query) -> Result<Reply, Refusal> {
    Ok(with_status(status_code(query, "code", 200)?))
}

fn with_status(status: StatusCode) -> Reply {
    let mut reply = text(status, format!("status {}", status.as_u16()));
    if status == StatusCode::NO_CONTENT {
        // RFC 9110 §8.6 forbids the field here.
        reply.headers_mut().remove(header::CONTENT_LENGTH);
    }
    reply
}

pub(super) fn redirect(query: &Query) -> Result<Reply, Refusal> {
    let status = status_code(query, "code", 302)?;
    let target = match (query.get("to"), query.number::<u32>("n")?) {
        (Some(to), _) => to.to_owned(),
        (None, Some(0 | 1)) => "/echo".to_owned(),
        (None, Some(left)) => format!("/redirect?n={}&code={}", left - 1, status.as_u16()),
        (None, None) => {
            return Err(BadQuery("the target is missing; add to=URL or n=COUNT".to_owned()).into());
        }
    };
    let mut reply = with_status(status);
    reply
        .headers_mut()
        .insert(header::LOCATION, value(&target)?);
    Ok(reply)
}

pub(super) fn fail(shared: &Shared, query: &Query) -> Result<Reply, Refusal> {
    let before = shared.visits.next(query.get("key").unwrap_or(""))?;
    if before >= query.number_or("times", 1)? {
        return Ok(with_status(status_code(query, "then", 200)?));
    }
    if query.switch("drop") {
        return Err(Refusal::Drop);
    }
    let mut reply = with_status(status_code(query, "code", 503)?);
    if let Some(seconds) = query.number::<u64>("retry_after")? {
        reply
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    Ok(reply)
}

pub(super) fn cut_short(query: &Query) -> Result<Reply, Refusal> {
    let after = query.number_or::<u64>("after", 10)?;
    let promised = query.number_or("n", after.saturating_add(10))?;
    let sent = filler(Kind::Text, query.number_or("seed", 0)?, after);
    Ok(sized(
        promised,
        "text/plain; charset=utf-8",
        Box::pin(filling(sent).chain(cut())),
    ))
}
