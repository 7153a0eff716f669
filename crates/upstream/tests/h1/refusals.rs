//! Invalid responses, and responses over a limit.

use fetchway_policy::ErrorName;

use crate::{LIMITS, read};

fn refused(response: &str, name: ErrorName) {
    for slices in [&[][..], &[1], &[7, 2]] {
        let failure = read(response.as_bytes(), slices).expect_err(response);
        assert_eq!(
            failure.name(),
            name,
            "{response:?} in {slices:?}: {failure}"
        );
        assert!(!failure.detail().is_empty() && !failure.is_unsent());
    }
}

#[test]
fn what_is_not_http_1_1() {
    for response in [
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "<html>",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 000 OK\r\n\r\n",
        "HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
        // Folded lines, spaces before a colon, and invalid names and values.
        "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: \0\r\n\r\n",
        // Lengths.
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 5, 6\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: +5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n",
    ] {
        refused(response, ErrorName::HttpProtocolError);
    }
}

#[test]
fn codings_that_are_not_known_or_broken() {
    for fields in [
        "transfer-encoding: gzip",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding:",
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n0\r\n\r\n");
        refused(&response, ErrorName::HttpResponseTransferCoding);
    }
    let old = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(old, ErrorName::HttpResponseTransferCoding);
    for chunks in [
        "\r\n",
        ";\r\n",
        "x\r\n",
        "-1\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n",
        "5\r\nhelloo",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\rhello",
        "00000000000000001\r\n",
        "0\r\n\n",
        "0\r\n x\r\n\r\n",
        "0\r\na: b\n\r\n",
        "0\r\n\r!",
    ] {
        let response = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
        refused(&response, ErrorName::HttpResponseTransferCoding);
    }
}

#[test]
fn what_is_over_a_limit() {
    let head = |length: usize| format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(length));
    let fits = LIMITS.head - head(0).len();
    assert!(read(head(fits).as_bytes(), &[9]).is_ok());
    refused(&head(fits + 1), ErrorName::HttpResponseHeaderSectionSize);
    let fields = "x:\r\n".repeat(101);
    let many = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    refused(&many, ErrorName::HttpResponseHeaderSectionSize);

    let body = |length: usize| "x".repeat(length);
    for framing in ["content-length: 4097", "x: y"] {
        let response = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{}", body(4_097));
        refused(&response, ErrorName::HttpResponseBodySize);
    }
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    for chunks in [
        "1001\r\n",
        "1000\r\n".to_owned().as_str(),
        "ffffffffffffffff\r\n",
    ] {
        let response = format!("{chunked}{chunks}{}\r\n1\r\n", body(0x1000));
        refused(&response, ErrorName::HttpResponseBodySize);
    }
    for chunks in [
        format!("1;{}", body(1_025)),
        format!("0\r\nx:{}", body(1_023)),
    ] {
        let response = format!("{chunked}{chunks}\r\n\r\n");
        refused(&response, ErrorName::HttpResponseHeaderSectionSize);
    }
}
