//! The denial catalogue: every code, what the client gets for it.

use std::time::Duration;

use super::RpcError;

/// Seconds after which a client may try again when it was our dependency that failed.
const RETRY_AFTER_SECONDS: &str = "5";

/// Why a request is refused. The names ([`Code::as_str`]) are stable: they are in
/// audit records and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// No configuration is in force.
    NotConfigured,
    /// A `hold` configuration on a host that cannot hold.
    HostUnsupported,
    /// A hostcall failed, so what was needed to decide is missing.
    HostFailure,
    /// More streams wait than a worker may hold.
    Overloaded,
    /// No configured MCP server has this authority and path.
    UnknownServer,
    /// A header that may occur once occurs more often.
    HeaderRepeated,
    /// A header has bytes or a form it must not have.
    HeaderMalformed,
    /// An HTTP method MCP does not use, CONNECT included.
    MethodNotAllowed,
    /// A GET or DELETE of the modern era, which has neither (MCP 2026-07-28, "Earlier
    /// Streamable HTTP Revisions").
    PostOnly,
    /// The GET that starts the HTTP+SSE transport of 2024-11-05.
    HttpSseUnsupported,
    /// An upgrade to another protocol.
    UpgradeRefused,
    /// A body where none belongs.
    BodyUnexpected,
    /// `Origin` is not an allowed one.
    OriginForbidden,
    /// `Content-Type` is not JSON.
    MediaTypeUnsupported,
    /// `Content-Encoding` is not identity.
    ContentEncodingUnsupported,
    /// The body is larger than what is read.
    BodyTooLarge,
    /// An access token in the query (RFC 6750 section 2.3, forbidden by MCP).
    TokenInQuery,
    /// No access token.
    TokenMissing,
    /// An access token that is not acceptable; the token's own code says why.
    TokenInvalid(&'static str),
    /// More than one credential, or a proof beside a bearer token (RFC 9449 section 7.2).
    CredentialsMixed,
    /// A DPoP proof that is missing or not acceptable; its own code says why.
    ProofInvalid(&'static str),
    /// The operation takes a token bound to a DPoP key, and this one is not.
    DpopRequired,
    /// The operation takes a token bound to a certificate (RFC 8705), and this one is not.
    CertificateRequired,
    /// What is needed to judge the token cannot be had; its own code says what.
    Unavailable(&'static str),
    /// The body is no acceptable MCP message.
    MessageMalformed,
    /// Standard headers and body disagree.
    HeaderMismatch,
    /// A protocol revision we do not know.
    VersionUnsupported,
    /// The method is not allowed, in the legacy era: there a 404 would end the session.
    MethodDenied,
    /// The method is not allowed, in the modern era (MCP 2026-07-28, "Error Codes": 404).
    MethodUnknown,
    /// The method is not allowed, and it came as a notification.
    NotificationDenied,
    /// No rule names the tool, prompt or resource: to this caller it does not exist.
    ObjectUnknown,
    /// Policy refuses the tool, prompt or resource, and to this caller it does not exist
    /// either; the reason's name is in the record. What the client sees is what it sees of
    /// [`Code::ObjectUnknown`].
    ObjectHidden(&'static str),
    /// Policy refuses, and no other token would do; the reason's name is in the record. The
    /// client is told nothing of it, not even whether it is the agent's or the user's.
    NotPermitted(&'static str),
    /// A scope is missing.
    ScopeMissing,
    /// The user has to authenticate again, or better (RFC 9470).
    StepUpRequired,
    /// The same, of an issuer that is asked with claims (Microsoft Entra ID).
    ClaimsRequired,
    /// The same, and the client was told often enough.
    StepUpExhausted,
    /// It was done too often.
    RateLimited(RetryAfter),
    /// The credential for the MCP server cannot be had now; when it may be.
    ExchangeUnavailable(RetryAfter),
    /// The authorization server's answer, or what it thinks of us, is in the way; the code says
    /// which.
    ExchangeFailed(&'static str),
    /// The authorization server does not give the caller a credential for this; the code says
    /// why.
    ExchangeRefused(&'static str),
    /// The operation takes a credential of its own, which cannot be had in time for this client
    /// in `stream`. Only the operator can mend it, so that is what the client is told.
    ExchangeNeedsHold,
    /// The user has to link an account first.
    AccountNotLinked,
    /// The session was not given to this caller: it is another's, forged, or long gone.
    SessionUnknown,
    /// The task is not known to be the caller's.
    TaskUnknown,
    /// The MCP server began a session whose id cannot be sealed.
    SessionUnusable,
    /// The MCP server's list cannot be read, so it cannot be filtered.
    ListUnreadable,
    /// The MCP server answered a request whose body it had not been given.
    ResponsePremature,
    /// The client went away before the decision.
    ClientDisconnected,
}

/// How a refusal travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// As an HTTP error.
    Http(ErrorStatus),
    /// As a JSON-RPC error in a 200, indistinguishable from the MCP server's own.
    InBand,
}

/// An HTTP status from 400 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorStatus(u16);

/// When a client may try again, in whole seconds (RFC 9110 section 10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RetryAfter(u64);

impl RetryAfter {
    /// The shortest wait that can be told.
    pub const A_SECOND: RetryAfter = RetryAfter(1);
}

impl From<Duration> for RetryAfter {
    /// Rounded up, and never at once: who comes too early is refused again.
    fn from(wait: Duration) -> Self {
        let part = u64::from(wait.subsec_nanos() > 0);
        RetryAfter(wait.as_secs().saturating_add(part)).max(Self::A_SECOND)
    }
}

impl ErrorStatus {
    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0
    }

    /// # Panics
    /// Never at run time: it is only called in constants, where it would not compile.
    const fn new(status: u16) -> Self {
        assert!(status >= 400 && status <= 599, "an error status");
        ErrorStatus(status)
    }
}

/// `error.code` of JSON-RPC errors that JSON-RPC and MCP have no code for: the HTTP
/// status, which is outside the range JSON-RPC reserves.
macro_rules! http {
    ($status:literal) => {{
        const STATUS: ErrorStatus = ErrorStatus::new($status);
        (Answer::Http(STATUS), $status)
    }};
    ($status:literal, $code:literal) => {{
        const STATUS: ErrorStatus = ErrorStatus::new($status);
        (Answer::Http(STATUS), $code)
    }};
}

impl Code {
    /// The stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// How the refusal travels.
    #[must_use]
    pub fn answer(self) -> Answer {
        self.row().1.0
    }

    /// The JSON-RPC error, unless the denial has its own.
    #[must_use]
    pub fn rpc_error(self) -> RpcError {
        let (_, (_, code), message) = self.row();
        RpcError { code, message: message.to_owned(), data: None }
    }

    /// The header that belongs to the status, if one does.
    #[must_use]
    pub fn extra_header(self) -> Option<(&'static str, String)> {
        match self {
            Code::MethodNotAllowed => Some(("allow", "GET, POST, DELETE".to_owned())),
            Code::PostOnly | Code::HttpSseUnsupported => Some(("allow", "POST".to_owned())),
            Code::NotConfigured
            | Code::HostUnsupported
            | Code::HostFailure
            | Code::Overloaded
            | Code::Unavailable(_) => Some(("retry-after", RETRY_AFTER_SECONDS.to_owned())),
            Code::ExchangeFailed(_) => Some(("retry-after", RETRY_AFTER_SECONDS.to_owned())),
            Code::ExchangeUnavailable(RetryAfter(seconds))
            | Code::RateLimited(RetryAfter(seconds)) => Some(("retry-after", seconds.to_string())),
            _ => None,
        }
    }

    /// The whole table: name; HTTP status and JSON-RPC code; what the client is told.
    fn row(self) -> (&'static str, (Answer, i64), &'static str) {
        match self {
            Code::NotConfigured => ("not_configured", http!(503), "Service unavailable"),
            Code::HostUnsupported => ("host_unsupported", http!(503), "Service unavailable"),
            Code::HostFailure => ("host_failure", http!(503), "Service unavailable"),
            Code::Overloaded => ("overloaded", http!(503), "Service unavailable"),
            Code::UnknownServer => ("unknown_server", http!(404), "Not found"),
            Code::HeaderRepeated => {
                ("header_repeated", http!(400, -32600), "A header occurs more than once")
            }
            Code::HeaderMalformed => {
                ("header_malformed", http!(400, -32600), "A header is malformed")
            }
            Code::MethodNotAllowed | Code::PostOnly => {
                ("method_not_allowed", http!(405), "Method not allowed")
            }
            Code::HttpSseUnsupported => (
                "http_sse_unsupported",
                http!(405),
                "The HTTP+SSE transport of 2024-11-05 is not served here; POST messages to this URL",
            ),
            Code::UpgradeRefused => ("upgrade_refused", http!(400, -32600), "Upgrade refused"),
            Code::BodyUnexpected => {
                ("body_unexpected", http!(400, -32600), "The request must not have a body")
            }
            Code::OriginForbidden => ("origin_forbidden", http!(403), "Origin not allowed"),
            Code::MediaTypeUnsupported => {
                ("media_type_unsupported", http!(415), "Content-Type must be application/json")
            }
            Code::ContentEncodingUnsupported => {
                ("content_encoding_unsupported", http!(415), "Content-Encoding must be identity")
            }
            Code::BodyTooLarge => ("body_too_large", http!(413), "Request body too large"),
            Code::TokenInQuery => (
                "token_in_query",
                http!(400, -32600),
                "Access tokens belong in the Authorization header",
            ),
            Code::TokenMissing => ("token_missing", http!(401), "Authentication required"),
            Code::TokenInvalid(code) => (code, http!(401), "The access token is not acceptable"),
            Code::CredentialsMixed => {
                ("credentials_mixed", http!(400, -32600), "Send one credential, in one way")
            }
            Code::ProofInvalid(code) => (code, http!(401), "The DPoP proof is not acceptable"),
            Code::DpopRequired => ("dpop_required", http!(401), "A DPoP-bound token is needed"),
            Code::CertificateRequired => {
                ("certificate_required", http!(401), "A certificate-bound token is needed")
            }
            Code::Unavailable(code) => (code, http!(503), "Service unavailable"),
            Code::MessageMalformed => ("message_malformed", http!(400, -32600), "Invalid request"),
            Code::HeaderMismatch => {
                ("header_mismatch", http!(400, -32020), "Headers and body do not agree")
            }
            Code::VersionUnsupported => {
                ("version_unsupported", http!(400, -32022), "Unsupported protocol version")
            }
            Code::MethodDenied => ("method_denied", (Answer::InBand, -32601), "Method not found"),
            Code::MethodUnknown => ("method_denied", http!(404, -32601), "Method not found"),
            Code::NotificationDenied => {
                ("notification_denied", http!(403), "Notification not accepted")
            }
            Code::ObjectUnknown => ("object_unknown", (Answer::InBand, -32602), "Not found"),
            Code::ObjectHidden(reason) => (reason, (Answer::InBand, -32602), "Not found"),
            Code::NotPermitted(reason) => (reason, http!(403), "Forbidden"),
            Code::ScopeMissing => ("scope_missing", http!(403), "Insufficient scope"),
            Code::StepUpRequired => {
                ("step_up_required", http!(401), "Stronger or more recent authentication is needed")
            }
            Code::ClaimsRequired => {
                ("claims_required", http!(401), "Stronger or more recent authentication is needed")
            }
            Code::StepUpExhausted => ("step_up_exhausted", http!(403), "Forbidden"),
            Code::RateLimited(_) => ("rate_limited", http!(429), "Too many requests"),
            Code::ExchangeUnavailable(_) => {
                ("exchange_unavailable", http!(503), "Service unavailable")
            }
            Code::ExchangeFailed(code) => {
                (code, http!(502), "No credential for the server could be had")
            }
            Code::ExchangeRefused(code) => (code, http!(403), "Forbidden"),
            Code::ExchangeNeedsHold => (
                "exchange_needs_hold",
                http!(403),
                "This takes a gateway in hold mode; tell its operator",
            ),
            Code::AccountNotLinked => {
                ("account_not_linked", http!(403), "An account has to be linked first")
            }
            Code::SessionUnknown => ("session_unknown", http!(404), "Session not found"),
            Code::TaskUnknown => ("task_unknown", (Answer::InBand, -32602), "Task not found"),
            Code::SessionUnusable => {
                ("session_unusable", http!(502), "The server's session could not be used")
            }
            Code::ListUnreadable => {
                ("list_unreadable", http!(502), "The server's answer could not be read")
            }
            Code::ResponsePremature => {
                ("response_premature", http!(502), "The server answered too early")
            }
            Code::ClientDisconnected => ("client_disconnected", http!(400), "The client went away"),
        }
    }
}
