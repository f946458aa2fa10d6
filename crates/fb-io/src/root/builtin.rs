//! The layout of the classes that trees are made of: written into our files, and used to read files that lack it.

use super::object::{Element, Info};
use super::output::Output;

/// A class as ROOT 6.20 and later write it.
struct Builtin {
    class: &'static str,
    version: u16,
    checksum: u32,
    /// Name, kind, type (of a base its version) and counter of each member.
    elements: &'static [(&'static str, i32, &'static str, &'static str)],
}

const BUILTIN: &[Builtin] = &[
    Builtin {
        class: "TObject",
        version: 1,
        checksum: 0x901bc02d,
        elements: &[("fUniqueID", 13, "unsigned int", ""), ("fBits", 15, "unsigned int", "")],
    },
    Builtin {
        class: "TNamed",
        version: 1,
        checksum: 0xdfb74a3c,
        elements: &[("TObject", 66, "1", ""), ("fName", 65, "TString", ""), ("fTitle", 65, "TString", "")],
    },
    Builtin {
        class: "TAttLine",
        version: 2,
        checksum: 0x94074549,
        elements: &[("fLineColor", 2, "short", ""), ("fLineStyle", 2, "short", ""), ("fLineWidth", 2, "short", "")],
    },
    Builtin {
        class: "TAttFill",
        version: 2,
        checksum: 0xffd92a92,
        elements: &[("fFillColor", 2, "short", ""), ("fFillStyle", 2, "short", "")],
    },
    Builtin {
        class: "TAttMarker",
        version: 2,
        checksum: 0x291d8bec,
        elements: &[
            ("fMarkerColor", 2, "short", ""),
            ("fMarkerStyle", 2, "short", ""),
            ("fMarkerSize", 5, "float", ""),
        ],
    },
    Builtin {
        class: "ROOT::TIOFeatures",
        version: 1,
        checksum: 0x1aa12f10,
        elements: &[("fIOBits", 11, "unsigned char", "")],
    },
    Builtin {
        class: "TBranch",
        version: 13,
        checksum: 0x10978aac,
        elements: &[
            ("TNamed", 67, "1", ""),
            ("TAttFill", 0, "2", ""),
            ("fCompress", 3, "int", ""),
            ("fBasketSize", 3, "int", ""),
            ("fEntryOffsetLen", 3, "int", ""),
            ("fWriteBasket", 3, "int", ""),
            ("fEntryNumber", 16, "long long", ""),
            ("fIOFeatures", 62, "ROOT::TIOFeatures", ""),
            ("fOffset", 3, "int", ""),
            ("fMaxBaskets", 6, "int", ""),
            ("fSplitLevel", 3, "int", ""),
            ("fEntries", 16, "long long", ""),
            ("fFirstEntry", 16, "long long", ""),
            ("fTotBytes", 16, "long long", ""),
            ("fZipBytes", 16, "long long", ""),
            ("fBranches", 61, "TObjArray", ""),
            ("fLeaves", 61, "TObjArray", ""),
            ("fBaskets", 61, "TObjArray", ""),
            ("fBasketBytes", 43, "int*", "fMaxBaskets"),
            ("fBasketEntry", 56, "long long*", "fMaxBaskets"),
            ("fBasketSeek", 56, "long long*", "fMaxBaskets"),
            ("fFileName", 65, "TString", ""),
        ],
    },
    Builtin {
        class: "TLeaf",
        version: 2,
        checksum: 0x6d1e8152,
        elements: &[
            ("TNamed", 67, "1", ""),
            ("fLen", 3, "int", ""),
            ("fLenType", 3, "int", ""),
            ("fOffset", 3, "int", ""),
            ("fIsRange", 18, "bool", ""),
            ("fIsUnsigned", 18, "bool", ""),
            ("fLeafCount", 64, "TLeaf*", ""),
        ],
    },
    Builtin {
        class: "TLeafB",
        version: 1,
        checksum: 0x0f1e4b5e,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 1, "char", ""), ("fMaximum", 1, "char", "")],
    },
    Builtin {
        class: "TLeafS",
        version: 1,
        checksum: 0x150ceecf,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 2, "short", ""), ("fMaximum", 2, "short", "")],
    },
    Builtin {
        class: "TLeafI",
        version: 1,
        checksum: 0x7e6aae19,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 3, "int", ""), ("fMaximum", 3, "int", "")],
    },
    Builtin {
        class: "TLeafL",
        version: 1,
        checksum: 0xde320862,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 16, "long long", ""), ("fMaximum", 16, "long long", "")],
    },
    Builtin {
        class: "TLeafF",
        version: 1,
        checksum: 0x3add9d72,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 5, "float", ""), ("fMaximum", 5, "float", "")],
    },
    Builtin {
        class: "TLeafD",
        version: 1,
        checksum: 0x118e8776,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 8, "double", ""), ("fMaximum", 8, "double", "")],
    },
    Builtin {
        class: "TLeafO",
        version: 1,
        checksum: 0x02ae48d3,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 18, "bool", ""), ("fMaximum", 18, "bool", "")],
    },
    Builtin {
        class: "TLeafC",
        version: 1,
        checksum: 0xfbe3b2f3,
        elements: &[("TLeaf", 0, "2", ""), ("fMinimum", 3, "int", ""), ("fMaximum", 3, "int", "")],
    },
    Builtin {
        class: "TTree",
        version: 20,
        checksum: 0x7264e07f,
        elements: &[
            ("TNamed", 67, "1", ""),
            ("TAttLine", 0, "2", ""),
            ("TAttFill", 0, "2", ""),
            ("TAttMarker", 0, "2", ""),
            ("fEntries", 16, "long long", ""),
            ("fTotBytes", 16, "long long", ""),
            ("fZipBytes", 16, "long long", ""),
            ("fSavedBytes", 16, "long long", ""),
            ("fFlushedBytes", 16, "long long", ""),
            ("fWeight", 8, "double", ""),
            ("fTimerInterval", 3, "int", ""),
            ("fScanField", 3, "int", ""),
            ("fUpdate", 3, "int", ""),
            ("fDefaultEntryOffsetLen", 3, "int", ""),
            ("fNClusterRange", 6, "int", ""),
            ("fMaxEntries", 16, "long long", ""),
            ("fMaxEntryLoop", 16, "long long", ""),
            ("fMaxVirtualSize", 16, "long long", ""),
            ("fAutoSave", 16, "long long", ""),
            ("fAutoFlush", 16, "long long", ""),
            ("fEstimate", 16, "long long", ""),
            ("fClusterRangeEnd", 56, "long long*", "fNClusterRange"),
            ("fClusterSize", 56, "long long*", "fNClusterRange"),
            ("fIOFeatures", 62, "ROOT::TIOFeatures", ""),
            ("fBranches", 61, "TObjArray", ""),
            ("fLeaves", 61, "TObjArray", ""),
            ("fAliases", 64, "TList*", ""),
            ("fIndexValues", 62, "TArrayD", ""),
            ("fIndex", 62, "TArrayI", ""),
            ("fTreeIndex", 64, "TVirtualIndex*", ""),
            ("fFriends", 64, "TList*", ""),
            ("fUserInfo", 64, "TList*", ""),
            ("fBranchRef", 64, "TBranchRef*", ""),
        ],
    },
];

