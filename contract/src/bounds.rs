//! The bounds of a stream and of messages, as `check.proto` states them. Both sides keep them.
//!
//! Those of a filter's message are looked at before it is decoded: an entry of two bytes becomes up to some hundred bytes
//! of memory, so a bound in bytes alone would allow gigabytes. A policy whose hello exceeds them is refused by the same
//! function.

mod split;

pub use split::split;

use prost::encoding::{WireType, decode_key, decode_varint};
use std::fmt;

/// The largest message of a filter, in bytes. A hello with 10,000 routes has some 0.4 MB, one with 100,000 some 4 MB.
pub const MESSAGE_BYTES_MAX: usize = 8 << 20;
/// Tokens, questions and follows of one message.
pub const ENTRIES_MAX: usize = 16_384;
/// Routes of one message.
pub const ROUTES_MAX: usize = 100_000;
/// Tokens of one stream that are not forgotten.
pub const TOKENS_MAX: usize = 1_000_000;
/// Open follows of one stream.
pub const FOLLOWS_MAX: usize = 200_000;
/// Leases of one stream.
pub const LEASES_MAX: usize = 20_000;
/// The longest lease, in milliseconds.
pub const LEASE_MS_MAX: u64 = 5_000;
/// Uses of one message.
pub const USES_MAX: usize = 2_048;
/// Redemptions of one message.
pub const REDEMPTIONS_MAX: usize = 1_024;
/// Scopes, groups and sets of scopes, tags, `acr` and `amr` values, issuers, claim names, values of claims, attributes, groups
/// of people and capabilities of one message.
pub const NAMES_MAX: usize = 1_000_000;
/// Attributes of one token, and of the circumstances of one request.
pub const ATTRIBUTES_MAX: usize = 32;
/// The longest value of an attribute, in bytes. A longer one is left out: cut, it could be another's.
pub const ATTRIBUTE_BYTES_MAX: usize = 256;

/// For how long a filter would accept a proof of possession again, in milliseconds: twice the largest window of a policy.
pub const PROOF_LASTS_MS_MAX: u64 = 600_000;

/// The longest id of a request that becomes `txn` of a token, in bytes.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// The largest message of a service, in bytes. What a service has to say beyond it is said in further messages.
pub const SERVICE_MESSAGE_BYTES_MAX: usize = 2 << 20;

/// The bound that a message exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// [`MESSAGE_BYTES_MAX`].
    Bytes,
    /// [`ENTRIES_MAX`].
    Entries,
    /// [`ROUTES_MAX`].
    Routes,
    /// [`NAMES_MAX`].
    Names,
    /// [`USES_MAX`].
    Uses,
    /// [`REDEMPTIONS_MAX`].
    Redemptions,
    /// It contains a group, which proto3 does not have: what is in it cannot be counted.
    Group,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes => write!(f, "more than {MESSAGE_BYTES_MAX} bytes"),
            Self::Entries => write!(f, "more than {ENTRIES_MAX} tokens, questions and follows"),
            Self::Routes => write!(f, "more than {ROUTES_MAX} routes"),
            Self::Names => write!(f, "more than {NAMES_MAX} scopes and names"),
            Self::Uses => write!(f, "more than {USES_MAX} uses"),
            Self::Redemptions => write!(f, "more than {REDEMPTIONS_MAX} redemptions"),
            Self::Group => f.write_str("a group"),
        }
    }
}

impl std::error::Error for Exceeded {}

/// Checks an encoded `FilterMessage`. What cannot be decoded is only counted as far as it can be.
pub fn check(message: &[u8]) -> Result<(), Exceeded> {
    if message.len() > MESSAGE_BYTES_MAX {
        return Err(Exceeded::Bytes);
    }
    Counts::default().add(Kind::Message, message)
}

#[derive(Clone, Copy)]
enum Kind {
    Message,
    Hello,
    Route,
    Issuer,
    ClaimValues,
    Scopes,
    Token,
    Use,
    /// A question or a follow: the circumstances have the same number in both.
    Request,
    Circumstances,
}

#[derive(Default)]
struct Counts {
    entries: usize,
    routes: usize,
    names: usize,
    uses: usize,
    redemptions: usize,
}

