//! Who comes to what looks at credentials by itself: WebSockets, and the endpoints of OAuth2.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::Exceeded;
use super::gate::{Gate, unasked};
use super::operations::Operation;
use super::principal::Principal;
use super::token::Reason;
use crate::ApiState;
use crate::problem::Problem;

/// Somebody at the door of what looks at credentials by itself.
#[derive(Clone)]
pub(crate) struct Visitor {
    pub(super) gate: Gate,
    pub(super) address: Option<IpAddr>,
    pub(super) operation: &'static Operation,
    pub(super) token: Result<Option<String>, Reason>,
    /// It stood in the address.
    pub(super) in_url: bool,
}

/// They are not let in.
#[derive(Debug)]
pub(crate) struct NotLetIn;

impl Visitor {
    /// The state as they may see it; `None` where they have to say who they are first.
    pub(crate) async fn enter(&self) -> Result<Option<ApiState>, NotLetIn> {
        match &self.token {
            Ok(token) => match self.gate.who(token.as_deref(), self.address).await {
                Ok(who) => Ok(who.map(|who| self.view(who))),
                // Clients that follow the contract always give one.
                Err(_) if self.in_url && !self.gate.required => {
                    Ok(Some(self.view(Principal::anyone(self.address))))
                }
                Err(reason) => Err(self.refuse(Some(&reason))),
            },
            Err(reason) => Err(self.refuse(Some(reason))),
        }
    }

    /// The state as the bearer of this token may see it.
    pub(crate) async fn introduce(&self, token: &str) -> Result<ApiState, NotLetIn> {
        match self.gate.access().authenticate(token).await {
            Ok(who) => Ok(self.view(who)),
            Err(reason) => Err(self.refuse(Some(&reason))),
        }
    }

    fn view(&self, who: Principal) -> ApiState {
        self.gate.state.seen_by(who).from(self.address)
    }

    /// They are sent away: without valid credentials, or without any.
    pub(crate) fn refuse(&self, reason: Option<&Reason>) -> NotLetIn {
        let why = if reason.is_some() { "credentials are not valid" } else { "no credentials" };
        let nobody = Principal::nobody(self.address);
        self.gate.access().refused(&nobody, self.address, self.operation, "", why);
        if let Some(reason) = reason {
            self.gate.access().complaints.tell(self.address, reason);
        }
        NotLetIn
    }

    /// Counts an attempt by the address alone.
    pub(super) async fn knock(&self) -> Result<(), Exceeded> {
        let tier = if self.gate.required {
            Principal::nobody(self.address)
        } else {
            Principal::anyone(self.address)
        };
        match self.gate.access().charge(&tier, 1).await {
            Some(Err(exceeded)) => Err(exceeded),
            _ => Ok(()),
        }
    }

    /// The whole state, for what asks for credentials of its own.
    pub(super) fn state(&self) -> &ApiState {
        &self.gate.state
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.address
    }

    pub(super) fn operation(&self) -> &'static Operation {
        self.operation
    }

    pub(super) fn token(&self) -> &Result<Option<String>, Reason> {
        &self.token
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unasked)
    }
}
