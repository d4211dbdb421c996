//! What an attribute is about: a session, a subject or a device.

use crate::{
    admin::{
        client::{Client, Path},
        plain::plain,
        sessions::id,
    },
    error::Error,
};
use clap::{ArgGroup, builder::NonEmptyStringValueParser};

/// What the attributes are about.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("holder").required(true))]
pub(super) struct Holder {
    /// Id of the session, or its first digits
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new(), group = "holder")]
    session: Option<String>,
    /// Subject (`sub`), even if none of its sessions has been seen
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), group = "holder", requires = "issuer")]
    subject: Option<String>,
    /// Id of the device, as in tokens of the issuer
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), group = "holder", requires = "issuer")]
    device: Option<String>,
    /// Issuer (`iss`) of the subject or device, compared exactly
    #[arg(long, value_parser = NonEmptyStringValueParser::new(), conflicts_with = "session")]
    issuer: Option<String>,
}

/// Where the attributes of a holder are.
#[derive(Debug)]
pub(super) struct Place {
    kind: &'static str,
    name: String,
    issuer: Option<String>,
}

impl Holder {
    /// Where its attributes are. The service may be asked for the whole id of a session.
    pub(super) fn place(self, client: &Client) -> Result<Place, Error> {
        let (kind, name) = match (self.session, self.subject, self.device) {
            (Some(given), ..) => ("session", id::resolve(client, &given)?),
            (None, Some(subject), _) => ("subject", subject),
            (None, None, Some(device)) => ("device", device),
            (None, None, None) => return Err(Error::invalid("specify --session, --subject or --device")),
        };
        Ok(Place { kind, name, issuer: self.issuer })
    }
}

impl Place {
    /// The path of all attributes, or of the one with that name.
    pub(super) fn path(&self, attribute: Option<&str>) -> Path {
        let of = Path::new("/v1/attributes").segment(self.kind).segment(&self.name);
        attribute.into_iter().fold(of, Path::segment).parameter("issuer", self.issuer.as_deref())
    }

    /// "subject `alice` at `https://id.example.com`"
    pub(super) fn words(&self) -> String {
        let issuer = self.issuer.as_deref().map(|issuer| format!(" at `{}`", plain(issuer))).unwrap_or_default();
        format!("{} `{}`{issuer}", self.kind, plain(&self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        holder: Holder,
    }

    #[test]
    fn there_is_exactly_one_holder_and_an_issuer_where_it_needs_one() {
        let is_taken = |line: &[&str]| Line::try_parse_from(["x"].iter().chain(line)).is_ok();
        let taken: [&[&str]; 3] =
            [&["--session", "5d41"], &["--subject", "s", "--issuer", "i"], &["--device", "d", "--issuer", "i"]];
        for line in taken {
            assert!(is_taken(line), "{line:?}");
        }
        let refused: [&[&str]; 9] = [
            &[],
            &["--issuer", "i"],
            &["--session", ""],
            &["--subject", "s"],
            &["--device", "d"],
            &["--subject", "s", "--issuer", ""],
            &["--session", "5d41", "--issuer", "i"],
            &["--subject", "s", "--device", "d", "--issuer", "i"],
            &["--session", "5d41", "--subject", "s", "--issuer", "i"],
        ];
        for line in refused {
            assert!(!is_taken(line), "{line:?}");
        }
    }

    #[test]
    fn a_holder_has_words() {
        let place = Place { kind: "device", name: "d\u{1b}".to_owned(), issuer: Some("i".to_owned()) };
        assert_eq!(place.words(), "device `d\\u{1b}` at `i`");
        let place = Place { kind: "session", name: "5d41".to_owned(), issuer: None };
        assert_eq!(place.words(), "session `5d41`");
    }
}