impl Counts {
    fn add(&mut self, kind: Kind, mut bytes: &[u8]) -> Result<(), Exceeded> {
        while let Some((tag, value)) = field(&mut bytes)? {
            // The field numbers of check.proto.
            let inner = match (kind, tag) {
                (Kind::Message, 1) => Some(Kind::Hello),
                (Kind::Message, 2) => Some(Kind::Token),
                (Kind::Message, 3 | 4) => Some(Kind::Request),
                (Kind::Message, 8) => Some(Kind::Use),
                (Kind::Hello, 3) => Some(Kind::Route),
                (Kind::Hello, 4) => Some(Kind::Issuer),
                (Kind::Issuer, 5) => Some(Kind::ClaimValues),
                (Kind::Route, 6) => Some(Kind::Scopes),
                (Kind::Request, 7) => Some(Kind::Circumstances),
                _ => None,
            };
            match (kind, tag) {
                (Kind::Message, 2..=4) => count(&mut self.entries, ENTRIES_MAX, Exceeded::Entries)?,
                (Kind::Message, 8) => count(&mut self.uses, USES_MAX, Exceeded::Uses)?,
                (Kind::Message, 11) => count(&mut self.redemptions, REDEMPTIONS_MAX, Exceeded::Redemptions)?,
                (Kind::Hello, 3) => count(&mut self.routes, ROUTES_MAX, Exceeded::Routes)?,
                (Kind::Hello, 4 | 5 | 7)
                | (Kind::Route, 2 | 6 | 7 | 9 | 10)
                | (Kind::Scopes, 1)
                | (Kind::Issuer, 2..=5)
                | (Kind::ClaimValues, 2)
                | (Kind::Token, 7 | 17..=19)
                | (Kind::Circumstances, 2)
                | (Kind::Use, 3 | 5) => count(&mut self.names, NAMES_MAX, Exceeded::Names)?,
                _ => {}
            }
            if let Some(inner) = inner {
                self.add(inner, value)?;
            }
        }
        Ok(())
    }
}

fn count(counted: &mut usize, max: usize, exceeded: Exceeded) -> Result<(), Exceeded> {
    *counted += 1;
    if *counted > max { Err(exceeded) } else { Ok(()) }
}