/// The layouts by class.
pub(super) fn infos() -> impl Iterator<Item = (&'static str, Info)> {
    BUILTIN.iter().map(|class| {
        let element = |&(name, kind, type_name, counter): &(&str, i32, &str, &str)| Element {
            name: name.to_owned(),
            title: String::new(),
            kind: kind.into(),
            length: 0,
            dimensions: Vec::new(),
            type_name: type_name.to_owned(),
            counter: counter.to_owned(),
        };
        let elements = class.elements.iter().map(element).collect();
        (class.class, Info { version: class.version.into(), checksum: class.checksum, elements })
    })
}

/// The list of streamer infos of these classes, as it stands in a file.
pub(super) fn write(out: &mut Output) {
    out.list(BUILTIN.iter(), |out, class| {
        out.object("TStreamerInfo", 9, |out| {
            out.named(class.class, "");
            out.u32(class.checksum);
            out.i32(class.version.into());
            out.pointer("TObjArray", |out| {
                out.array(class.elements.iter(), |out, element| {
                    write_element(out, class, *element);
                });
            });
        });
    });
}

fn write_element(out: &mut Output, class: &Builtin, (name, kind, type_name, counter): (&str, i32, &str, &str)) {
    let is_base = matches!(kind, 0 | 66 | 67);
    let size = match kind {
        11 | 18 => 1,
        2 | 12 => 2,
        3 | 5 | 6 | 13 | 15 => 4,
        65 => 24,
        61 => 64,
        62 => 24,
        _ if is_base => 0,
        _ => 8,
    };
    let common = |out: &mut Output| {
        out.framed(4, |out| {
            out.named(name, if counter.is_empty() { String::new() } else { format!("[{counter}]") }.as_str());
            out.i32(kind);
            out.i32(size);
            out.i32(0);
            out.i32(0);
            // The second of the dimensions of a base is its checksum.
            let base = BUILTIN.iter().find(|other| is_base && other.class == name);
            [0, base.map_or(0, |base| base.checksum), 0, 0, 0].map(|n| out.u32(n));
            out.text(if is_base { "BASE" } else { type_name });
        });
    };
    let element = match kind {
        _ if is_base => "TStreamerBase",
        41..=59 => "TStreamerBasicPointer",
        61 => "TStreamerObject",
        62 => "TStreamerObjectAny",
        64 => "TStreamerObjectPointer",
        65 => "TStreamerString",
        _ => "TStreamerBasicType",
    };
    let version = if is_base { 3 } else { 2 };
    out.object(element, version, |out| {
        common(out);
        if is_base {
            out.i32(type_name.parse().unwrap_or(1));
        } else if !counter.is_empty() {
            out.i32(class.version.into());
            out.text(counter);
            out.text(class.class);
        }
    });
}
