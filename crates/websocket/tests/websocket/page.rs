//! The chat page and what the server says of it.

use zillions_websocket::handshake::{Outcome, judge};
use zillions_websocket::page::page;
use zillions_websocket::{Origins, Policy, Token};

fn get(method: &str, page: bool) -> String {
    let token = Some(Token::parse("0123456789abcdef").expect("a token"));
    let policy = Policy { origins: Origins::Own, token, page, message_bytes_max: 1024 };
    let request = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
    let Some((Outcome::Closed(answer), _)) = judge(request.as_bytes(), &policy) else {
        panic!("a page is an answer that closes");
    };
    let mut text = Vec::new();
    answer.write(&mut text);
    String::from_utf8(text).expect("text")
}

#[test]
fn the_page_is_served_to_browsers_without_a_token_and_asks_for_one() {
    let answer = get("GET", true);
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Security-Policy: default-src 'none'; "), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert!(body.contains("<body data-token=\"needed\">"));
    assert!(page(false).html.contains("<body data-token=\"none\">"));
    assert!(!body.contains("0123456789abcdef"), "the token is not in it");
    assert_eq!(get("HEAD", true), format!("{head}\r\n\r\n"), "the same without the body");
    assert!(get("GET", false).starts_with("HTTP/1.1 426 "), "no page");
}

#[test]
fn the_page_is_one_file_that_asks_for_nothing_else() {
    let html = page(false).html;
    assert!(!html.contains("{{"), "everything is filled in");
    let schemes = html.matches("://").count();
    assert_eq!(schemes, 1, "only the name space of its icon");
    assert!(html.contains("xmlns='http://www.w3.org/2000/svg'"));
    for markup in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "srcdoc"]
    {
        assert!(!html.contains(markup), "{markup} could turn messages into markup");
    }
    for attribute in [" onclick", " onload", " style=", "@import", "url("] {
        assert!(!html.contains(attribute), "{attribute} is not covered by the policy");
    }
}
