//! The members of `context`: which ones an expression needs, and their values.

use crate::{
    Declared, Request, Session,
    declared::Typed,
    reduce::{constant_name, operands},
    vocabulary::{Vocabulary, texts},
};
use cedar_policy_core::ast::{Context, Expr, ExprKind, Value, Var};
use smol_str::SmolStr;
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

/// A member of `context`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Member {
    Now,
    Host,
    Place,
    Device,
    Acr,
    Amr,
    LoginAge,
    SessionAge,
    Risk,
    NewPlace,
    Session,
    Subject,
}

impl Member {
    const ALL: [Self; 12] = [
        Self::Now,
        Self::Host,
        Self::Place,
        Self::Device,
        Self::Acr,
        Self::Amr,
        Self::LoginAge,
        Self::SessionAge,
        Self::Risk,
        Self::NewPlace,
        Self::Session,
        Self::Subject,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Now => "now",
            Self::Host => "host",
            Self::Place => "place",
            Self::Device => "device",
            Self::Acr => "acr",
            Self::Amr => "amr",
            Self::LoginAge => "login_age",
            Self::SessionAge => "session_age",
            Self::Risk => "risk",
            Self::NewPlace => "new_place",
            Self::Session => "session",
            Self::Subject => "subject",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|member| member.name() == name)
    }

    /// Whether it is known as soon as the session is.
    pub(crate) const fn is_of_session(self) -> bool {
        match self {
            Self::Device | Self::Acr | Self::Amr | Self::Risk | Self::NewPlace | Self::Subject => true,
            // A question can bring attributes that the session does not have.
            Self::Session => false,
            Self::Now | Self::Host | Self::Place | Self::LoginAge | Self::SessionAge => false,
        }
    }

    /// Whether it is there in every context.
    pub(crate) const fn is_required(self) -> bool {
        !matches!(self, Self::Device | Self::Acr)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The members that expressions need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Needs(u16);

/// The address within `context.place`: Cedar parses it, so it is left out where nothing looks at it.
const ADDRESS: u16 = 1 << 15;

impl Needs {
    pub(crate) const ALL: Self = Self(u16::MAX);

    /// The members that an expression uses; all of them if it uses `context` as a whole.
    pub(crate) fn of(expr: &Expr) -> Self {
        let (mut needs, mut uses, mut named) = (Self::default(), 0_usize, 0_usize);
        for part in expr.subexpressions() {
            if needs_address(part) {
                needs.0 |= ADDRESS;
            }
            let attr = match part.expr_kind() {
                ExprKind::Var(Var::Context) => {
                    uses += 1;
                    continue;
                }
                ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr } if is_context(expr) => attr,
                ExprKind::ExtHasAttr { expr, attrs } if is_context(expr) => attrs.first(),
                _ => continue,
            };
            named += 1;
            if let Some(member) = Member::named(attr) {
                needs.0 |= member.bit();
            }
        }
        if uses > named { Self::ALL } else { needs }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn has(self, member: Member) -> bool {
        self.0 & member.bit() != 0
    }

    pub(crate) fn members(self) -> impl Iterator<Item = Member> {
        Member::ALL.into_iter().filter(move |member| self.has(*member))
    }
}

/// Whether an operator names the address, or takes the place as a whole.
fn needs_address(expr: &Expr) -> bool {
    let is_place = |part: &Expr| matches!(part.expr_kind(), ExprKind::GetAttr { expr, attr } if attr == "place" && is_context(expr));
    match expr.expr_kind() {
        ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } => attr == "ip",
        ExprKind::ExtHasAttr { attrs, .. } => attrs.iter().any(|attr| attr == "ip"),
        ExprKind::If { then_expr, else_expr, .. } => is_place(then_expr) || is_place(else_expr),
        _ => operands(expr).into_iter().any(is_place),
    }
}

/// Whether an expression is `context` itself.
pub(crate) fn is_context(expr: &Expr) -> bool {
    matches!(expr.expr_kind(), ExprKind::Var(Var::Context))
}

/// What the values of members are made of.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) declared: &'a Declared,
    pub(crate) session: &'a Session,
}

