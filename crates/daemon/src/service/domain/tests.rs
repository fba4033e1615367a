//! Calls about definitions, without sockets: what is answered, what is told to others, and what is on disk after.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rpc::Rights;
use rpc::remote::{Call, Reply, common, domain as args, object};
use rpc::xdr::Text;

use crate::service::{Answer, Client, Failure, Paths, Peer, Service, remote};

const UUID: &str = "6d9ac89f-7a55-4ea6-93a3-2e7b36e6b1a6";

async fn client(service: &Arc<Service>, rights: Rights) -> Arc<Client> {
    let client = Arc::new(Client::new(1, Peer { uid: 0, gid: 0, pid: None }, rights));
    let open = rpc::remote::connect::OpenArgs { name: None, flags: 0 };
    remote(service, &client, Call::ConnectOpen(open)).await.unwrap();
    client
}

fn open(state: &Path) -> Arc<Service> {
    Service::open(Paths::below(state, true))
}

async fn call(service: &Arc<Service>, call: Call<'_>) -> Result<Reply<'static>, String> {
    match remote(service, &client(service, Rights::Full).await, call).await {
        Ok(Answer::Reply(reply)) => Ok(reply),
        Ok(other) => Err(format!("{other:?}")),
        Err(failure) => Err(said(&failure)),
    }
}

fn said(failure: &Failure) -> String {
    failure.to_string()
}

fn definition(name: &str, rest: &str) -> String {
    format!(
        "<domain type='qemu'><name>{name}</name><memory unit='MiB'>64</memory>{rest}<os><type arch='x86_64' \
         machine='q35'>hvm</type></os></domain>"
    )
}

async fn define(service: &Arc<Service>, xml: &str) -> Result<object::Domain<'static>, String> {
    match call(service, Call::DomainDefineXml(Text::from(xml.to_owned()))).await? {
        Reply::DomainDefineXml(domain) => Ok(domain),
        other => Err(format!("{other:?}")),
    }
}

async fn dump(service: &Arc<Service>, dom: &object::Domain<'static>, flags: u32) -> Result<String, String> {
    let args = common::DomFlags { dom: dom.clone(), flags };
    match call(service, Call::DomainGetXmlDesc(args)).await? {
        Reply::DomainGetXmlDesc(text) => Ok(text.into_owned()),
        other => Err(format!("{other:?}")),
    }
}

fn names(service: &Arc<Service>, flags: u32) -> Vec<String> {
    super::list::selected(service, flags).iter().map(|vm| vm.name()).collect()
}

#[tokio::test]
async fn what_is_defined_is_completed_kept_and_found() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let defined = define(&service, &definition("one", "")).await.unwrap();
    assert_eq!((&*defined.name, defined.id), ("one", -1));
    let text = dump(&service, &defined, 0).await.unwrap();
    for part in [
        &format!("<uuid>{}</uuid>", defined.uuid)[..],
        "machine='pc-q35-",
        "<emulator>/usr/bin/qemu-system-x86_64</emulator>",
        "<controller type='pci' index='0' model='pcie-root'/>",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A definition that is what it was already stays what it is.
    let again = define(&service, &text).await.unwrap();
    assert_eq!(again, defined);
    assert_eq!(dump(&service, &defined, 3).await.unwrap(), text);

    let later = open(state.path());
    assert_eq!(names(&later, 0), ["one"]);
    assert_eq!(dump(&later, &defined, 0).await.unwrap(), text);
    for lookup in [Call::DomainLookupByName("one".into()), Call::DomainLookupByUuid(defined.uuid)] {
        let (Reply::DomainLookupByName(found) | Reply::DomainLookupByUuid(found)) =
            call(&later, lookup).await.unwrap()
        else {
            panic!("no domain");
        };
        assert_eq!(found, defined);
    }
    for (lookup, words) in [
        (Call::DomainLookupByName("two".into()), "Domain not found: no domain with matching name 'two'"),
        (Call::DomainLookupById(1), "Domain not found: no domain with matching id 1"),
    ] {
        assert_eq!(call(&later, lookup).await.unwrap_err(), words);
    }
}

