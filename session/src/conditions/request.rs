//! What conditions are told about one request, besides its token and its route.

use crate::token::Token;
use portcullis_contract::bounds::{ATTRIBUTE_BYTES_MAX, ATTRIBUTES_MAX};
use portcullis_contract::wire::{self, Circumstances};
use std::net::IpAddr;

/// The methods that conditions know. They are the actions of the schema: another one is refused where there are any.
pub(crate) const METHODS: [&str; 8] = ["GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE"];

/// A request, as its filter describes it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Request<'q> {
    method: &'q str,
    client_address: &'q str,
    user_agent: Option<u64>,
    circumstances: Option<&'q Circumstances>,
}

/// The same of a request that goes on, or waits.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnRequest {
    method: Box<str>,
    client_address: Box<str>,
    user_agent: Option<u64>,
    circumstances: Option<Box<Circumstances>>,
}

impl<'q> Request<'q> {
    /// The request of a question.
    pub(crate) fn of(question: &'q wire::Question) -> Self {
        let wire::Question { method, client_address, user_agent_digest: user_agent, circumstances, .. } = question;
        Self { method, client_address, user_agent: *user_agent, circumstances: circumstances.as_ref() }
    }

    /// The first request of a follow.
    pub(crate) fn followed(follow: &'q wire::Follow) -> Self {
        let wire::Follow { method, client_address, user_agent_digest: user_agent, circumstances, .. } = follow;
        Self { method, client_address, user_agent: *user_agent, circumstances: circumstances.as_ref() }
    }

    /// A copy of its own.
    pub(crate) fn own(self) -> OwnRequest {
        OwnRequest {
            method: self.method.into(),
            client_address: self.client_address.into(),
            user_agent: self.user_agent,
            circumstances: self.circumstances.cloned().map(Box::new),
        }
    }

    /// The method.
    pub(crate) const fn method(self) -> &'q str {
        self.method
    }

    /// The number of its method, below 8; `None` for one that conditions do not know.
    pub(crate) fn method_number(self) -> Option<u8> {
        let at = METHODS.iter().position(|known| *known == self.method)?;
        u8::try_from(at).ok()
    }

    /// The client's address.
    pub(crate) fn address(self) -> Option<IpAddr> {
        self.client_address.parse().ok()
    }

    /// A digest of the client's user agent.
    pub(crate) const fn user_agent(self) -> Option<u64> {
        self.user_agent
    }

    /// The host, in lower case and without port; may be empty.
    pub(crate) fn host(self) -> &'q str {
        self.circumstances.map_or("", |circumstances| &circumstances.host)
    }

    /// The device that the connection's certificate names; empty: none.
    pub(crate) fn device(self) -> &'q str {
        self.circumstances.map_or("", |circumstances| &circumstances.device)
    }

    /// The session's device: the one that the connection's certificate names, or else its token; empty: none.
    pub(crate) fn device_of<'a>(self, token: &'a Token) -> &'a str
    where
        'q: 'a,
    {
        match self.device() {
            "" => &token.further().device,
            device => device,
        }
    }

    /// The client's place, if the proxy knows it.
    pub(crate) fn place(self) -> Option<&'q wire::Place> {
        self.circumstances?.place.as_ref()
    }

    /// What the request says, by name. What is beyond the bounds of the contract is absent.
    pub(crate) fn attributes(self) -> impl Iterator<Item = (&'q str, &'q str)> {
        let all = self.circumstances.into_iter().flat_map(|circumstances| &circumstances.attributes);
        all.take(ATTRIBUTES_MAX)
            .filter(|attribute| attribute.value.len() <= ATTRIBUTE_BYTES_MAX)
            .map(|attribute| (attribute.name.as_str(), attribute.value.as_str()))
    }
}

impl OwnRequest {
    /// The same, borrowed.
    pub(crate) fn borrow(&self) -> Request<'_> {
        Request {
            method: &self.method,
            client_address: &self.client_address,
            user_agent: self.user_agent,
            circumstances: self.circumstances.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_contract::wire::{Attribute, Question};

    #[test]
    fn what_is_beyond_the_bounds_is_absent() {
        let attribute = |name: usize, bytes: usize| Attribute { name: name.to_string(), value: "x".repeat(bytes) };
        let mut attributes = vec![attribute(0, ATTRIBUTE_BYTES_MAX + 1), attribute(1, ATTRIBUTE_BYTES_MAX)];
        attributes.extend((2..100).map(|name| attribute(name, 1)));
        let circumstances = Some(Circumstances { attributes, ..Circumstances::default() });
        let question = Question { circumstances, client_address: "not an address".to_owned(), ..Question::default() };
        let request = Request::of(&question);
        let names: Vec<&str> = request.attributes().map(|(name, _)| name).collect();
        assert_eq!((names.len(), names[0]), (ATTRIBUTES_MAX - 1, "1"));
        assert_eq!((request.address(), request.host(), request.place()), (None, "", None));
    }

    #[test]
    fn a_method_is_one_of_eight_and_its_name_is_compared_exactly() {
        let number = |method: &str| {
            let question = Question { method: method.to_owned(), ..Question::default() };
            Request::of(&question).method_number()
        };
        let numbers: Vec<u8> = METHODS.into_iter().filter_map(number).collect();
        assert_eq!(numbers, (0..8).collect::<Vec<_>>());
        for other in ["", "get", "CONNECT", "PROPFIND", "GET "] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}
