//! Tests of what is collected, and of what a client cannot forge.

use super::*;
use crate::policy::{DeviceSource, PlaceHeaders};

const HOP: &str = "spiffe://example.com/edge";

fn sources() -> FactSources {
    FactSources {
        trusted_hops: vec![HOP.to_owned(), "edge.example.com".to_owned()],
        device: vec![DeviceSource::ClientCertificate],
        headers: vec!["x-device-id".to_owned(), "x-network".to_owned()],
        client_certificate: true,
        place: PlaceHeaders {
            country: Some("x-country".to_owned()),
            asn: Some("x-asn".to_owned()),
            proxy: Some("x-anon".to_owned()),
        },
        ..FactSources::default()
    }
}

fn headers(pairs: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    let authority = (":authority", &b"API.Example.com:8443"[..]);
    let pairs = std::iter::once(&authority).chain(pairs);
    pairs.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect()
}

/// A connection without a certificate, on which an earlier filter vouches for these headers.
fn vouching<'v>(names: &'v [&str]) -> impl FnMut(LookUp<'_>) -> Option<Vec<u8>> + 'v {
    |what| match what {
        LookUp::Vouched(name) if names.contains(&name) => Some(vec![1]),
        _ => None,
    }
}

/// A connection with a certificate of that URI SAN and digest.
fn certified<'v>(uri: &'v str, digest: &'v str) -> impl FnMut(LookUp<'_>) -> Option<Vec<u8>> + 'v {
    move |what| match what {
        LookUp::CertificateUri => Some(uri.as_bytes().to_vec()),
        LookUp::CertificateDigest => Some(digest.as_bytes().to_vec()),
        _ => None,
    }
}