#[tokio::test]
async fn a_name_and_a_uuid_belong_to_one_domain() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let uuid = format!("<uuid>{UUID}</uuid>");
    define(&service, &definition("one", &uuid)).await.unwrap();
    for (name, rest, words) in [
        ("one", "", format!("operation failed: domain 'one' already exists with uuid {UUID}")),
        ("two", &*uuid, format!("operation failed: domain 'one' is already defined with uuid {UUID}")),
    ] {
        assert_eq!(define(&service, &definition(name, rest)).await.unwrap_err(), words);
    }
    assert_eq!(names(&service, 0), ["one"]);
}

#[tokio::test]
async fn what_libvirt_refuses_is_refused_in_its_words() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let good = definition("a", "");
    for (xml, words) in [
        ("<network/>".to_owned(), "XML error: expecting root element of 'domain', not 'network'"),
        (good.replace("<name>a</name>", ""), "missing name information"),
        (
            good.replace("<os>", "<on_reboot>dance</on_reboot><os>"),
            "unsupported configuration: unknown on_reboot action: dance",
        ),
        (good.replace("<name>a", "<name>a/b"), "XML error: name a/b cannot contain '/'"),
        (
            good.replace("<memory unit='MiB'>64</memory>", ""),
            "XML error: Memory size must be specified via <memory> or in the <numa> configuration",
        ),
        (
            good.replace("</os>", "</os><devices><emulator>/no/such</emulator></devices>"),
            "Cannot check QEMU binary /no/such: No such file or directory",
        ),
        (
            good.replace("x86_64", "aarch64"),
            "unsupported configuration: No emulator found for arch 'aarch64'",
        ),
    ] {
        assert_eq!(define(&service, &xml).await.unwrap_err(), words);
    }
    for (xml, part) in [
        ("<domain".to_owned(), "line 1"),
        (good.replace(">64<", ">x<"), "memory: `x` is not an amount of memory"),
        (good.replace("'qemu'", "'xen'"), "does not support virt type 'xen'"),
        (good.replace("'q35'", "'nonsense'"), "does not support machine type 'nonsense'"),
        (good.replace("<os>", "<os firmware='efi'>"), "UEFI requires ACPI on this architecture"),
    ] {
        let said = define(&service, &xml).await.unwrap_err();
        assert!(said.contains(part), "{said}");
    }
    // No firmware of any host is EFI for a file that is not there, or a BIOS by a descriptor.
    for (kind, loader) in [
        ("efi", "<loader readonly='yes' type='pflash'>/nonexistent.fd</loader>"),
        ("efi", "<loader type='rom'>/nonexistent.fd</loader>"),
        ("bios", "<loader type='rom'>/nonexistent.fd</loader>"),
    ] {
        let xml =
            good.replace("<os>", &format!("<features><acpi/></features><os firmware='{kind}'>{loader}"));
        let words = format!(
            "operation failed: Unable to find '{kind}' firmware that is compatible with the current configuration"
        );
        assert_eq!(define(&service, &xml).await.unwrap_err(), words, "{loader}");
    }
    assert!(names(&service, 0).is_empty());
    assert_eq!(fs::read_dir(state.path().join("lib/domains")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_site_allows_hinders_no_start() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let sev = "</os><launchSecurity type='sev'><policy>0x3</policy></launchSecurity>";
    let defined = define(&service, &definition("a", "").replace("</os>", sev)).await.unwrap();
    let refused = call(&service, Call::DomainCreate(defined.clone())).await.unwrap_err();
    assert!(refused.contains("lint refuses to start the domain"), "{refused}");
    let words = refused.split(|letter: char| !letter.is_ascii_alphanumeric());
    let may_be_allowed =
        |word: &&str| word.ends_with(char::is_numeric) && rules::Allowed::named([*word]).is_ok();
    let codes: Vec<&str> = words.filter(may_be_allowed).collect();
    assert!(!codes.is_empty(), "{refused}");
    let mut config = crate::config::Config::default_for(true);
    config.lint = rules::Allowed::named(codes.iter().copied()).unwrap();
    let service = Service::configured(Paths::below(state.path(), true), &config);
    // It cannot be started for all that: emulated guests are never confidential.
    let refused = call(&service, Call::DomainCreate(defined)).await.unwrap_err();
    assert!(codes.iter().all(|code| !refused.contains(code)), "{refused}");
}

#[tokio::test]
async fn passwords_are_for_those_who_may_write() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let xml = definition("a", "")
        .replace("</os>", "</os><devices><graphics type='vnc' passwd='s3cret'/></devices>");
    let defined = define(&service, &xml).await.unwrap();
    assert!(!dump(&service, &defined, 0).await.unwrap().contains("s3cret"));
    assert!(dump(&service, &defined, 1).await.unwrap().contains("passwd='s3cret'"));
    let args = common::DomFlags { dom: defined.clone(), flags: 1 };
    let refused = remote(&service, &client(&service, Rights::Read).await, Call::DomainGetXmlDesc(args))
        .await
        .unwrap_err();
    assert_eq!(said(&refused), "operation forbidden: virDomainGetXMLDesc with secure flag");
    let unknown = dump(&service, &defined, 16).await.unwrap_err();
    assert_eq!(unknown, "unsupported flags (0x10) in function qemuDomainGetXMLDesc");
}