impl Facts<'_> {
    /// A member that is known as soon as the session is; `None`: it is absent.
    pub(crate) fn of_session(&self, member: Member) -> Option<Value> {
        let session = self.session;
        match member {
            Member::Device => self.device(),
            Member::Acr => session.acr.as_deref().map(Value::from),
            Member::Amr => Some(texts(&session.amr)),
            Member::Risk => Some(session.risk.as_deref().unwrap_or("unknown").into()),
            Member::NewPlace => Some(session.new_place.into()),
            Member::Subject => {
                let attributes = session.subject_attributes.iter();
                Some(record(attributes.filter_map(|(name, text)| self.attribute(name, text))))
            }
            _ => None,
        }
    }

    /// A member, for a question; `None`: it is absent.
    pub(crate) fn of_request(&self, member: Member, request: &Request) -> Option<Value> {
        match member {
            Member::Now => self.vocabulary.datetime(request.now_ms),
            Member::Host => Some(request.host.as_str().into()),
            Member::Place => Some(self.place(request, request.ip)),
            Member::LoginAge => self.vocabulary.between(self.session.login_at_ms, request.now_ms),
            Member::SessionAge => self.vocabulary.between(self.session.opened_at_ms, request.now_ms),
            Member::Session => {
                // The session's own win, even if they do not have their type: a client chooses what its headers say.
                let own = &self.session.attributes;
                let others = request.attributes.iter().filter(|(name, _)| !own.contains_key(*name));
                Some(record(others.chain(own).filter_map(|(name, text)| self.attribute(name, text))))
            }
            member => self.of_session(member),
        }
    }

    /// The context of a question: the members that are needed, and constants.
    pub(crate) fn context(&self, needs: Needs, request: &Request, constants: &[Value]) -> Context {
        let ip = request.ip.filter(|_| needs.0 & ADDRESS != 0);
        let value = |member| match member {
            Member::Place => Some(self.place(request, ip)),
            member => self.of_request(member, request),
        };
        let members = needs.members().filter_map(|member| Some((member.name().into(), value(member)?)));
        let constants = constants.iter().enumerate().map(|(index, value)| (constant_name(index), value.clone()));
        Context::Value(Arc::new(members.chain(constants).collect()))
    }

    /// An attribute that the session has itself; `Some(None)`: it is absent for policies, whatever a question brings.
    pub(crate) fn stored(&self, name: &str) -> Option<Option<Value>> {
        let text = self.session.attributes.get(name)?;
        Some(self.attribute(name, text).map(|(_, value)| value))
    }

    fn attribute(&self, name: &str, text: &str) -> Option<(SmolStr, Value)> {
        let value = match self.declared.typed(name, text)? {
            Typed::String(text) => text.into(),
            Typed::Long(number) => number.into(),
            Typed::Bool(truth) => truth.into(),
        };
        Some((name.into(), value))
    }

    fn device(&self) -> Option<Value> {
        let device = self.session.device.as_ref()?;
        let members = [
            ("id", Some(device.id.as_str().into())),
            ("compliant", device.compliant.map(Value::from)),
            ("managed", device.managed.map(Value::from)),
            ("os", device.os.as_deref().map(Value::from)),
            ("source", device.source.as_deref().map(Value::from)),
        ];
        Some(present(members))
    }

    fn place(&self, request: &Request, ip: Option<IpAddr>) -> Value {
        let place = request.place.as_ref();
        present([
            ("ip", ip.and_then(|ip| self.vocabulary.ip(ip))),
            ("country", place.and_then(|place| place.country.as_deref()).map(Value::from)),
            ("asn", place.and_then(|place| place.asn).map(|asn| i64::from(asn).into())),
            ("proxy", place.and_then(|place| place.proxy).map(Value::from)),
        ])
    }
}

fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    record(members.into_iter().filter_map(|(name, value)| Some((name.into(), value?))))
}

fn record(members: impl Iterator<Item = (SmolStr, Value)>) -> Value {
    Value::record_arc(members.collect::<BTreeMap<_, _>>().into(), None)
}
