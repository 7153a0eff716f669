//! Tests of the pages that a response names, in each form, and of hostile responses.

use bytes::Bytes;
use fetchway_policy::Timeouts;
use fetchway_policy::redirect::RedirectMode;
use http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use proptest::prelude::*;

use super::*;

const HERE: &str = "https://h.example/list/a?page=1#top";

fn response(links: &[&[u8]], body: &'static [u8]) -> Response {
    let mut headers = HeaderMap::new();
    for link in links {
        headers.append(LINK, HeaderValue::from_bytes(link).expect("a value"));
    }
    Response {
        url: HERE.parse().expect("a URL"),
        status: StatusCode::OK,
        headers,
        body: Bytes::from_static(body),
    }
}

fn by_link(links: &[&str]) -> Option<String> {
    let links: Vec<&[u8]> = links.iter().map(|it| it.as_bytes()).collect();
    let next = Follow::Link("next".to_owned()).next(&response(&links, b""));
    next.map(String::from)
}

fn by_json(pointer: &str, body: &'static [u8]) -> Option<String> {
    let follow: Follow = format!("json:{pointer}").parse().expect("a pointer");
    follow.next(&response(&[], body)).map(String::from)
}

#[test]
fn a_flag_says_which_and_reads_back() {
    for good in [
        "link:next",
        "link:https://h.example/rels/more",
        "json:/next",
        "json:/a~1b/0/~0",
        "json:/",
    ] {
        let follow: Follow = good.parse().expect(good);
        assert_eq!(follow.to_string(), good);
    }
    for (bad, says) in [
        ("next", "expected link:"),
        ("link:", "one relation type"),
        ("link:prev next", "one relation type"),
        ("json:", "a JSON pointer"),
        ("json:next", "a JSON pointer"),
        ("json:/a~", "a JSON pointer"),
        ("json:/a~2", "a JSON pointer"),
    ] {
        let error = bad.parse::<Follow>().expect_err(bad);
        assert!(error.contains(says), "{bad}: {error}");
    }
}

#[test]
fn links_are_read_as_rfc_8288_has_them() {
    let at = |path: &str| Some(format!("https://h.example{path}"));
    for (links, next) in [
        (vec!["<?page=2>; rel=next"], at("/list/a?page=2")),
        (vec!["</b>;rel=\"prev NEXT\""], at("/b")),
        (
            vec!["<b#x> ; a ; Rel = \"\\n\\ext\" ; rel=prev"],
            at("/list/b"),
        ),
        // Several fields, several links in one, a comma and a bracket in quotes and in brackets.
        (
            vec![
                "</p>; rel=prev",
                ",, </n,1>; title=\"a, <b>; \\\" rel=next\"; rel=next,",
            ],
            at("/n,1"),
        ),
        (vec!["</a>; title=\"x\", </b>; rel=next"], at("/b")),
        (
            vec!["<//o.example/x>; rel=next"],
            Some("https://o.example/x".to_owned()),
        ),
        (
            vec!["<http://u:p@o.example/x>; rel=next"],
            Some("http://o.example/x".to_owned()),
        ),
        // From another page; from this one.
        (vec!["</b>; rel=next; anchor=\"/other\""], None),
        (vec!["</b>; rel=next; anchor=\"#foo\""], at("/b")),
        // The first that can be fetched.
        (
            vec!["<ftp://h/x>; rel=next, <mailto:a@b>; rel=next, </c>; rel=next"],
            at("/c"),
        ),
        (vec!["<http://>; rel=next"], None),
        (
            vec!["</b>; rev=next", "</b>", "</b>; rel=nextish", "</b>; rel"],
            None,
        ),
        // Malformed: what comes after it is not believed.
        (vec!["</b; rel=next"], None),
        (vec!["/b; rel=next"], None),
        (vec!["</a>; title=\"never ended, </b>; rel=next"], None),
        (vec!["</a> x, </b>; rel=next"], None),
        (vec!["</a>; title=\"x\"y, </b>; rel=next"], None),
        (vec!["</a> x", "</b>; rel=next"], at("/b")),
        (vec![], None),
    ] {
        assert_eq!(by_link(&links), next, "{links:?}");
    }
    let bytes = response(&[b"</\xff>; rel=next"], b"");
    let next = Follow::Link("next".to_owned()).next(&bytes);
    assert_eq!(next.map(String::from), at("/%FF"));
}

#[test]
fn what_has_failed_names_nothing() {
    let follow = Follow::Link("next".to_owned());
    let mut failed = response(&[b"</b>; rel=next"], b"");
    for (status, named) in [(200, true), (302, true), (400, false), (503, false)] {
        failed.status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(follow.next(&failed).is_some(), named, "{status}");
    }
}