#[tokio::test]
async fn renaming_keeps_the_domain() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let one = define(&service, &definition("one", "")).await.unwrap();
    define(&service, &definition("two", "")).await.unwrap();
    let set = args::SetAutostartArgs { dom: one.clone(), autostart: 1 };
    call(&service, Call::DomainSetAutostart(set)).await.unwrap();
    let rename = |new: &'static str| {
        let args = args::RenameArgs { dom: one.clone(), new_name: Some(new.into()), flags: 0 };
        call(&service, Call::DomainRename(args))
    };
    for (new, words) in [
        ("one", "Requested operation is not valid: Can't rename domain to itself"),
        ("two", "Requested operation is not valid: domain with name 'two' already exists"),
        ("a/b", "XML error: name a/b cannot contain '/'"),
    ] {
        assert_eq!(rename(new).await.unwrap_err(), words);
    }
    rename("three").await.unwrap();
    assert_eq!(names(&service, 0), ["three", "two"]);
    assert!(dump(&service, &one, 0).await.unwrap().contains("<name>three</name>"));
    let later = open(state.path());
    assert_eq!(names(&later, super::list::filter::AUTOSTART), ["three"]);
    assert_eq!(names(&later, super::list::filter::NO_AUTOSTART), ["two"]);
    // The old name is free again.
    define(&service, &definition("one", "")).await.unwrap();
    assert_eq!(names(&service, 0), ["one", "three", "two"]);
}

#[tokio::test]
async fn undefining_takes_what_is_asked_for() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let variables = state.path().join("vars.fd");
    fs::write(&variables, "variables").unwrap();
    let with_variables = |name: &str| {
        let nvram = format!("<nvram>{}</nvram></os>", variables.display());
        let loader = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>";
        definition(name, "<features><acpi/></features>").replace("</os>", &format!("{loader}{nvram}"))
    };
    let one = define(&service, &with_variables("one")).await.unwrap();
    let two = define(&service, &with_variables("two")).await.unwrap();
    let undefine = |dom: &object::Domain<'static>, flags| {
        call(&service, Call::DomainUndefineFlags(common::DomFlags { dom: dom.clone(), flags }))
    };
    for (flags, words) in [
        (0, "Requested operation is not valid: cannot undefine domain with nvram".to_owned()),
        (12, "Requested operation is not valid: cannot both keep and delete nvram".to_owned()),
        (
            4,
            format!(
                "operation failed: failed to remove nvram: {} is domain 'two''s too",
                variables.display()
            ),
        ),
    ] {
        assert_eq!(undefine(&one, flags).await.unwrap_err(), words);
    }
    undefine(&one, 8).await.unwrap();
    assert!(variables.exists());
    undefine(&two, 4).await.unwrap();
    assert!(!variables.exists());
    assert!(names(&service, 0).is_empty() && names(&open(state.path()), 0).is_empty());
    let gone = undefine(&one, 0).await.unwrap_err();
    assert_eq!(gone, format!("Domain not found: no domain with matching uuid '{}' (one)", one.uuid));
}

