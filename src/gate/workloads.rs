//! Where a request says which workload sends it.

use super::headers::Headers;
use super::server::Server;
use crate::token::{CertificateSource, PeerConnection, WorkloadError, WorkloadEvidence};

/// Where evidence of workloads is looked for, the same for all servers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkloadSources {
    /// Whether the certificate of the connection is evidence: there are trust domains.
    pub certificates: bool,
    /// The header that brings a JWT-SVID, in lowercase. No MCP server sees it.
    pub jwt_svid_header: Option<String>,
}

/// What a request brings as evidence: read, and not judged.
///
/// Has no `Debug`, so that it cannot be written by accident.
pub(super) struct Workload {
    uri_san: Option<String>,
    jwt_svid: Option<String>,
}

impl WorkloadSources {
    /// Whether the certificate of the connection to this server is evidence. It is not where
    /// clients come through proxies before us: there it is theirs. What they write of the
    /// client's in `x-forwarded-client-cert` is none either, since Envoy writes a name as it
    /// is in the certificate, and one with `;` or `,` in it would be read as another.
    pub(super) fn are_on_connection(&self, server: &Server) -> bool {
        self.certificates && server.mtls.certificate == CertificateSource::Connection
    }

    /// Reads the evidence.
    ///
    /// # Errors
    /// [`WorkloadError::Malformed`] where the header is not one line of text.
    pub(super) fn read(
        &self,
        headers: &Headers,
        server: &Server,
        peer: PeerConnection,
    ) -> Result<Workload, WorkloadError> {
        let jwt_svid = match &self.jwt_svid_header {
            Some(name) => headers
                .single(name)
                .map_err(|_| WorkloadError::Malformed("not one header field of text"))?
                .map(str::to_owned),
            None => None,
        };
        let uri_san = peer.uri_san.filter(|_| self.are_on_connection(server));
        Ok(Workload { uri_san, jwt_svid })
    }
}

impl Workload {
    /// The JWT-SVID, for who asks an authorization server with it.
    pub(super) fn into_jwt_svid(self) -> Option<String> {
        self.jwt_svid
    }

    /// What it is to the authenticator.
    pub(super) fn brought(&self) -> WorkloadEvidence<'_> {
        WorkloadEvidence { uri_san: self.uri_san.as_deref(), jwt_svid: self.jwt_svid.as_deref() }
    }
}
