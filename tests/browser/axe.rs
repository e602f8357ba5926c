//! Runs axe-core, which is part of Lighthouse in Chromium's DevTools.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::browser::Browser;

const DEVTOOLS: &str = "devtools://devtools/bundled/devtools_app.html";

/// Returns the string literal with axe-core from Lighthouse's bundle, quotation marks included.
const FIND: &str = r#"
    const done = arguments[0];
    (async () => {
        const bundle = await (await fetch("devtools://devtools/bundled/third_party/lighthouse/lighthouse-dt-bundle.js")).text();
        const start = bundle.search(/["'`]\/\*! axe v\d/);
        let end = start + 1;
        while (end < bundle.length && bundle[end] !== bundle[start]) {
            end += bundle[end] === "\\" ? 2 : 1;
        }
        return start < 0 ? "" : bundle.slice(start, end + 1);
    })().then(done, (error) => done(String(error)));"#;

/// Returns violations as `[impact, rule, elements]`. Undecided results, such as text over video, are not violations.
const RUN: &str = r#"
    const done = arguments[0];
    axe.run(document, { resultTypes: ["violations"] }).then(
        ({ violations, passes }) => done({
            rules: passes.length,
            found: violations.map(({ id, impact, nodes }) => [impact, id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]),
        }),
        (error) => done({ error: String(error) }),
    );"#;

static SOURCE: OnceCell<String> = OnceCell::const_new();

/// Reads axe-core from the DevTools, which the browser shows afterwards.
async fn source(browser: &Browser) -> &'static str {
    SOURCE
        .get_or_init(|| async {
            browser.client.goto(DEVTOOLS).await.unwrap();
            let literal = browser.client.execute_async(FIND, vec![]).await.unwrap();
            let value =
                browser.devtools("Runtime.evaluate", json!({ "expression": literal, "returnByValue": true })).await;
            let source = value["result"]["value"].as_str().unwrap_or_default().to_owned();
            assert!(source.contains("axe.run"), "axe-core is not where it was in Chromium's DevTools: {literal:.200}");
            source
        })
        .await
}

/// The source of axe-core.
pub struct Axe(&'static str);

impl Axe {
    /// Reads it with a browser that shows no page yet.
    pub async fn from(browser: &Browser) -> Self {
        Self(source(browser).await)
    }

    /// The serious and critical violations of the current page.
    pub async fn faults(&self, browser: &Browser) -> Vec<Value> {
        if browser.script("return typeof window.axe").await == "undefined" {
            // Evaluated by DevTools, which the page's content security policy does not restrict.
            let installed =
                browser.devtools("Runtime.evaluate", json!({ "expression": format!("{};0", self.0) })).await;
            assert!(installed["exceptionDetails"].is_null(), "{installed}");
        }
        let mut result = browser.client.execute_async(RUN, vec![]).await.unwrap();
        assert!(result["rules"].as_u64().is_some_and(|count| count > 5), "{result}");
        let Value::Array(found) = result["found"].take() else { panic!("{result}") };
        found.into_iter().filter(|fault| fault[0] != "minor" && fault[0] != "moderate").collect()
    }
}
