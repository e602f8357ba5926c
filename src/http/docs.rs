//! The documentation as HTML: `/docs/` is an index, `/docs/NAME` is the page `src/docs/NAME.md`. And the description of the
//! API, `/openapi.json`.
//!
//! The Markdown files are embedded in the binary and rendered when the first page is requested. A link to `NAME.md`
//! works on a forge, where the files lie beside each other, and loses its `.md` here. All links are relative, so that the
//! pages also work below a path of a proxy. A comment such as `<!-- openapi: routes -->` stands for the tables that the
//! build makes from `src/openapi.yaml`.

use std::collections::HashMap;
use std::future::ready;
use std::sync::LazyLock;

use bytes::Bytes;
use pulldown_cmark::{Alignment, CowStr, Event, Options, Parser, Tag, TagEnd, html};
use rust_embed::Embed;
use sha2::{Digest, Sha256};
use warp::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue, LOCATION};
use warp::http::{HeaderMap, StatusCode};
use warp::path::Tail;
use warp::{Filter, Reply};

use super::pages::Page;
use super::{Routes, any_of, methods, path_end};
use crate::openapi;

#[derive(Embed)]
#[folder = "src/docs"]
struct Sources;

/// Every page by its name, which is its file's without `.md`.
static DOCS: LazyLock<HashMap<String, Page>> = LazyLock::new(|| {
    let pages = Sources::iter().filter_map(|file| {
        let source = Sources::get(&file)?.data;
        let source = std::str::from_utf8(&source).ok()?.to_owned();
        let html =
            render(&openapi::REFERENCE.iter().fold(source, |source, (comment, table)| source.replace(comment, table)));
        let hash = Sha256::digest(&html).into();
        let page = Page::new("text/html; charset=utf-8", Bytes::from(html), &hash)?;
        Some((file.strip_suffix(".md")?.to_owned(), page))
    });
    pages.collect()
});

/// `/openapi.json`, which is public.
static DESCRIPTION: LazyLock<Option<Page>> = LazyLock::new(|| {
    let hash = Sha256::digest(openapi::JSON).into();
    Page::new("application/json", Bytes::from_static(openapi::JSON.as_bytes()), &hash)
});

/// `/docs/`, `/docs/NAME` and `/openapi.json`, and `/docs`, which leads to `/docs/`. None needs a session.
pub(super) fn routes() -> Routes {
    any_of![pages(), description()]
}

fn description() -> Routes {
    warp::path("openapi.json")
        .and(path_end())
        .and_then(|| ready(DESCRIPTION.as_ref().ok_or_else(warp::reject::not_found)))
        .and(methods::get())
        .and(warp::header::headers_cloned())
        .map(|page: &Page, headers: HeaderMap| {
            let mut response = page.response(&headers);
            // Tools in browsers read it from their own pages.
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
            response
        })
        .boxed()
}

fn pages() -> Routes {
    let docs = warp::path("docs");
    let without_slash = docs.and(path_end()).and(methods::get()).map(|| {
        let mut response = StatusCode::PERMANENT_REDIRECT.into_response();
        response.headers_mut().insert(LOCATION, HeaderValue::from_static("docs/"));
        response
    });
    let index = docs.and(warp::path::end()).map(|| "index".to_owned());
    let page = docs.and(warp::path::tail()).map(|tail: Tail| tail.as_str().to_owned());
    let pages = index
        .or(page)
        .unify()
        .and_then(|name: String| ready(DOCS.get(&name).ok_or_else(warp::reject::not_found)))
        .and(methods::get())
        .and(warp::header::headers_cloned())
        .map(|page: &Page, headers: HeaderMap| page.response(&headers));
    any_of![without_slash.boxed(), pages.boxed()]
}

/// A whole HTML page for a Markdown source. Its title is the first heading's text.
fn render(source: &str) -> String {
    let mut events: Vec<_> = Parser::new_ext(source, Options::ENABLE_TABLES).collect();
    let mut title = None;
    for at in 0..events.len() {
        let heading = matches!(events[at], Event::Start(Tag::Heading { .. })).then(|| heading_text(&events[at..]));
        match &mut events[at] {
            Event::Start(Tag::Heading { id, .. }) => {
                let text = heading.unwrap_or_default();
                *id = Some(anchor(&text).into());
                title.get_or_insert(text);
            }
            Event::Start(Tag::Link { dest_url, .. }) => *dest_url = link(dest_url),
            // An alignment would be a style attribute, which the Content-Security-Policy forbids.
            Event::Start(Tag::Table(alignments)) => alignments.fill(Alignment::None),
            _ => {}
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    let title = title.unwrap_or_default().replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title} - minimost-calls</title>\n\
         <link rel=\"icon\" href=\"../web/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"../web/docs.css\">\n</head>\n<body>\n\
         <nav><a href=\"./\">Documentation</a> <a href=\"../\">Calls</a></nav>\n<main>\n{body}</main>\n</body>\n\
         </html>\n"
    )
}

/// The text of the heading at the start of `events`.
fn heading_text(events: &[Event<'_>]) -> String {
    let inside = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let texts = inside.filter_map(|event| match event {
        Event::Text(text) | Event::Code(text) => Some(&**text),
        _ => None,
    });
    texts.collect()
}

/// The id that forges give a heading: lower case, spaces as hyphens, no punctuation.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The target of a link: `NAME` for `NAME.md`, with its fragment, and `../openapi.json` for its source.
fn link<'a>(target: &CowStr<'a>) -> CowStr<'a> {
    let (file, part) = target.split_at(target.find('#').unwrap_or(target.len()));
    match file.strip_suffix(".md") {
        Some(name) if !name.contains('/') => format!("{name}{part}").into(),
        None if file == "../openapi.yaml" => "../openapi.json".into(),
        _ => target.clone(),
    }
}
