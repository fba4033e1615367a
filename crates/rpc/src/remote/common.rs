//! Arguments and results that many procedures share.

use crate::xdr::{List, Text, records};

use super::object::Domain;
use super::typed_param::Params;

/// Names of anything but node devices.
pub type Names<'a> = List<Text<'a>, 16384>;

records! {
    /// A document and flags.
    XmlFlags<'a> { xml: Text<'a>, flags: u32 }
    NameFlags<'a> { name: Text<'a>, flags: u32 }
    /// What to list. `need_results` 0 asks for the number alone.
    ListAll { need_results: i32, flags: u32 }

    DomFlags<'a> { dom: Domain<'a>, flags: u32 }
    DomXml<'a> { dom: Domain<'a>, xml: Text<'a> }
    DomXmlFlags<'a> { dom: Domain<'a>, xml: Text<'a>, flags: u32 }
    /// A domain and the name, path, target or alias of one of its devices.
    DomDevice<'a> { dom: Domain<'a>, device: Text<'a> }
    DomDeviceFlags<'a> { dom: Domain<'a>, device: Text<'a>, flags: u32 }
    DomNumberFlags<'a> { dom: Domain<'a>, number: u32, flags: u32 }
    DomSizeFlags<'a> { dom: Domain<'a>, size: u64, flags: u32 }

    /// Asks for at most `nparams` typed parameters; 0 asks how many there are.
    DomNparams<'a> { dom: Domain<'a>, nparams: i32, flags: u32 }
    DomParams16<'a> { dom: Domain<'a>, params: Params<'a, 16>, flags: u32 }
    DomParams32<'a> { dom: Domain<'a>, params: Params<'a, 32>, flags: u32 }
    DomParams64<'a> { dom: Domain<'a>, params: Params<'a, 64>, flags: u32 }
    /// Typed parameters, or with none of them the number that there are.
    Params16Reply<'a> { params: Params<'a, 16>, nparams: i32 }
    Params32Reply<'a> { params: Params<'a, 32>, nparams: i32 }
    Params64Reply<'a> { params: Params<'a, 64>, nparams: i32 }

    Nparams { nparams: i32, flags: u32 }
    Params64<'a> { params: Params<'a, 64>, flags: u32 }
}
