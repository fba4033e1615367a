//! A domain's title, its description, and what applications keep with it.

use std::sync::Arc;

use domain::model::laid_out;
use domain::{Document, Domain, Edit, Element, NewElement, Span};
use rpc::error::{Code, Origin, RemoteError};
use rpc::remote::domain::{GetMetadataArgs, SetMetadataArgs};
use rpc::xdr::Text;

use super::{affect, define, exclusively, only_flags, xml};
use crate::service::domains::{Vm, not_running};
use crate::service::events::Happening;
use crate::service::{Failure, Service};

/// `virDomainMetadataType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Description,
    Title,
    Element,
}

impl Kind {
    fn of(number: i32) -> Result<Self, Failure> {
        match number {
            0 => Ok(Self::Description),
            1 => Ok(Self::Title),
            2 => Ok(Self::Element),
            _ => Err(Box::new(RemoteError::invalid_arg(format!("unknown metadata type '{number}'")))),
        }
    }

    fn number(self) -> i32 {
        match self {
            Self::Description => 0,
            Self::Title => 1,
            Self::Element => 2,
        }
    }
}

/// `DOMAIN_GET_METADATA`.
pub(in crate::service) fn get(vm: &Vm, args: &GetMetadataArgs<'_>) -> Result<Text<'static>, Failure> {
    only_flags(args.flags, affect::LIVE | affect::CONFIG, "virDomainGetMetadata")?;
    let kind = Kind::of(args.kind)?;
    let domain = match args.flags {
        affect::CONFIG => Arc::new(xml::parse(&vm.definition().ok_or_else(define::transient)?)?),
        affect::LIVE => vm.live().ok_or_else(not_running)?,
        0 => vm.current()?,
        _ => return Err(Box::new(RemoteError::invalid_arg("live and config at once"))),
    };
    let found = match kind {
        Kind::Title => domain.title.clone(),
        Kind::Description => domain.description.clone(),
        Kind::Element => {
            let uri = args.uri.as_deref().unwrap_or_default();
            domain.metadata.as_deref().map(|metadata| element(metadata, uri)).transpose()?.flatten()
        }
    };
    let missing = match kind {
        Kind::Title => "Requested title is not present",
        Kind::Description => "Requested description is not present",
        Kind::Element => "Requested metadata element is not present",
    };
    found
        .map(Text::from)
        .ok_or_else(|| Box::new(RemoteError::new(Code::NO_DOMAIN_METADATA, Origin::DOMAIN, missing)))
}

/// What is to be set.
#[derive(Debug, Clone)]
struct Setting {
    kind: Kind,
    value: Option<String>,
    key: String,
    uri: String,
}

/// `DOMAIN_SET_METADATA`.
pub(in crate::service) async fn set(
    service: &Arc<Service>,
    args: &SetMetadataArgs<'_>,
) -> Result<(), Failure> {
    only_flags(args.flags, affect::LIVE | affect::CONFIG, "virDomainSetMetadata")?;
    let text = |text: &Option<Text<'_>>| text.as_deref().map(str::to_owned);
    let setting = Setting {
        kind: Kind::of(args.kind)?,
        value: text(&args.metadata),
        key: text(&args.key).unwrap_or_default(),
        uri: text(&args.uri).unwrap_or_default(),
    };
    setting.check()?;
    let (vm, flags) = (service.domains.of(&args.dom)?, args.flags);
    exclusively(service, vm, move |service, vm| {
        let is_current = flags == 0;
        let live = flags & affect::LIVE != 0 || (is_current && vm.is_active());
        let config = flags & affect::CONFIG != 0 || (is_current && !vm.is_active());
        if live {
            vm.must_run()?;
        }
        if config {
            define::change(service, vm, |domain| setting.apply(domain))?;
        }
        if live {
            vm.change_live(|domain| setting.apply(domain))?;
        }
        let uri = (setting.kind == Kind::Element).then(|| setting.uri.clone());
        service.events.publish(&vm.about(), &Happening::MetadataChange { kind: setting.kind.number(), uri });
        Ok(())
    })
    .await
}

impl Setting {
    fn check(&self) -> Result<(), Failure> {
        let refused = |detail: &str| Err(Box::new(RemoteError::invalid_arg(detail)));
        match self.kind {
            Kind::Title if self.value.as_ref().is_some_and(|title| title.contains('\n')) => {
                refused("metadata title can't contain newlines")
            }
            Kind::Element if self.uri.is_empty() => refused("uri in virDomainSetMetadata must not be NULL"),
            Kind::Element if self.value.is_some() && !is_prefix(&self.key) => {
                refused("key in virDomainSetMetadata is no prefix of a namespace")
            }
            _ => Ok(()),
        }
    }

    fn apply(&self, domain: &mut Domain) -> Result<(), Failure> {
        let value = self.value.clone().filter(|value| !value.is_empty());
        match self.kind {
            Kind::Title => domain.title = value,
            Kind::Description => domain.description = value,
            Kind::Element => {
                let new = value.map(|xml| namespaced(&xml, &self.key, &self.uri)).transpose()?;
                let metadata = domain.metadata.take().unwrap_or_else(|| "<metadata/>".to_owned());
                domain.metadata = replace(&metadata, &self.uri, new.as_deref())?;
            }
        }
        Ok(())
    }
}

/// Whether a text can be a namespace's prefix.
fn is_prefix(text: &str) -> bool {
    let is_first = |c: char| c.is_alphabetic() || c == '_';
    text.starts_with(is_first) && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn document(xml: &str) -> Result<Document, Failure> {
    Document::parse(xml).map_err(|error| xml::ill_formed(&error))
}

fn edited(document: &Document, edits: &[Edit]) -> Result<Document, Failure> {
    document.apply(edits).map_err(|error| Box::new(RemoteError::internal(crate::chain(&error))))
}

/// The element of an application, without its namespace.
fn element(metadata: &str, uri: &str) -> Result<Option<String>, Failure> {
    let metadata = document(metadata)?;
    let Some(found) = metadata.root().children().find(|child| is_of(*child, uri)) else { return Ok(None) };
    let alone = document(found.span().of(metadata.text()))?;
    let root = alone.root();
    let mut edits = Vec::new();
    let prefix = root.name().split_once(':').map(|(prefix, _)| prefix.to_owned());
    for element in root.descendants() {
        if let (Some((own, _)), Some(prefix)) = (element.name().split_once(':'), &prefix)
            && own == prefix
        {
            let length = own.len() + 1;
            edits.extend(names(element).map(|at| Edit::replace(Span::new(at, at + length), "")));
        }
    }
    let declaration = prefix.map_or_else(|| "xmlns".to_owned(), |prefix| format!("xmlns:{prefix}"));
    edits.extend(Edit::remove_attribute(root, &declaration));
    Ok(Some(laid_out(edited(&alone, &edits)?.root())))
}

/// An application's element with all of its elements in its namespace.
fn namespaced(xml: &str, key: &str, uri: &str) -> Result<String, Failure> {
    let alone = document(xml)?;
    let root = alone.root();
    let mut edits = Vec::new();
    for element in root.descendants().filter(|element| !element.name().contains(':')) {
        edits.extend(names(element).map(|at| Edit::insert(at, format!("{key}:"))));
    }
    edits.push(Edit::insert(
        root.name_span().end,
        format!(" xmlns:{key}='{}'", domain::escape_attribute(uri, '\'')),
    ));
    let edited = edited(&alone, &edits)?;
    Ok(edited.root().span().of(edited.text()).to_owned())
}

/// Where the element's name stands.
fn names(element: Element<'_>) -> impl Iterator<Item = usize> {
    let end = element.end_tag_span().map(|span| span.start + "</".len());
    std::iter::once(element.name_span().start).chain(end)
}

fn is_of(element: Element<'_>, uri: &str) -> bool {
    element.namespace().as_deref() == Some(uri)
}

/// `<metadata>` with another element, or none, for that namespace; none where nothing is left in it.
fn replace(metadata: &str, uri: &str, new: Option<&str>) -> Result<Option<String>, Failure> {
    const PLACE: &str = "sevirt-place";
    let before = document(metadata)?;
    let old = before.root().children().filter(|child| is_of(*child, uri));
    let edits: Vec<Edit> = old.map(Edit::remove_element).collect();
    let mut after = edited(&before, &edits)?;
    if new.is_some() {
        let place = Edit::insert_child(after.root(), &NewElement::new(PLACE));
        after = edited(&after, &[place])?;
    }
    if after.root().children().next().is_none() {
        return Ok(None);
    }
    let text = after.text();
    let text = match new {
        Some(new) => text.replacen(&format!("<{PLACE}/>"), new, 1),
        None => text.to_owned(),
    };
    Ok(Some(laid_out(document(&text)?.root())))
}
