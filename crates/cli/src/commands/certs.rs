//! `sevirt certs`: what a platform's certificates say, and whether a root vouches for them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use attest::sev::certs::chain::TrustRootError;
use attest::sev::certs::roots::Generation;
use attest::sev::certs::{
    AmdCertificate, Certificate, Chain, ChainError, PlatformChain, Slot, TrustRoot, Usage,
};
use attest::sev::ec::PublicKey;
use serde_json::{Value, json};

use super::verify::NOT_PROVEN;
use crate::owner::{Format, print, read_blob};

/// Show and verify the certificates of a secure processor
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Verify(VerifyArgs),
    Show(ShowArgs),
}

/// Which certificates make up a chain.
#[derive(Debug, clap::Args)]
pub(crate) struct ChainArgs {
    /// The platform's PEK, OCA and CEK (`query-sev-capabilities`: cert-chain), as bytes or base64
    #[arg(long, value_name = "FILE", requires = "trust_root")]
    chain: Option<PathBuf>,
    /// The root to trust: a file with ARK and ASK, or naples, rome, milan, genoa or turin for AMD's own
    #[arg(long, value_name = "FILE|GENERATION", requires = "chain")]
    trust_root: Option<String>,
    /// The CEK with AMD's signature, for platforms that export it without: from
    /// `https://kdsintf.amd.com/cek/id/<chip id>`
    #[arg(long, value_name = "FILE", requires = "chain")]
    cek: Option<PathBuf>,
    /// The one platform owner's certificate to accept
    #[arg(long, value_name = "FILE", requires = "chain")]
    oca: Option<PathBuf>,
}

/// Why a chain is not trusted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untrusted {
    #[error(transparent)]
    Chain(ChainError),
    #[error("the platform's OCA is not the expected one")]
    Oca,
}

impl ChainArgs {
    /// Whether a chain was named at all.
    pub(crate) fn is_given(&self) -> bool {
        self.chain.is_some()
    }

    /// Reads the certificates and checks them, up to the key of `pdh`.
    pub(crate) fn verify(&self, pdh: Certificate) -> anyhow::Result<Result<PublicKey, Untrusted>> {
        let (Some(chain), Some(root)) = (&self.chain, &self.trust_root) else {
            bail!(
                "name the platform's certificates with --chain FILE and the root to trust with --trust-root"
            );
        };
        let mut platform = read_blob(chain, "certificate chain", PlatformChain::parse)?;
        if let Some(path) = &self.cek {
            platform.cek = read_blob(path, "CEK", Certificate::parse)?;
        }
        let root = read_root(root)?;
        if let Some(path) = &self.oca
            && read_blob(path, "OCA", Certificate::parse)? != platform.oca
        {
            return Ok(Err(Untrusted::Oca));
        }
        let chain: Chain = platform.with(&root, pdh);
        Ok(chain.verify(&root.ark).map_err(Untrusted::Chain))
    }
}

/// A generation's name, or a file.
pub(crate) fn read_root(name: &str) -> anyhow::Result<TrustRoot> {
    match name.parse::<Generation>() {
        Ok(generation) => {
            let (ark, ask) = generation.certificates()?;
            Ok(TrustRoot { ark, ask })
        }
        Err(_) => read_blob(Path::new(name), "trust root", TrustRoot::parse)
            .context("a trust root is naples, rome, milan, genoa, turin, or a file with ASK and ARK"),
    }
}

/// What to do about a chain that is not trusted.
pub(crate) fn advice(untrusted: &Untrusted) -> &'static str {
    match untrusted {
        Untrusted::Chain(ChainError::Unsigned { link }) if link.subject == Usage::Cek => {
            "AMD's processors export the CEK without AMD's signature: fetch the signed one from \
             https://kdsintf.amd.com/cek/id/<chip id> (`query-sev-capabilities`: cpu0-id) and name it with --cek"
        }
        Untrusted::Chain(ChainError::Signature { link } | ChainError::Algorithm { link })
            if link.signer == Usage::Ask =>
        {
            "the root is another generation's, or the certificate was changed: name the generation of the platform's \
             processor with --trust-root"
        }
        Untrusted::Chain(_) => {
            "the certificates were changed or are of different platforms: export PDH and chain again, both at once"
        }
        Untrusted::Oca => "the platform's owner is another, or has renewed its certificate: ask the owner",
    }
}

/// Verify that a platform's Diffie-Hellman key (PDH) comes from a genuine secure processor
///
/// Exits with 0 when the root vouches for it, and with 5, naming the link that failed, when not.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sevirt certs verify --pdh pdh.b64 --chain chain.b64 --trust-root milan --cek cek.cert
  sevirt certs verify --pdh pdh.cert --chain chain.cert --trust-root ask_ark.cert")]
