//! What a failed request means: was it applied, may it be sent again. Decides, never sends.

use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::{BoxError, DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::substrate::bus::RefusalCode;

/// A request that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) cause: String,
}

/// All but [`Kind::Unknown`] say that nothing was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Over a rate: the same later is better.
    Throttled,
    /// No such stream, or no such shard of it.
    NotFound,
    /// Credentials or rights.
    Denied,
    /// The iterator is older than five minutes.
    Expired,
    /// The stream is being made or changed, or stands already.
    InUse,
    /// The request itself is wrong.
    Invalid,
    /// No byte of it went out.
    NotSent,
    /// It may have been applied.
    Unknown,
}

impl Kind {
    /// Whether a request that changes nothing is worth sending again.
    pub(super) fn is_passing(self) -> bool {
        matches!(self, Kind::Throttled | Kind::NotSent | Kind::Unknown)
    }

    /// The code of a put that was surely not applied.
    pub(super) fn refusal(self) -> Option<RefusalCode> {
        match self {
            Kind::Unknown => None,
            Kind::Throttled => Some(RefusalCode::Throttled),
            Kind::NotFound => Some(RefusalCode::NoSuchStream),
            Kind::Denied => Some(RefusalCode::Denied),
            Kind::Expired | Kind::InUse | Kind::Invalid | Kind::NotSent => {
                Some(RefusalCode::Unavailable)
            }
        }
    }
}

impl Failure {
    pub(super) fn of<E>(error: &SdkError<E, HttpResponse>) -> Failure
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        let kind = match error {
            SdkError::ServiceError(answer) => {
                kind_of(answer.raw().status().as_u16(), answer.err().code())
            }
            SdkError::ConstructionFailure(_) => Kind::NotSent,
            SdkError::DispatchFailure(_) if never_connected(error) => Kind::NotSent,
            // A timeout, a broken connection, an unreadable answer.
            _ => Kind::Unknown,
        };
        let cause = match error {
            SdkError::ServiceError(answer) => answer.err().meta().to_string(),
            _ => DisplayErrorContext(error).to_string(),
        };
        Failure { kind, cause }
    }
}

/// The service's own word. <https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>
fn kind_of(status: u16, code: Option<&str>) -> Kind {
    match (status, code.unwrap_or_default()) {
        // The service failed somewhere on the way, before or after it wrote.
        (500.., _) => Kind::Unknown,
        (
            _,
            "ProvisionedThroughputExceededException"
            | "LimitExceededException"
            | "KMSThrottlingException"
            | "ThrottlingException"
            | "Throttling"
            | "RequestLimitExceeded",
        )
        | (429, _) => Kind::Throttled,
        (_, "ResourceNotFoundException") => Kind::NotFound,
        (_, "ResourceInUseException") => Kind::InUse,
        (_, "ExpiredIteratorException") => Kind::Expired,
        (
            _,
            "AccessDeniedException"
            | "AccessDenied"
            | "ExpiredTokenException"
            | "ExpiredToken"
            | "IncompleteSignature"
            | "IncompleteSignatureException"
            | "InvalidClientTokenId"
            | "InvalidSignatureException"
            | "KMSAccessDeniedException"
            | "KMSDisabledException"
            | "KMSInvalidStateException"
            | "KMSNotFoundException"
            | "KMSOptInRequired"
            | "MissingAuthenticationToken"
            | "MissingAuthenticationTokenException"
            | "NotAuthorized"
            | "OptInRequired"
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException",
        )
        | (401 | 403, _) => Kind::Denied,
        (400..=499, _) => Kind::Invalid,
        _ => Kind::Unknown,
    }
}

/// Whether the connection itself could not be made: name, route, refusal, handshake, its timeout.
fn never_connected(error: &(dyn StdError + 'static)) -> bool {
    let chain = std::iter::successors(Some(error), |it| (*it).source());
    chain
        .filter_map(|it| it.downcast_ref::<hyper_util::client::legacy::Error>())
        .any(hyper_util::client::legacy::Error::is_connect)
}

/// Notes that a request came as far as the connection: what failed before, such as credentials that
/// cannot be had, was surely not applied.
#[derive(Debug, Clone, Default)]
pub(super) struct SentMark(Arc<AtomicBool>);

impl SentMark {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

impl Intercept for SentMark {
    fn name(&self) -> &'static str {
        "SentMark"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.store(true, Ordering::SeqCst);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, code: &str, expect: Kind, refusal: Option<RefusalCode>) {
        let found = kind_of(status, Some(code));
        assert_eq!(
            (found, found.refusal()),
            (expect, refusal),
            "{status} {code}"
        );
    }

    #[test]
    fn only_a_failure_of_the_service_itself_leaves_a_put_open() {
        use RefusalCode::{Denied, NoSuchStream, Throttled, Unavailable};
        check(
            400,
            "ProvisionedThroughputExceededException",
            Kind::Throttled,
            Some(Throttled),
        );
        check(
            400,
            "LimitExceededException",
            Kind::Throttled,
            Some(Throttled),
        );
        check(429, "", Kind::Throttled, Some(Throttled));
        check(
            400,
            "ResourceNotFoundException",
            Kind::NotFound,
            Some(NoSuchStream),
        );
        check(400, "AccessDeniedException", Kind::Denied, Some(Denied));
        check(403, "SomethingNew", Kind::Denied, Some(Denied));
        check(400, "ValidationException", Kind::Invalid, Some(Unavailable));
        check(413, "", Kind::Invalid, Some(Unavailable));
        check(500, "InternalFailure", Kind::Unknown, None);
        check(503, "ServiceUnavailable", Kind::Unknown, None);
        // A code that a proxy made up does not turn a 500 into a refusal.
        check(500, "AccessDeniedException", Kind::Unknown, None);
        check(302, "", Kind::Unknown, None);
    }
}
