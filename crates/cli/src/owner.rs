//! What the guest owner's commands share: reading keys, blobs and images, and writing files that hold secrets.
//!
//! None of it needs root, a device or a daemon. Secrets are read from files and written to files that only their
//! owner can read; they never stand on a command line or in a message.

mod contents;
mod domain;
mod input;
mod launch;
mod output;

pub(crate) use contents::{ContentsArgs, Covered, SnpArgs, Source};
pub(crate) use domain::of_document;
pub(crate) use input::{read_blob, read_secret, read_tek, read_tik};
pub(crate) use launch::{ApiArgs, MeasurementArg, PolicyArg, parse_api, parse_policy};
pub(crate) use output::{Format, PrivateFiles, base64, print};
