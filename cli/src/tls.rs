//! How the tool verifies the servers that it calls, and what it presents to them.

use crate::{error::Error, input};
use rustls::crypto::ring;
use std::{path::Path, sync::Arc};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// The largest PEM file, in bytes.
const PEM_BYTES_MAX: u64 = 16 << 20;

/// The configuration with which servers are verified: with the root certificates in `ca`, or with the system's. `own` is the
/// certificate to present, with its chain, and its key.
pub(crate) fn config(ca: Option<&Path>, own: Option<(&Path, &Path)>) -> Result<TlsConfig, Error> {
    let roots = match ca {
        Some(file) => certificates(file)?,
        None => system_roots()?,
    };
    let own = match own {
        Some((chain, key)) => Some(ClientCert::new_with_certs(&certificates(chain)?, private_key(key)?)),
        None => None,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = TlsConfig::builder().unversioned_rustls_crypto_provider(provider);
    Ok(builder.root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(own).build())
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let pem = input::bytes_within(file, PEM_BYTES_MAX)?;
    let unread = |_| Error::invalid(format_args!("`{}` is not a PEM file of certificates", file.display()));
    let items = parse_pem(&pem).collect::<Result<Vec<_>, _>>().map_err(unread)?;
    let certificates = items.into_iter().filter_map(|item| match item {
        PemItem::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    if certificates.is_empty() {
        return Err(Error::invalid(format_args!("`{}` contains no certificate", file.display())));
    }
    Ok(certificates)
}

fn private_key(file: &Path) -> Result<PrivateKey<'static>, Error> {
    let unread = |_| Error::invalid(format_args!("`{}` contains no private key", file.display()));
    PrivateKey::from_pem(&input::bytes_within(file, PEM_BYTES_MAX)?).map_err(unread)
}

fn system_roots() -> Result<Vec<Certificate<'static>>, Error> {
    // An unreadable root is skipped; only an empty result is an error.
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(Error::failed("the system has no root certificates; use `--ca`"));
    }
    Ok(found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect())
}
