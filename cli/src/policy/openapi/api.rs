//! The parts of an OpenAPI document that a policy needs.

use super::{
    read,
    security::{Scheme, Security},
    servers::Base,
    value::{Shape, load},
};
use crate::error::Error;
use std::path::Path;

/// An OpenAPI document.
#[derive(Debug)]
pub(in crate::policy) struct Api {
    /// `info.title` and `info.version`.
    pub(in crate::policy) title: String,
    /// The version of OpenAPI.
    pub(in crate::policy) openapi: String,
    /// The operations, in the order of the document.
    pub(in crate::policy) operations: Vec<Operation>,
    /// The security schemes, in the order of the document.
    pub(in crate::policy) schemes: Vec<Scheme>,
    /// Notes about the whole document.
    pub(in crate::policy) notes: Vec<String>,
}

/// An operation: a method of a path.
#[derive(Debug)]
pub(in crate::policy) struct Operation {
    /// The method in upper case; `None` if the methods of the path are unknown.
    pub(in crate::policy) method: Option<String>,
    /// The path in the document, without the base path of a server.
    pub(in crate::policy) path: String,
    /// `operationId`
    pub(in crate::policy) id: Option<String>,
    /// `summary`
    pub(in crate::policy) summary: Option<String>,
    /// Where it is served; never empty.
    pub(in crate::policy) bases: Vec<Base>,
    /// Who may call it.
    pub(in crate::policy) security: Security,
    /// Why a segment of its path may contain an encoded slash, if the document suggests that.
    pub(in crate::policy) encoded_slash: Option<String>,
    /// Why it cannot be read, or why no rule can match its requests.
    pub(in crate::policy) error: Option<String>,
}

impl Operation {
    /// Its method and path.
    pub(in crate::policy) fn label(&self) -> String {
        format!("{} {}", self.method.as_deref().unwrap_or("(any)"), self.path)
    }
}

impl Api {
    /// Reads a file, or standard input for `-`.
    pub(in crate::policy) fn read(path: &Path) -> Result<Self, Error> {
        let root = load(path, Shape::Root)?;
        read::api(&root).map_err(|message| Error::invalid(format_args!("`{}`: {message}", path.display())))
    }

    /// Reads the text of a document.
    #[cfg(test)]
    pub(in crate::policy) fn parse(text: &str) -> Result<Self, String> {
        read::api(&super::value::parse(text, Shape::Root)?)
    }
}
