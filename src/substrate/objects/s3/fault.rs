//! What an answer of the store means: what is there, who may, and whether asking again can help.

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId as _;

use crate::substrate::aws;
use crate::substrate::objects::Error;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why one try brought nothing.
#[derive(Debug)]
pub(super) enum Fault {
    /// The precondition failed: something stands under the key.
    Exists(Cause),
    /// Another upload of the same key is under way; nobody knows yet which will stand.
    Racing(Cause),
    /// Nothing stands under the key.
    Missing(Cause),
    NoBucket(Cause),
    /// The bucket that was to be made is ours already.
    BucketOurs,
    /// The upload in parts is unknown: it was completed or given up.
    NoUpload(Cause),
    /// The range begins behind the object's end.
    OutOfRange,
    Denied(Cause),
    Throttled(Cause),
    /// No answer, a broken one, or the store's own failure: it may have been done all the same.
    Unsure(Cause),
    /// The same request would be refused again.
    Refused(Cause),
}

impl Fault {
    /// Whether the same request may fare better later.
    pub(super) fn passes(&self) -> bool {
        matches!(
            self,
            Fault::Racing(_) | Fault::Throttled(_) | Fault::Unsure(_)
        )
    }

    pub(super) fn unsure(cause: impl Into<Cause>) -> Fault {
        Fault::Unsure(cause.into())
    }

    pub(super) fn into_error(self, action: &'static str, key: &str, bucket: &str) -> Error {
        let key = key.to_owned();
        match self {
            Fault::NoBucket(source) => Error::NoBucket {
                bucket: bucket.to_owned(),
                source,
            },
            Fault::Denied(source) => Error::Denied {
                action,
                key,
                source,
            },
            Fault::Throttled(source) => Error::Throttled {
                action,
                key,
                source,
            },
            Fault::Exists(source)
            | Fault::Racing(source)
            | Fault::Missing(source)
            | Fault::NoUpload(source)
            | Fault::Unsure(source)
            | Fault::Refused(source) => Error::Io {
                action,
                key,
                source,
            },
            Fault::BucketOurs | Fault::OutOfRange => Error::Io {
                action,
                key,
                source: "the store gave an answer that does not belong to the question".into(),
            },
        }
    }
}

impl<E> From<SdkError<E>> for Fault
where
    E: std::error::Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    fn from(error: SdkError<E>) -> Fault {
        if let SdkError::ServiceError(answer) = &error {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or_default().to_owned();
            let cause = words(status, &code, answer.err());
            return of_answer(status, &code, cause.into());
        }
        if aws::lacks_credentials(&error) {
            return Fault::Denied(error.into());
        }
        match &error {
            SdkError::ConstructionFailure(_) => Fault::Refused(error.into()),
            SdkError::DispatchFailure(failure) if failure.is_user() => Fault::Refused(error.into()),
            _ => Fault::Unsure(error.into()),
        }
    }
}

/// The store's own words; its error type prints as `service error`.
fn words(status: u16, code: &str, error: &impl ProvideErrorMetadata) -> String {
    let message = error.message().unwrap_or_default();
    let request = error.meta().request_id().unwrap_or("-");
    format!("the store answered {status} {code} {message} (request {request})")
}

/// Status first, for servers differ in their words; the words where one status has two meanings.
fn of_answer(status: u16, code: &str, cause: Cause) -> Fault {
    match (status, code) {
        (_, "SlowDown" | "Throttling" | "ThrottlingException" | "RequestLimitExceeded") => {
            Fault::Throttled(cause)
        }
        // A body that came late, cut or altered: the wire's fault, not ours.
        (
            400,
            "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentChecksumMismatch",
        ) => Fault::Unsure(cause),
        (400, "XAmzContentSHA256Mismatch") => Fault::Unsure(cause),
        (401 | 403, _) => Fault::Denied(cause),
        (404, "NoSuchBucket") => Fault::NoBucket(cause),
        (404, "NoSuchUpload") => Fault::NoUpload(cause),
        (404, _) => Fault::Missing(cause),
        (409, "BucketAlreadyOwnedByYou") => Fault::BucketOurs,
        (409, "BucketAlreadyExists") => Fault::Denied(cause),
        (409, _) => Fault::Racing(cause),
        (412, _) => Fault::Exists(cause),
        (416, _) => Fault::OutOfRange,
        (429 | 503, _) => Fault::Throttled(cause),
        // 200: completing an upload may fail after the headers were sent.
        (200..300 | 408 | 500.., _) => Fault::Unsure(cause),
        _ => Fault::Refused(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_means_one_thing() {
        for (status, code, expect) in [
            (412, "PreconditionFailed", "Exists"),
            (409, "ConditionalRequestConflict", "Racing"),
            (409, "OperationAborted", "Racing"),
            (409, "BucketAlreadyOwnedByYou", "BucketOurs"),
            (409, "BucketAlreadyExists", "Denied"),
            (404, "NoSuchKey", "Missing"),
            (404, "", "Missing"),
            (404, "NoSuchBucket", "NoBucket"),
            (404, "NoSuchUpload", "NoUpload"),
            (416, "InvalidRange", "OutOfRange"),
            (403, "AccessDenied", "Denied"),
            (403, "", "Denied"),
            (401, "Unauthorized", "Denied"),
            (503, "SlowDown", "Throttled"),
            (429, "TooManyRequests", "Throttled"),
            (400, "RequestTimeout", "Unsure"),
            (400, "BadDigest", "Unsure"),
            (500, "InternalError", "Unsure"),
            (200, "InternalError", "Unsure"),
            (400, "InvalidArgument", "Refused"),
            (301, "PermanentRedirect", "Refused"),
        ] {
            let fault = of_answer(status, code, "".into());
            let name = format!("{fault:?}");
            let name = name.split('(').next().unwrap_or_default();
            assert_eq!(name, expect, "{status} {code}");
            let passes = matches!(expect, "Racing" | "Throttled" | "Unsure");
            assert_eq!(fault.passes(), passes, "{status} {code}");
        }
    }
}
