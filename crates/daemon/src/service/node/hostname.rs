//! The host's name, with its domain where that can be told.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::Arc;

use crate::service::{Failure, Service, blocking};

/// As libvirt's `virGetHostname`: a bare name is completed by the resolver, unless that leads to `localhost`.
pub(in crate::service) async fn hostname(service: &Arc<Service>) -> Result<String, Failure> {
    blocking(service, |_| {
        let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
        if name.contains('.') || name.starts_with("localhost") {
            return Ok(name);
        }
        // A resolver may have to ask others, which takes seconds where they do not answer.
        let full = canonical(&name).filter(|full| !full.starts_with("localhost"));
        Ok(full.unwrap_or(name))
    })
    .await
}

/// What the resolver calls a host.
#[expect(unsafe_code, reason = "getaddrinfo(3) has no safe form that tells the canonical name")]
fn canonical(name: &str) -> Option<String> {
    let name = CString::new(name).ok()?;
    let hints = libc::addrinfo {
        ai_flags: libc::AI_CANONNAME,
        ai_family: libc::AF_UNSPEC,
        ai_socktype: libc::SOCK_STREAM,
        ai_protocol: 0,
        ai_addrlen: 0,
        ai_addr: ptr::null_mut(),
        ai_canonname: ptr::null_mut(),
        ai_next: ptr::null_mut(),
    };
    let mut found: *mut libc::addrinfo = ptr::null_mut();
    // SAFETY: name and hints live through the call, which writes `found` if it succeeds.
    if unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut found) } != 0 {
        return None;
    }
    // SAFETY: a successful call gives a list of at least one entry, valid until it is freed.
    let first = unsafe { (*found).ai_canonname };
    let text = (!first.is_null()).then(|| {
        // SAFETY: it is a C string that lives as long as the list.
        unsafe { CStr::from_ptr(first) }.to_string_lossy().into_owned()
    });
    // SAFETY: the list comes from getaddrinfo and is not used any more.
    unsafe { libc::freeaddrinfo(found) };
    text
}