/// The next field: its number, and its bytes if they have a length. `None` at the end, and where decoding would fail.
fn field<'a>(bytes: &mut &'a [u8]) -> Result<Option<(u32, &'a [u8])>, Exceeded> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let Ok((tag, wire_type)) = decode_key(bytes) else {
        return Ok(None);
    };
    let length = match wire_type {
        WireType::Varint => return Ok(decode_varint(bytes).ok().map(|_| (tag, &[][..]))),
        WireType::SixtyFourBit => Ok(8),
        WireType::ThirtyTwoBit => Ok(4),
        WireType::LengthDelimited => decode_varint(bytes),
        WireType::StartGroup | WireType::EndGroup => return Err(Exceeded::Group),
    };
    let length = length.ok().and_then(|length| usize::try_from(length).ok());
    Ok(length.and_then(|length| bytes.split_at_checked(length)).map(|(value, rest)| {
        *bytes = rest;
        (tag, value)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        Attribute, Circumstances, ClaimValues, FilterMessage, Follow, Hello, Issuer, Question, Redemption, Route,
        Scopes, Token, Use,
    };
    use prost::Message;

    fn checked(message: &FilterMessage) -> Result<(), Exceeded> {
        check(&message.encode_to_vec())
    }

    fn greeting(hello: Hello) -> FilterMessage {
        FilterMessage { hello: Some(hello), ..FilterMessage::default() }
    }

    #[test]
    fn a_message_may_have_as_many_entries_as_the_contract_says_and_no_more() {
        let (third, rest) = (ENTRIES_MAX / 3, ENTRIES_MAX - 2 * (ENTRIES_MAX / 3));
        let mut message = FilterMessage {
            tokens: vec![Token::default(); third],
            questions: vec![Question::default(); third],
            follows: vec![Follow::default(); rest],
            ..FilterMessage::default()
        };
        assert_eq!(checked(&message), Ok(()));
        message.questions.push(Question::default());
        assert_eq!(checked(&message), Err(Exceeded::Entries));
    }

    #[test]
    fn a_hello_may_have_as_many_routes_as_a_policy_and_no_more() {
        let mut hello = Hello { routes: vec![Route::default(); ROUTES_MAX], ..Hello::default() };
        assert_eq!(checked(&greeting(hello.clone())), Ok(()));
        hello.routes.push(Route::default());
        assert_eq!(checked(&greeting(hello)), Err(Exceeded::Routes));
    }

    #[test]
    fn a_message_may_have_as_many_uses_as_the_contract_says_and_their_scopes_are_names() {
        let uses = vec![Use { count: 1, ..Use::default() }; USES_MAX];
        let mut message = FilterMessage { uses, ..FilterMessage::default() };
        assert_eq!(checked(&message), Ok(()));
        message.uses.push(Use::default());
        assert_eq!(checked(&message), Err(Exceeded::Uses));
        message.uses = vec![Use { missing: vec![String::new(); NAMES_MAX], ..Use::default() }];
        assert_eq!(checked(&message), Ok(()));
        for more in [
            Use { missing: vec![String::new()], ..Use::default() },
            Use { granted: vec![String::new()], ..Use::default() },
        ] {
            message.uses.truncate(1);
            message.uses.push(more);
            assert_eq!(checked(&message), Err(Exceeded::Names));
        }
    }

    #[test]
    fn a_message_may_have_as_many_redemptions_as_the_contract_says_and_no_more() {
        let mut message =
            FilterMessage { redemptions: vec![Redemption::default(); REDEMPTIONS_MAX], ..FilterMessage::default() };
        assert_eq!(checked(&message), Ok(()));
        message.redemptions.push(Redemption::default());
        assert_eq!(checked(&message), Err(Exceeded::Redemptions));
    }

    #[test]
    fn names_are_counted_wherever_they_are() {
        let names = |count: usize| vec![String::new(); count];
        let group = Scopes { scopes: names(NAMES_MAX / 5) };
        let route = Route { all_of: names(NAMES_MAX / 5), any_of: vec![group], ..Route::default() };
        let issuer = Issuer {
            scope_claims: names(NAMES_MAX / 20),
            session_claims: names(NAMES_MAX / 20),
            client_claims: names(NAMES_MAX / 20),
            // The claim counts as well.
            machine: vec![ClaimValues { values: names(NAMES_MAX / 20 - 1), ..ClaimValues::default() }],
            ..Issuer::default()
        };
        let hello = Hello {
            routes: vec![route],
            issuers: vec![issuer],
            // The group and the issuer count as well.
            capabilities: names(NAMES_MAX / 10 - 2),
            approvals: names(NAMES_MAX / 10),
            ..Hello::default()
        };
        let mut message = greeting(hello);
        message.tokens = vec![Token { scopes: names(NAMES_MAX / 5), ..Token::default() }];
        assert_eq!(checked(&message), Ok(()));
        for more in ["token", "approval", "capability"] {
            let mut message = message.clone();
            match more {
                "token" => message.tokens[0].scopes.push(String::new()),
                "approval" => message.hello.as_mut().unwrap().approvals.push(String::new()),
                _ => message.hello.as_mut().unwrap().capabilities.push(String::new()),
            }
            assert_eq!(checked(&message), Err(Exceeded::Names), "{more}");
        }
    }

    #[test]
    fn facts_for_conditions_are_names_wherever_they_are() {
        let names = |count: usize| vec![String::new(); count];
        let part = NAMES_MAX / 8;
        let attributes = || vec![Attribute::default(); part];
        let circumstances = || Some(Circumstances { attributes: attributes(), ..Circumstances::default() });
        let token = Token { amr: names(part), claims: attributes(), groups: names(part), ..Token::default() };
        let route = Route { tags: names(part), sets: names(part), ..Route::default() };
        let mut message = greeting(Hello { routes: vec![route], capabilities: names(part), ..Hello::default() });
        message.tokens = vec![token];
        message.questions = vec![Question { circumstances: circumstances(), ..Question::default() }];
        message.follows = vec![Follow { circumstances: circumstances(), ..Follow::default() }];
        assert_eq!(checked(&message), Ok(()));
        for more in ["tags", "sets", "amr", "claims", "groups", "question", "follow"] {
            let mut message = message.clone();
            let route = &mut message.hello.as_mut().unwrap().routes[0];
            let one_more = |circumstances: Option<Circumstances>| {
                let mut circumstances = circumstances.unwrap();
                circumstances.attributes.push(Attribute::default());
                Some(circumstances)
            };
            match more {
                "tags" => route.tags.push(String::new()),
                "sets" => route.sets.push(String::new()),
                "amr" => message.tokens[0].amr.push(String::new()),
                "claims" => message.tokens[0].claims.push(Attribute::default()),
                "groups" => message.tokens[0].groups.push(String::new()),
                "question" => message.questions[0].circumstances = one_more(message.questions[0].circumstances.take()),
                _ => message.follows[0].circumstances = one_more(message.follows[0].circumstances.take()),
            }
            assert_eq!(checked(&message), Err(Exceeded::Names), "{more}");
        }
    }

    #[test]
    fn long_messages_and_groups_are_refused_and_nonsense_is_left_to_the_decoder() {
        assert_eq!(check(&vec![0; MESSAGE_BYTES_MAX + 1]), Err(Exceeded::Bytes));
        // Field 9 as a group that holds what would be counted.
        assert_eq!(check(&[0x4b, 0x12, 0x00, 0x4c]), Err(Exceeded::Group));
        for nonsense in [&[0xff][..], &[0x12, 0x05, 0x00], &[0x09, 0x00], &[0x07]] {
            assert_eq!(check(nonsense), Ok(()), "{nonsense:?}");
            assert!(FilterMessage::decode(nonsense).is_err(), "{nonsense:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let _: Result<(), Exceeded> = check(&bytes);
        }
    }
}
