//! How URLs are read, and what of them is sent.

use fetchway_policy::ErrorName;
use fetchway_policy::redirect::{MAX_URL_BYTES, parse_url, target};
use proptest::prelude::*;

proptest! {
    #[test]
    fn every_url_that_is_taken_can_be_sent(rest in "\\PC*") {
        for text in [format!("http://a.example/{rest}"), format!("https://{rest}"), rest] {
            match parse_url(&text) {
                Ok(url) => {
                    prop_assert!(url.has_host());
                    prop_assert!(target(&url).is_ok(), "{}", url);
                }
                Err(error) => prop_assert_eq!(error.name, ErrorName::InvalidRequest),
            }
        }
    }
}

#[test]
fn urls_are_read() {
    for (text, target_of) in [
        ("http://a.example", "/"),
        ("HTTPS://A.example:443/x?y#z", "/x?y"),
        ("http://a.example/a/%2e%2E/b", "/b"),
        ("http://a.example/a%2fb", "/a%2fb"),
        ("http://[::1]:8080/?", "/?"),
        ("http://@a.example/", "/"),
        (
            "http://a.example/a|b^c`d\"e{f}?g|h^i`j'k{l}\\",
            "/a|b^c%60d%22e%7Bf%7D?g|h^i`j%27k{l}\\",
        ),
    ] {
        let url = parse_url(text).expect(text);
        assert_eq!(target(&url).expect(text).as_str(), target_of, "{text}");
    }
    assert_eq!(
        parse_url("http://a.example/#top")
            .expect("valid")
            .fragment(),
        Some("top")
    );
}

#[test]
fn unusable_urls_are_refused_without_repeating_them() {
    let long = format!("http://a.example/{}", "x".repeat(MAX_URL_BYTES));
    let grown = format!("http://a.example/{}", "ü".repeat(MAX_URL_BYTES / 3));
    for (text, says) in [
        ("", "no scheme"),
        ("a.example/hush", "no scheme"),
        ("/hush", "no scheme"),
        ("ftp://a.example/hush", "`ftp`"),
        ("file:///hush", "`file`"),
        ("localhost:80/hush", "`localhost`"),
        ("http://", "empty host"),
        ("http://?hush", "empty host"),
        ("http://a b/hush", "does not parse"),
        ("http://a.example:99999/hush", "port"),
        ("http://1.2.3.4.5/hush", "IPv4"),
        ("http://user@a.example/hush", "Authorization"),
        ("http://user:hush@a.example/", "Authorization"),
        ("http://:hush@a.example/", "Authorization"),
        (&long, "longer"),
        (&grown, "longer"),
    ] {
        let error = parse_url(text).expect_err(text);
        assert_eq!(error.name, ErrorName::InvalidRequest, "{error}");
        assert!(error.detail.contains(says), "{error}");
        assert!(!error.detail.contains("hush"), "{error}");
    }
}