#[tokio::test]
async fn variables_of_two_domains_are_not_thrown_away_for_one() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let variables = state.path().join("vars.fd");
    fs::write(&variables, "variables").unwrap();
    let xml = |name: &str| {
        let loader = "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>";
        let nvram = format!("{loader}<nvram>{}</nvram></os>", variables.display());
        definition(name, "<features><acpi/></features>").replace("</os>", &nvram)
    };
    let one = define(&service, &xml("one")).await.unwrap();
    define(&service, &xml("two")).await.unwrap();
    // VIR_DOMAIN_START_RESET_NVRAM
    let start = Call::DomainCreateWithFlags(common::DomFlags { dom: one, flags: 1 << 5 });
    let refused = call(&service, start).await.unwrap_err();
    assert!(refused.contains("are those of domain 'two' too"), "{refused}");
    assert_eq!(fs::read_to_string(&variables).unwrap(), "variables");
}

#[tokio::test]
async fn no_two_domains_are_given_the_same_variables() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let xml = |name: &str| {
        let loader = "<loader readonly='yes' type='pflash'>/nowhere/code.fd</loader></os>";
        definition(name, "<features><acpi/></features>").replace("</os>", loader)
    };
    let nvram = async |dom: &object::Domain<'static>| {
        let text = dump(&service, dom, 2).await.unwrap();
        let (_, rest) = text.split_once("<nvram format='raw'>").unwrap();
        rest.split_once('<').unwrap().0.to_owned()
    };
    let one = define(&service, &xml("one")).await.unwrap();
    let usual = state.path().join("lib/nvram/one_VARS.fd").display().to_string();
    assert_eq!(nvram(&one).await, usual);
    // What has another name now keeps its file, and whoever gets the name gets another.
    let rename = args::RenameArgs { dom: one.clone(), new_name: Some("two".into()), flags: 0 };
    call(&service, Call::DomainRename(rename)).await.unwrap();
    assert_eq!(nvram(&one).await, usual);
    let other = define(&service, &xml("one")).await.unwrap();
    let own = state.path().join(format!("lib/nvram/one-{}_VARS.fd", other.uuid));
    assert_eq!(nvram(&other).await, own.display().to_string());
}

#[tokio::test]
async fn a_definition_is_a_command_line() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let native = |format: &'static str| {
        let args = rpc::remote::connect::XmlToNativeArgs {
            native_format: format.into(),
            domain_xml: definition("one", "").into(),
            flags: 0,
        };
        call(&service, Call::ConnectDomainXmlToNative(args))
    };
    let Reply::ConnectDomainXmlToNative(line) = native("qemu-argv").await.unwrap() else { panic!("no line") };
    let lines: Vec<&str> = line.lines().collect();
    assert!(lines.len() == 1 && line.contains(" -name guest=one,debug-threads=on "), "{line}");
    let refused = native("xen-xl").await.unwrap_err();
    assert_eq!(refused, "invalid argument: unsupported config type xen-xl");
    assert!(names(&service, 0).is_empty());
}

