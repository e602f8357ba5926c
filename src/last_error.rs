//! The error of a task that is repeated.

/// Logs an error once while it lasts.
#[derive(Debug, Default)]
pub struct LastError(Option<String>);

impl LastError {
    /// Notes the error of an attempt, or that it succeeded. The log has `message` if the error is another one.
    pub fn note(&mut self, error: Option<String>, message: &str) {
        if let Some(error) = error.as_ref().filter(|error| self.0.as_ref() != Some(error)) {
            tracing::warn!(error, "{message}");
        }
        self.0 = error;
    }
}