#[test]
fn a_pointer_finds_a_string_and_nothing_else() {
    let at = |path: &str| Some(format!("https://h.example{path}"));
    let cases: [(&str, &'static [u8], Option<String>); 22] = [
        ("/next", b"{\"next\": \"?p=2\"}", at("/list/a?p=2")),
        ("/next", b"\xef\xbb\xbf{\"next\": \"/b#c\"}", at("/b")),
        ("/next", b"{\"next\": \"\\u002fb\"}", at("/b")),
        (
            "/next",
            b"{\"a\": [{\"next\": \"x\"}, 1.5, null], \"next\": \"/b\"}",
            at("/b"),
        ),
        ("/next", b"{\"next\": null, \"next\": \"/b\"}", at("/b")),
        (
            "/a/1/b",
            b"{\"a\": [0, {\"b\": \"/b\"}, {\"b\": \"/c\"}]}",
            at("/b"),
        ),
        ("/a~1b/~01", b"{\"a/b\": {\"~1\": \"/b\"}}", at("/b")),
        ("/", b"{\"\": \"/b\"}", at("/b")),
        ("/0", b"{\"0\": \"/b\"}", at("/b")),
        ("/next", b"{\"next\": null}", None),
        ("/next", b"{\"next\": \"\"}", None),
        ("/next", b"{\"next\": 7}", None),
        ("/next", b"{\"next\": true}", None),
        ("/next", b"{\"next\": [\"/b\"]}", None),
        ("/next", b"{\"next\": {\"next\": \"/b\"}}", None),
        ("/next", b"{}", None),
        ("/next", b"[\"/b\"]", None),
        ("/00", b"[\"/b\"]", None),
        ("/9", b"[\"/b\"]", None),
        ("/next", b"{\"next\": \"/b\"} x", None),
        ("/next", b"{\"next\": \"/b\"", None),
        ("/next", b"{\"next\": \"javascript:x\"}", None),
    ];
    for (pointer, body, next) in cases {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(by_json(pointer, body), next, "{pointer} in {shown}");
    }
    let deep: &'static str = "[".repeat(1 << 20).leak();
    assert_eq!(by_json("/next", deep.as_bytes()), None);
}

#[test]
fn credentials_stay_with_their_origin() {
    let mut headers = HeaderMap::new();
    for name in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION] {
        headers.insert(name, HeaderValue::from_static("secret"));
    }
    headers.insert("accept", HeaderValue::from_static("text/plain"));
    let url = |text: &str| Url::parse(text).expect("a URL");
    let request = Request {
        method: Method::GET,
        url: url("https://h.example/a"),
        headers,
        body: Bytes::from_static(b"query"),
        lane: Some("slow".to_owned()),
        timeouts: Timeouts::default(),
        redirect: RedirectMode::Manual,
        decode: false,
    };
    for (to, leaves_it) in [
        ("https://h.example:443/b", false),
        ("http://h.example/b", true),
        ("https://h.example:444/b", true),
        ("https://b.example/b", true),
    ] {
        let left = leaves(&request.url, &url(to));
        assert_eq!(left, leaves_it, "{to}");
        let page = for_page(&request, url(to), left);
        assert_eq!(page.headers.len(), if left { 1 } else { 4 });
        assert_eq!((page.url, page.lane), (url(to), request.lane.clone()));
        assert_eq!((page.redirect, page.decode), (RedirectMode::Manual, false));
    }
}

/// A quoted string, or a token if it may be one.
fn value(text: &str, quote: bool) -> String {
    let token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if token && !quote {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

proptest! {
    #[test]
    fn links_that_were_written_are_read(
        links in prop::collection::vec(
            ("[a-z/?=,;]{0,8}", "[a-z \",;<>\\\\]{0,12}", "[a-z]{1,6}", any::<bool>()), 0..6),
        spaces in "[ \t]{0,3}",
    ) {
        let written: Vec<String> = links.iter().map(|(target, title, relation, quote)| {
            let (title, relation) = (value(title, *quote), value(relation, *quote));
            format!("<{target}>{spaces};{spaces}title{spaces}={title};rel={spaces}{relation}{spaces}")
        }).collect();
        let field = written.join(",");
        let read: Vec<_> = link::links(field.as_bytes()).collect();
        prop_assert_eq!(read.len(), links.len());
        for (read, (target, _, relation, _)) in read.iter().zip(&links) {
            prop_assert_eq!(read.target(), target.as_bytes());
            prop_assert!(read.is_of(&relation.to_ascii_uppercase()));
        }
    }

    #[test]
    fn any_field_is_read_to_an_end(field in "[<>;,=\"\\\\ a\u{e9}]{0,64}") {
        let links = link::links(field.as_bytes()).count();
        prop_assert!(links <= field.matches('<').count());
    }

    #[test]
    fn a_pointer_finds_what_serde_json_finds(json in "[\\[\\]{}\":,01a~/]{0,40}", pointer in "(/[01a~]{0,2}){1,3}") {
        if Pointer::is_one(&pointer) {
            let value: Option<serde_json::Value> = serde_json::from_str(&json).ok();
            let expected = value.as_ref().and_then(|value| value.pointer(&pointer)?.as_str());
            let found = Pointer::new(&pointer).string_in(json.as_bytes());
            prop_assert_eq!(found.as_deref(), expected);
        }
    }
}
