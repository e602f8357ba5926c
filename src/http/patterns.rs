//! The pattern of a path, for logs and metrics: it has neither ids nor names, and there are few of them.

/// The paths of all routes. A segment in upper-case letters stands for any other. A test compares them with the
/// description of the API.
const PATTERNS: &[&str] = &[
    "/calls/incoming",
    "/calls/ID/signals",
    "/calls/ID/state",
    "/calls/ID/signal",
    "/calls/ID/media",
    "/calls/active",
    "/calls/initiate",
    "/calls/ID/accept",
    "/calls/ID/reject",
    "/calls/ID/end",
    "/calls/ID/leave",
    "/calls/ID/invite",
    "/calls/ID/screenshare",
    "/calls/ID/remove",
    "/calls/ID/gone",
    "/calls/ID/dismiss",
    "/links",
    "/links/ID",
    "/guest",
    "/push",
    "/push/subscriptions",
    "/push/subscriptions/ID",
    "/calls/history",
    "/calls/missed",
    "/calls/missed/seen",
    "/calls/ice",
    "/screenshare/start",
    "/screenshare/active",
    "/screenshare/ID/stop",
    "/screenshare/ID/signal",
    "/screenshare/ID/signals",
    "/screenshare/ID/media",
    "/events",
    "/me",
    "/login",
    "/logout",
    "/sessions",
    "/sessions/ID",
    "/password",
    "/quiet",
    "/admin",
    "/admin/people",
    "/admin/people/NAME",
    "/admin/people/NAME/password",
    "/admin/people/NAME/display_name",
    "/admin/people/NAME/role",
    "/admin/sessions",
    "/admin/sessions/ID",
    "/admin/channels",
    "/admin/channels/CHANNEL",
    "/admin/channels/CHANNEL/title",
    "/admin/channels/CHANNEL/join",
    "/admin/channels/CHANNEL/leave",
    "/admin/calls",
    "/admin/calls/ID",
    "/admin/calls/ID/end",
    "/admin/history",
    "/admin/settings",
    "/admin/settings/NAME",
    "/admin/settings/NAME/reset",
    "/admin/tokens",
    "/admin/tokens/NAME",
    "/admin/issuers",
    "/admin/issuers/NAME",
    "/admin/issuers/NAME/key",
    "/admin/violations",
    "/admin/webhooks",
    "/admin/webhooks/NAME",
    "/admin/webhooks/NAME/failures",
    "/admin/webhooks/NAME/retry",
    "/healthz",
    "/version",
    "/metrics",
    "/ca.crt",
    "/authority.crt",
    "/openapi.json",
    "/",
    "/relay",
    "/docs/",
    "/docs/PAGE",
    "/web/FILE",
    "/client/v1/FILE",
];

/// The pattern of `path`, `other` if no route has it.
pub(super) fn pattern(path: &str) -> &'static str {
    if path.starts_with("/web/") {
        return "/web/FILE";
    }
    PATTERNS.iter().copied().find(|pattern| matches(pattern, path)).unwrap_or("other")
}

/// Compares from the end, where paths differ most.
fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.rsplit('/');
    let mut is_same = |expected: &str| {
        let is_variable = !expected.is_empty() && expected.bytes().all(|byte| byte.is_ascii_uppercase());
        segments.next().is_some_and(|segment| if is_variable { !segment.is_empty() } else { segment == expected })
    };
    pattern.rsplit('/').all(&mut is_same) && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn a_pattern_has_no_id() {
        for (path, expected) in [
            ("/calls/3f/state", "/calls/ID/state"),
            ("/calls/calls/state", "/calls/ID/state"),
            ("/calls/state/state", "/calls/ID/state"),
            ("/calls/missed/seen", "/calls/missed/seen"),
            ("/calls/3f/secret", "other"),
            ("/calls//state", "other"),
            ("/calls/3f/state/", "other"),
            ("/x/calls/3f/state", "other"),
            ("/", "/"),
            ("/docs/", "/docs/"),
            ("/docs/api", "/docs/PAGE"),
            ("/web/views/call.js", "/web/FILE"),
            ("*", "other"),
            ("", "other"),
        ] {
            assert_eq!(pattern(path), expected, "{path}");
        }
    }
}