#[tokio::test]
async fn applications_keep_their_metadata() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let dom = define(&service, &definition("a", "<metadata><x:y xmlns:x='u:x'/></metadata>")).await.unwrap();
    let set = |kind, metadata: Option<&'static str>, uri: Option<&'static str>| {
        let args = args::SetMetadataArgs {
            dom: dom.clone(),
            kind,
            metadata: metadata.map(Text::from),
            key: Some("app".into()),
            uri: uri.map(Text::from),
            flags: 0,
        };
        call(&service, Call::DomainSetMetadata(args))
    };
    let get = async |kind, uri: Option<&'static str>| {
        let args = args::GetMetadataArgs { dom: dom.clone(), kind, uri: uri.map(Text::from), flags: 2 };
        match call(&service, Call::DomainGetMetadata(args)).await {
            Ok(Reply::DomainGetMetadata(text)) => text.into_owned(),
            Ok(other) => format!("{other:?}"),
            Err(words) => words,
        }
    };
    set(1, Some("a title"), None).await.unwrap();
    set(0, Some("a <description>"), None).await.unwrap();
    assert_eq!(
        (get(1, None).await, get(0, None).await),
        ("a title".to_owned(), "a <description>".to_owned())
    );
    let newlines = set(1, Some("two\nlines"), None).await.unwrap_err();
    assert_eq!(newlines, "invalid argument: metadata title can't contain newlines");
    set(1, None, None).await.unwrap();
    assert_eq!(get(1, None).await, "metadata not found: Requested title is not present");

    let app = "<app at='1'><b>x</b><c/></app>";
    set(2, Some(app), Some("u:app")).await.unwrap();
    assert_eq!(get(2, Some("u:app")).await, "<app at=\"1\">\n  <b>x</b>\n  <c/>\n</app>");
    assert_eq!(get(2, Some("u:x")).await, "<y/>");
    let text = dump(&service, &dom, 2).await.unwrap();
    let laid_out = "\
  <metadata>
    <x:y xmlns:x=\"u:x\"/>
    <app:app xmlns:app=\"u:app\" at=\"1\">
      <app:b>x</app:b>
      <app:c/>
    </app:app>
  </metadata>
";
    assert!(text.contains(laid_out), "{text}");
    set(2, Some("<app/>"), Some("u:app")).await.unwrap();
    assert_eq!(get(2, Some("u:app")).await, "<app/>");
    set(2, None, Some("u:app")).await.unwrap();
    set(2, None, Some("u:x")).await.unwrap();
    assert_eq!(get(2, Some("u:x")).await, "metadata not found: Requested metadata element is not present");
    let text = dump(&service, &dom, 2).await.unwrap();
    assert!(!text.contains("metadata") && text.contains("a &lt;description&gt;"), "{text}");
}

#[tokio::test]
async fn a_full_or_read_only_disk_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let dom = define(&service, &definition("a", "")).await.unwrap();
    let before = dump(&service, &dom, 2).await.unwrap();
    // Root writes to read-only directories, so the directory is taken away instead.
    let (domains, aside) = (state.path().join("lib/domains"), state.path().join("aside"));
    fs::rename(&domains, &aside).unwrap();
    let changed = before.replace("<memory unit='KiB'>65536", "<memory unit='KiB'>131072");
    for xml in [changed, definition("b", "")] {
        let words = define(&service, &xml).await.unwrap_err();
        assert!(words.contains("cannot save the definition") && words.contains("unchanged"), "{words}");
    }
    assert_eq!(names(&service, 0), ["a"]);
    assert_eq!(dump(&service, &dom, 2).await.unwrap(), before);
    fs::rename(&aside, &domains).unwrap();
    assert_eq!(dump(&open(state.path()), &dom, 2).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_leave_one_state() {
    let state = tempfile::tempdir().unwrap();
    let service = open(state.path());
    let mut tasks = Vec::new();
    for round in 0..40_u32 {
        let service = service.clone();
        tasks.push(tokio::spawn(async move {
            let (name, uuid) = (format!("n{}", round % 4), format!("{:08x}{}", round % 4, &UUID[8..]));
            let xml = definition(&name, &format!("<uuid>{uuid}</uuid>"));
            if round % 3 == 2 {
                let Ok(vm) = service.domains.by_name(&name) else { return };
                let args = common::DomFlags { dom: vm.object(), flags: 0 };
                let _ = call(&service, Call::DomainUndefineFlags(args)).await;
            } else {
                define(&service, &xml).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(names(&service, 0), names(&open(state.path()), 0));
}
