//! The rules of axe-core, which Chromium brings along: its DevTools hold Lighthouse, and that holds axe-core.

use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::browser::Browser;

const DEVTOOLS: &str = "devtools://devtools/bundled/devtools_app.html";

/// Answers the string literal that axe-core is in Lighthouse's bundle; the quotation mark before it is the one after it.
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

/// What axe-core finds, as `[impact, rule, elements]`. What it cannot decide, such as text over a moving picture, it does not
/// find.
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

/// Takes axe-core out of the DevTools, in a browser that then shows nothing.
async fn source(browser: &Browser) -> &'static str {
    SOURCE
        .get_or_init(|| async {
            browser.client.goto(DEVTOOLS).await.unwrap();
            let literal = browser.client.execute_async(FIND, vec![]).await.unwrap();
            let value =
                browser.command("Runtime.evaluate", json!({ "expression": literal, "returnByValue": true })).await;
            let source = value["result"]["value"].as_str().unwrap_or_default().to_owned();
            assert!(
                source.contains("axe.run"),
                "Chromium's DevTools have axe-core no more where it was: {literal:.200}"
            );
            source
        })
        .await
}

/// axe-core, for any page.
pub struct Axe(&'static str);

impl Axe {
    /// Takes it from a browser that has not been used yet.
    pub async fn from(browser: &Browser) -> Self {
        Self(source(browser).await)
    }

    /// What a page as it stands has of faults that axe-core calls serious or critical.
    pub async fn faults(&self, browser: &Browser) -> Vec<Value> {
        if browser.script("return typeof window.axe").await == "undefined" {
            // Not a script of the page's, so that its policy has nothing to say.
            let installed = browser.command("Runtime.evaluate", json!({ "expression": format!("{};0", self.0) })).await;
            assert!(installed["exceptionDetails"].is_null(), "{installed}");
        }
        let mut result = browser.client.execute_async(RUN, vec![]).await.unwrap();
        assert!(result["rules"].as_u64().is_some_and(|count| count > 5), "{result}");
        let Value::Array(found) = result["found"].take() else { panic!("{result}") };
        found.into_iter().filter(|one| one[0] != "minor" && one[0] != "moderate").collect()
    }
}
