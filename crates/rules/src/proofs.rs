//! What the rules as a whole must say, and must not.

mod accepted_by_libvirt;
mod corpus;
mod examples;
