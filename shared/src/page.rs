//! The page for people at `/`, and the runbook that belongs to this version at `/runbook`.
//!
//! The page is one file. It reads `/status` every second, and its content security policy lets it do nothing else.

use std::sync::LazyLock;

use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};

/// The page: style, script and all.
const PAGE: &str = include_str!("page.html");
/// What to do about an alert or a reason, in Markdown.
const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// Allows the page's own script and style, by their hashes, and requests to the server that the page came from.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let (script, style) = (hash(inside("script")), hash(inside("style")));
    format!(
        "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
});

/// Headers of everything that a browser shows.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The text of the page's one element with this name.
fn inside(element: &str) -> &'static str {
    let (_, rest) =
        PAGE.split_once(&format!("<{element}>")).expect("the page has the element, as a test shows");
    rest.split_once(&format!("</{element}>")).expect("the page closes it, as a test shows").0
}

/// A hash as a content security policy has it.
fn hash(text: &str) -> String {
    format!("sha256-{}", openssl::base64::encode_block(&openssl::sha::sha256(text.as_bytes())))
}

pub(crate) async fn page() -> Response {
    let policy = (header::CONTENT_SECURITY_POLICY, POLICY.as_str());
    (HEADERS, [policy, (header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

pub(crate) async fn runbook() -> Response {
    let policy = (header::CONTENT_SECURITY_POLICY, "default-src 'none'");
    (HEADERS, [policy, (header::CONTENT_TYPE, "text/plain; charset=utf-8")], RUNBOOK).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_allows_the_pages_own_script_and_style_only() {
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
        assert!(POLICY.contains(&hash(inside("script"))) && POLICY.contains(&hash(inside("style"))));
        assert_eq!(PAGE.matches("<script").count(), 1);
        assert_eq!(PAGE.matches("<style").count(), 1);
    }

    #[test]
    fn the_page_refers_to_nothing_outside_of_itself_and_makes_no_html_of_text() {
        let namespace = "http://www.w3.org/2000/svg";
        assert!(!PAGE.replace(namespace, "").contains("://"));
        for unsafe_way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style="]
        {
            assert!(!PAGE.contains(unsafe_way), "{unsafe_way}");
        }
    }
}
