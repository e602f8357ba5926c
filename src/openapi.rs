//! The description of the API, as the build makes it from `src/openapi.yaml`.

/// The document as JSON, which the server answers at `/openapi.json`.
pub const JSON: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

/// The number of the API, which a breaking change increases.
pub(crate) const API_VERSION: &str = env!("API_VERSION");

/// The tables of the page of the API, in Markdown, and the comments in `src/docs/api.md` that they replace.
pub(crate) const REFERENCE: [(&str, &str); 4] = [
    ("<!-- openapi: routes -->", include_str!(concat!(env!("OUT_DIR"), "/routes.md"))),
    ("<!-- openapi: refusals -->", include_str!(concat!(env!("OUT_DIR"), "/refusals.md"))),
    ("<!-- openapi: schemas -->", include_str!(concat!(env!("OUT_DIR"), "/schemas.md"))),
    ("<!-- openapi: codes -->", include_str!(concat!(env!("OUT_DIR"), "/codes.md"))),
];