fn collected(pairs: &[(&str, &[u8])], look_up: impl FnMut(LookUp<'_>) -> Option<Vec<u8>>) -> wire::Circumstances {
    collect(&Head::read(&headers(pairs)), &sources(), look_up)
}

fn attributes(circumstances: &wire::Circumstances) -> Vec<(&str, &str)> {
    circumstances.attributes.iter().map(|of| (of.name.as_str(), of.value.as_str())).collect()
}

#[test]
fn a_policy_that_names_nothing_looks_nothing_up_and_tells_the_host() {
    let all = headers(&[("x-device-id", b"d"), ("x-country", b"CH")]);
    let told = collect(&Head::read(&all), &FactSources::default(), |what| panic!("{what:?}"));
    assert_eq!(told, wire::Circumstances { host: "api.example.com".to_owned(), ..wire::Circumstances::default() });
}

#[test]
fn a_request_without_the_named_headers_asks_for_nobodys_word() {
    let sources = FactSources { headers: vec!["x-device-id".to_owned()], ..FactSources::default() };
    let told = collect(&Head::read(&headers(&[])), &sources, |what| panic!("{what:?}"));
    assert!(told.attributes.is_empty());
}

#[test]
fn a_header_only_counts_if_somebody_vouches_for_it() {
    let sent: [(&str, &[u8]); 3] = [("x-device-id", b"d-1"), ("x-network", b"office"), ("x-country", b"ch")];
    let told = collected(&sent, vouching(&["x-device-id"]));
    assert_eq!((attributes(&told), told.place.clone()), (vec![("x-device-id", "d-1")], None));
    let told = collected(&sent, vouching(&["x-device-id", "x-network", "x-country"]));
    assert_eq!(attributes(&told), [("x-device-id", "d-1"), ("x-network", "office")]);
    assert_eq!(told.place, Some(wire::Place { country: "CH".to_owned(), ..wire::Place::default() }));
    let told = collected(&sent, |what| matches!(what, LookUp::Vouched(_)).then(|| FALSE.to_vec()));
    assert!(told.attributes.is_empty(), "a filter can also say that it does not");
}

#[test]
fn the_headers_of_a_trusted_hop_count_and_those_of_any_other_certificate_do_not() {
    let sent: [(&str, &[u8]); 1] = [("x-device-id", b"d-1")];
    let digest = "a".repeat(64);
    assert_eq!(attributes(&collected(&sent, certified(HOP, &digest))), [("x-device-id", "d-1")]);
    let dns = |what: LookUp<'_>| (what == LookUp::CertificateDns).then(|| b"edge.example.com".to_vec());
    assert_eq!(attributes(&collected(&sent, dns)), [("x-device-id", "d-1")]);
    for other in ["spiffe://example.com/edge2", "spiffe://example.com/edg", "SPIFFE://example.com/edge", ""] {
        let told = collected(&sent, certified(other, &digest));
        assert_eq!(attributes(&told), [("client_certificate", digest.as_str())], "{other}");
    }
}

#[test]
fn a_repeated_header_and_one_that_is_no_text_or_too_long_are_absent() {
    let long = vec![b'x'; ATTRIBUTE_BYTES_MAX + 1];
    for sent in [
        &[("x-device-id", &b"a"[..]), ("x-device-id", &b"a"[..])][..],
        &[("x-device-id", &[0xff][..])],
        &[("x-device-id", &long[..])],
    ] {
        assert!(collected(sent, vouching(&["x-device-id"])).attributes.is_empty(), "{sent:?}");
    }
    let most = &long[1..];
    assert_eq!(collected(&[("x-device-id", most)], vouching(&["x-device-id"])).attributes.len(), 1);
}

#[test]
fn the_clients_certificate_is_the_connections_and_a_trusted_hop_reports_another() {
    let (own, client) = ("b".repeat(64), "a".repeat(64));
    let forwarded = format!("Hash={client};URI=spiffe://laptop");
    let sent: [(&str, &[u8]); 1] = [("x-forwarded-client-cert", forwarded.as_bytes())];
    let device = |told: &wire::Circumstances| (told.device.clone(), attributes(told).len());
    assert_eq!(device(&collected(&sent, certified("spiffe://laptop2", &own))), (own.clone(), 1));
    assert_eq!(device(&collected(&sent, certified(HOP, &own))), (client, 1));
    assert_eq!(device(&collected(&[], certified(HOP, &own))), (String::new(), 0), "a hop's own is not the client's");
    assert_eq!(device(&collected(&sent, |_| None)), (String::new(), 0), "a client can write that header");
    let broken: [(&str, &[u8]); 1] = [("x-forwarded-client-cert", &[0xff])];
    assert_eq!(device(&collected(&broken, certified(HOP, &own))), (String::new(), 0));
    assert_eq!(device(&collected(&[], certified("x", "no digest"))), (String::new(), 0));
}

#[test]
fn a_place_is_read_in_the_forms_in_which_proxies_write_it() {
    let names = ["x-country", "x-asn", "x-anon"];
    let place = |country: &str, asn: &str, anon: &str| {
        let sent = [country, asn, anon].map(str::as_bytes);
        let sent = [("x-country", sent[0]), ("x-asn", sent[1]), ("x-anon", sent[2])];
        collected(&sent, vouching(&names)).place
    };
    let known = |country: &str, asn, proxy| Some(wire::Place { country: country.to_owned(), asn, proxy });
    assert_eq!(place("de", "AS3320", "false"), known("DE", Some(3320), Some(false)));
    assert_eq!(place(" CH ", "3303", "TRUE"), known("CH", Some(3303), Some(true)));
    assert_eq!(place("T1", "as4294967295", "1"), known("", Some(u32::MAX), Some(true)));
    for unknown in
        [("", "", ""), ("Switzerland", "AS", "maybe"), ("-", "4294967296", "tor"), ("ü", "ü", "ü"), ("C", "+1", "")]
    {
        let (country, asn, anon) = unknown;
        assert_eq!(place(country, asn, anon), None, "{unknown:?}");
    }
}