struct VerifyArgs {
    /// The platform's Diffie-Hellman key (`query-sev-capabilities`: pdh), as bytes or base64
    #[arg(long, value_name = "FILE", requires = "chain")]
    pdh: PathBuf,
    #[command(flatten)]
    chain: ChainArgs,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// Show what certificates say, verifying nothing
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  sevirt certs show pdh.cert chain.cert ask_ark.cert")]
struct ShowArgs {
    /// Certificates, chains of PEK, OCA and CEK, or files with ARK and ASK, as bytes or base64
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How to answer
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Verify(args) => verify(args),
        Action::Show(args) => show(args),
    }
}

fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let pdh = read_blob(&args.pdh, "PDH", Certificate::parse)?;
    match args.chain.verify(pdh)? {
        Ok(_) => {
            let text = "verified\nARK → ASK → CEK → PEK → PDH, and OCA → PEK: every signature matches\n";
            print(args.format, text, &json!({ "verified": true }))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(untrusted) => {
            let text = format!("NOT VERIFIED\n{untrusted}\n{}\n", advice(&untrusted));
            let json =
                json!({ "verified": false, "reason": untrusted.to_string(), "next": advice(&untrusted) });
            print(args.format, &text, &json)?;
            Ok(ExitCode::from(NOT_PROVEN))
        }
    }
}

/// Any file of certificates.
enum File {
    One(Certificate),
    Platform(PlatformChain),
    Amd(AmdCertificate),
    Root(TrustRoot),
}

#[derive(Debug, thiserror::Error)]
#[error("neither a SEV certificate, nor a chain of PEK, OCA and CEK, nor an ARK or ASK")]
struct Unknown(#[source] Option<TrustRootError>);

fn parse_any(bytes: &[u8]) -> Result<File, Unknown> {
    if let Ok(certificate) = Certificate::parse(bytes) {
        return Ok(File::One(certificate));
    }
    if let Ok(chain) = PlatformChain::parse(bytes) {
        return Ok(File::Platform(chain));
    }
    if let Ok(certificate) = AmdCertificate::parse(bytes) {
        return Ok(File::Amd(certificate));
    }
    let looks_like_one = AmdCertificate::parse_prefix(bytes).is_ok();
    TrustRoot::parse(bytes).map(File::Root).map_err(|error| Unknown(looks_like_one.then_some(error)))
}

fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let mut all = Vec::new();
    for path in &args.files {
        let certificates = match read_blob(path, "certificates", parse_any)? {
            File::One(certificate) => vec![describe(&certificate)],
            File::Platform(chain) => [chain.pek, chain.oca, chain.cek].iter().map(describe).collect(),
            File::Amd(certificate) => vec![describe_amd(&certificate)],
            File::Root(root) => vec![describe_amd(&root.ark), describe_amd(&root.ask)],
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", path.display());
        for certificate in &certificates {
            let _ = writeln!(text, "  {}", certificate.line);
        }
        let certificates: Vec<_> = certificates.into_iter().map(|certificate| certificate.json).collect();
        all.push(json!({ "path": path, "certificates": certificates }));
    }
    print(args.format, &text, &json!({ "files": all }))?;
    Ok(ExitCode::SUCCESS)
}

struct Description {
    line: String,
    json: Value,
}

fn describe(certificate: &Certificate) -> Description {
    let signatures: Vec<_> = Slot::ALL
        .into_iter()
        .filter(|slot| !certificate.slot_is_empty(*slot))
        .map(|slot| (certificate.signer(slot), certificate.signature_algorithm(slot)))
        .collect();
    let signed = match signatures.as_slice() {
        [] => "not signed".to_owned(),
        signatures => {
            let each = signatures.iter().map(|(signer, algorithm)| format!("{signer} ({algorithm})"));
            format!("signed by {}", each.collect::<Vec<_>>().join(" and "))
        }
    };
    let key = match certificate.public_key() {
        Ok(_) => "P-384 key".to_owned(),
        Err(error) => format!("unusable key: {error}"),
    };
    let (usage, algorithm, api) = (certificate.usage(), certificate.algorithm(), certificate.api());
    Description {
        line: format!("{usage}  {key} for {algorithm}, API {api}, {signed}"),
        json: json!({
            "usage": usage.to_string(),
            "algorithm": algorithm.to_string(),
            "api": api.to_string(),
            "key": key,
            "signers": signatures.iter().map(|(signer, _)| signer.to_string()).collect::<Vec<_>>(),
        }),
    }
}

fn describe_amd(certificate: &AmdCertificate) -> Description {
    let usage = certificate.usage();
    let bits = certificate.size().modulus_len() * 8;
    let (id, signer) = (hex::encode(certificate.key_id()), hex::encode(certificate.certifying_id()));
    Description {
        line: format!("{usage}  RSA-{bits} key {id}, signed by key {signer}"),
        json: json!({ "usage": usage.to_string(), "bits": bits, "key_id": id, "certifying_id": signer }),
    }
}
