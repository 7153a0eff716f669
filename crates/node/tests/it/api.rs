//! The API behind the tests' gateways, read one request after the other.

use fetchway_test_origins::ApiRequest;

/// An API that accepts every client and echoes every message.
pub(crate) struct Api {
    api: fetchway_test_origins::Api,
    scheme: &'static str,
    /// Number of requests that `next` has returned.
    returned: usize,
}

impl Api {
    /// Starts an API that the gateway speaks HTTP/1.1 with.
    pub(crate) fn start() -> Self {
        Self::speaking("http")
    }

    /// Starts an API that the gateway speaks HTTP/2 with, without TLS.
    pub(crate) fn h2c() -> Self {
        Self::speaking("h2c")
    }

    fn speaking(scheme: &'static str) -> Self {
        Self {
            api: fetchway_test_origins::Api::echo(),
            scheme,
            returned: 0,
        }
    }

    /// Returns the configuration of a gateway in front of the API, on a free port.
    pub(crate) fn gateway(&self, more: &str) -> String {
        let api = self.api.url(self.scheme);
        format!("[[gateways]]\nlisten = '127.0.0.1:0'\napi = '{api}api/'\n{more}\n")
    }

    /// Waits for the next request.
    pub(crate) async fn next(&mut self) -> ApiRequest {
        self.returned += 1;
        let requests = self.api.until_count(self.returned).await;
        requests[self.returned - 1].clone()
    }

    /// Waits for the next request, and returns its method, target and body.
    pub(crate) async fn next_line(&mut self) -> String {
        self.next().await.line()
    }
}
