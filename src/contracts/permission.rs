//! Who may do what: ONE table of corridors and the roles that may use them. Pure: whoever guards a
//! corridor asks here, in process and over HTTP alike.

use std::collections::BTreeSet;

use crate::contracts::stamps::Actor;
use crate::domain::vocabulary::vocabulary;

vocabulary!(
    /// A way into the platform that changes or reveals something.
    Corridor {
        /// Sending events, asking for their receipts.
        IgIngest = "IG_INGEST",
        /// Appending to the decision log.
        DlaAppend = "DLA_APPEND",
        /// Having an action carried out.
        AlExecute = "AL_EXECUTE",
        /// Submitting labels.
        LsWrite = "LS_WRITE",
        /// Asking which bundle decides.
        MprResolve = "MPR_RESOLVE",
        /// Changing which bundle decides.
        MprPromote = "MPR_PROMOTE",
        /// The cases and their console.
        CmApi = "CM_API",
        /// Reading evidence: decisions and what they name.
        EvidenceResolve = "EVIDENCE_RESOLVE",
        /// How far a run has come, and its report.
        RunRead = "RUN_READ",
        /// Having the parts of a run written out.
        RunOperate = "RUN_OPERATE",
        /// Forcing a posture on the decisions of a run, or of all.
        PostureForce = "POSTURE_FORCE",
        /// Command lines for the owner of the data directory.
        Commands = "COMMANDS",
        /// A connection whose client shows a certificate: one that proves nothing goes no further.
        Port = "PORT",
    }
);

vocabulary!(
    /// What a caller is to the platform. A service has its own role and calls as itself.
    CallerRole {
        Producer = "producer",
        Wsp = "svc:wsp",
        Ig = "svc:ig",
        RtdlInlet = "svc:rtdl-inlet",
        Decision = "svc:decision",
        Cm = "svc:cm",
        Ls = "svc:ls",
        Ofs = "svc:ofs",
        Mf = "svc:mf",
        Mpr = "svc:mpr",
        Reconcile = "svc:reconcile",
        Investigator = "investigator",
        Auditor = "auditor",
        Operator = "operator",
        /// Whoever can read the owner's token in the data directory.
        Owner = "owner",
    }
);

impl Corridor {
    /// The table: the roles that may use this corridor. Nobody else may.
    #[must_use]
    pub const fn roles(self) -> &'static [CallerRole] {
        use CallerRole::{
            Auditor, Cm, Decision, Ig, Investigator, Mf, Ofs, Operator, Owner, Producer, Reconcile,
            Wsp,
        };
        match self {
            // The gate calls itself to requeue what it had quarantined.
            Corridor::IgIngest => &[Producer, Wsp, Ig],
            Corridor::DlaAppend => &[Decision],
            Corridor::AlExecute => &[Decision, Cm],
            // An operator imports labels.
            Corridor::LsWrite => &[Cm, Operator],
            Corridor::MprResolve => &[Decision, Ofs, Mf, Reconcile, Auditor, Operator],
            Corridor::MprPromote => &[Operator],
            Corridor::CmApi => &[Investigator],
            // Not the producers: a decision's features tell of other producers' payments.
            Corridor::EvidenceResolve => &[Cm, Ofs, Mf, Reconcile, Investigator, Auditor, Operator],
            Corridor::RunRead => &[Wsp, Reconcile, Investigator, Auditor, Operator],
            Corridor::RunOperate => &[Wsp, Reconcile, Operator],
            Corridor::PostureForce => &[Operator],
            Corridor::Commands => &[Owner],
            Corridor::Port => CallerRole::ALL,
        }
    }

    /// Whether a caller with these roles may use this corridor.
    #[must_use]
    pub fn admits(self, roles: &BTreeSet<CallerRole>) -> bool {
        self.roles().iter().any(|role| roles.contains(role))
    }
}

/// Somebody whose identity is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub actor: Actor,
    pub roles: BTreeSet<CallerRole>,
}

impl Caller {
    /// A service of this process, which needs no proof: its role is its name. A name that is no
    /// role may do nothing.
    #[must_use]
    pub fn in_process(actor: &Actor) -> Caller {
        let role = actor.actor_id.as_str().parse();
        Caller {
            actor: actor.clone(),
            roles: role.into_iter().collect(),
        }
    }
}

vocabulary!(
    /// What a caller showed to prove who it is.
    CredentialKind {
        Nothing = "nothing",
        ApiKey = "api_key",
        ServiceToken = "service_token",
        Certificate = "certificate",
    }
);

vocabulary!(
    /// Why what was shown proves nothing.
    CredentialFault {
        Missing = "missing",
        Malformed = "malformed",
        Unknown = "unknown",
        Revoked = "revoked",
        Expired = "expired",
        NotYetValid = "not_yet_valid",
        Algorithm = "algorithm",
        Signature = "signature",
        Issuer = "issuer",
        Audience = "audience",
        Untrusted = "untrusted",
    }
);

/// A caller whose identity is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {fault}")]
pub struct Unproven {
    pub kind: CredentialKind,
    pub fault: CredentialFault,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_corridor_admits_somebody_and_not_everybody() {
        for corridor in Corridor::ALL {
            let (n, is_port) = (corridor.roles().len(), *corridor == Corridor::Port);
            assert!(
                n > 0 && (n == CallerRole::ALL.len()) == is_port,
                "{corridor}"
            );
            assert!(!corridor.admits(&BTreeSet::new()), "{corridor}");
        }
    }

    #[test]
    fn a_service_acts_under_its_name_alone() {
        let actor = |name: &str| Actor {
            actor_id: name.parse().unwrap(),
            source_type: crate::domain::vocabulary::SourceType::System,
        };
        let may = |name: &str, corridor: Corridor| {
            corridor.admits(&Caller::in_process(&actor(name)).roles)
        };
        assert!(may("svc:decision", Corridor::DlaAppend));
        assert!(!may("svc:ig", Corridor::DlaAppend));
        assert!(!may("svc:fraudplat", Corridor::DlaAppend));
        assert!(!may("svc:decision", Corridor::Commands));
    }
}
