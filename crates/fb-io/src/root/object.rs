//! Objects as ROOT streams them: streamer infos (the layout of each class, stored in the file), and objects read with
//! them into members by name. Trees, branches and leaves of any version of ROOT are read in this way.

use std::collections::HashMap;

use super::bytes::{Cursor, Fault};
use super::file::{File, Key};

/// Objects within objects.
const DEEPEST: usize = 200;
/// Marks a number as a count of bytes.
const BYTE_COUNT: u32 = 0x4000_0000;
const NEW_CLASS: u32 = 0xffff_ffff;
const CLASS: u32 = 0x8000_0000;
/// References count from two bytes before the key.
const MAP_OFFSET: usize = 2;
/// A bit of `TObject::fBits`: a process identifier follows.
const IS_REFERENCED: u32 = 1 << 4;

/// Layouts of all classes in a file.
#[derive(Debug, Default)]
pub(super) struct Infos {
    classes: HashMap<String, Vec<Info>>,
}

/// Layout of one version of a class.
#[derive(Debug)]
pub(super) struct Info {
    pub(super) version: i64,
    pub(super) checksum: u32,
    pub(super) elements: Vec<Element>,
}

/// A member or base of a class.
#[derive(Debug, Clone)]
pub(super) struct Element {
    pub(super) name: String,
    /// What the comment in the class says; for `Double32_t` its range.
    pub(super) title: String,
    /// The number that ROOT's `TVirtualStreamerInfo::EReadWrite` gives to its kind.
    pub(super) kind: i64,
    /// Entries of a fixed array, 0 for a single value.
    pub(super) length: usize,
    pub(super) dimensions: Vec<usize>,
    pub(super) type_name: String,
    /// Name of the member that counts the entries of a variable array.
    pub(super) counter: String,
}

impl Infos {
    /// The record of streamer infos of a file. A file without one has no classes of its own.
    pub(super) fn read(file: &File) -> Fault<Self> {
        let mut infos = Self::default();
        for (class, info) in super::builtin::infos() {
            infos.classes.insert(class.to_owned(), vec![info]);
        }
        let (seek, length) = file.infos;
        if seek == 0 || length == 0 {
            return Ok(infos);
        }
        let bytes = file.bytes(seek, length)?;
        let key = Key::read(&mut Cursor::new(&bytes))?;
        let bytes = file.object(&key)?;
        let mut reader = Reader::new(&infos, &bytes, key.header);
        let Value::List(list) = reader.object_of_class("TList")? else {
            return Err("the list of streamer infos is none".to_owned());
        };
        let objects = std::mem::take(&mut reader.objects);
        for item in list {
            let Value::Object(at) = item else { continue };
            let Some(info) = objects.get(at).filter(|o| o.class == "TStreamerInfo") else { continue };
            let mut elements = Vec::new();
            if let Some(Value::List(list)) = info.get("fElements") {
                for element in list {
                    let Value::Object(at) = element else { continue };
                    elements.extend(objects.get(*at).map(Element::of));
                }
            }
            let class = normal(&info.text("fName"));
            let info = Info {
                version: info.int("fClassVersion").unwrap_or(0),
                checksum: info.int("fCheckSum").unwrap_or(0) as u32,
                elements,
            };
            infos.classes.entry(class).or_default().push(info);
        }
        Ok(infos)
    }

    /// The layout of a class: of this version or checksum, else of its newest version.
    pub(super) fn get(&self, class: &str, version: i64, checksum: u32) -> Option<&Info> {
        let all = self.classes.get(class).or_else(|| self.classes.get(&normal(class)))?;
        all.iter()
            .find(|info| checksum != 0 && info.checksum == checksum)
            .or_else(|| all.iter().find(|info| info.version == version))
            .or_else(|| all.iter().max_by_key(|info| info.version))
    }
}

/// A type's name as we compare it: without `std::` and superfluous blanks.
pub(super) fn normal(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let name = name.replace("std::", "");
    let mut chars = name.trim().chars().peekable();
    while let Some(c) = chars.next() {
        if !c.is_whitespace() {
            out.push(c);
        } else if out.ends_with(is_word) && chars.peek().is_some_and(|&c| is_word(c)) {
            out.push(' ');
        }
    }
    out
}

impl Element {
    fn of(object: &Object) -> Self {
        let dimension = object.int("fArrayDim").unwrap_or(0).clamp(0, 5) as usize;
        let dimensions = object.ints("fMaxIndex").iter().take(dimension).map(|&n| n.max(0) as usize).collect();
        Self {
            name: object.text("fName"),
            title: object.text("fTitle"),
            kind: object.int("fType").unwrap_or(-1),
            length: object.int("fArrayLength").unwrap_or(0).max(0) as usize,
            dimensions,
            type_name: object.text("fTypeName"),
            counter: object.text("fCountName"),
        }
    }
}

/// A member's value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing, or something of a class that is not read.
    Nothing,
    Int(i64),
    Real(f64),
    Text(String),
    Ints(Vec<i64>),
    Reals(Vec<f64>),
    List(Vec<Value>),
    /// An object, by its number in [`Reader::objects`].
    Object(usize),
}

/// An object: its members and those of its bases by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Object {
    pub(super) class: String,
    members: Vec<(String, Value)>,
    /// For a `TBasket` in a branch: the position of its key in the bytes.
    pub(super) position: usize,
}

impl Object {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        match self.get(name)? {
            Value::Int(i) => Some(*i),
            // Old trees count entries in floats.
            Value::Real(x) => Some(*x as i64),
            _ => None,
        }
    }

    pub(super) fn text(&self, name: &str) -> String {
        if let Some(Value::Text(text)) = self.get(name) { text.clone() } else { String::new() }
    }

    pub(super) fn ints(&self, name: &str) -> &[i64] {
        if let Some(Value::Ints(list)) = self.get(name) { list } else { &[] }
    }

    pub(super) fn list(&self, name: &str) -> &[Value] {
        if let Some(Value::List(list)) = self.get(name) { list } else { &[] }
    }
}

/// The beginning of an object: its version, and where it ends if that is said.
pub(super) struct Header {
    pub(super) version: u16,
    pub(super) end: Option<usize>,
}

/// Reads the version of a class, before which may come a count of bytes.
pub(super) fn header(cursor: &mut Cursor<'_>) -> Fault<Header> {
    let start = *cursor;
    let count = cursor.u32().unwrap_or(0);
    if count & BYTE_COUNT == 0 {
        *cursor = start;
        return Ok(Header { version: cursor.u16()?, end: None });
    }
    let length = (count & !BYTE_COUNT) as usize;
    if length < 2 || length > cursor.left() {
        return Err(format!("an object of {length} bytes at {}, where {} are left", start.position(), cursor.left()));
    }
    let end = cursor.position() + length;
    Ok(Header { version: cursor.u16()?, end: Some(end) })
}

/// Skips the part of an object that every `TObject` has.
pub(super) fn skip_tobject(cursor: &mut Cursor<'_>) -> Fault<()> {
    let version = cursor.u16()?;
    if u32::from(version) & (BYTE_COUNT >> 16) != 0 {
        cursor.skip(4)?;
    }
    cursor.skip(4)?;
    if cursor.u32()? & IS_REFERENCED != 0 {
        cursor.skip(2)?;
    }
    Ok(())
}

/// Reads the objects in the bytes of a key.
pub(super) struct Reader<'a> {
    infos: &'a Infos,
    cursor: Cursor<'a>,
    /// Bytes of the key, from whose beginning references count.
    offset: usize,
    /// All objects that were read.
    pub(super) objects: Vec<Object>,
    /// Objects and classes by the place that references name.
    known: HashMap<usize, Known>,
    depth: usize,
}

#[derive(Clone)]
enum Known {
    Object(usize),
    Class(String),
}

impl<'a> Reader<'a> {
    pub(super) fn new(infos: &'a Infos, bytes: &'a [u8], offset: usize) -> Self {
        let cursor = Cursor::new(bytes);
        Self { infos, cursor, offset, objects: Vec::new(), known: HashMap::new(), depth: 0 }
    }

    /// An object behind its class, or a reference to one that was read before.
    fn pointer(&mut self) -> Fault<Value> {
        let begin = self.cursor.position();
        let first = self.cursor.u32()?;
        let (old, start, end, tag) = if first & BYTE_COUNT == 0 || first == NEW_CLASS {
            (true, 0, None, first)
        } else {
            let start = self.cursor.position();
            let length = (first & !BYTE_COUNT) as usize;
            if length > self.cursor.left() {
                return Err(format!("an object of {length} bytes at {begin}, where {} are left", self.cursor.left()));
            }
            (false, start, Some(start + length), self.cursor.u32()?)
        };
        if tag & CLASS == 0 {
            // A reference; the one to something that is not read is as good as none.
            let value = match self.known.get(&(tag as usize)) {
                Some(Known::Object(at)) => Value::Object(*at),
                _ => Value::Nothing,
            };
            return self.end(end, value);
        }
        let place = |at: usize, this: &Self| if old { this.known.len() + 1 } else { at + this.offset + MAP_OFFSET };
        let class = if tag == NEW_CLASS {
            let class = self.cursor.c_text()?;
            self.known.insert(place(start, self), Known::Class(class.clone()));
            class
        } else {
            match self.known.get(&((tag & !CLASS) as usize)) {
                Some(Known::Class(class)) => class.clone(),
                _ if end.is_some() => return self.end(end, Value::Nothing),
                _ => return Err(format!("an object at {begin} of a class that is not named")),
            }
        };
        let at = self.objects.len();
        self.objects.push(Object { class: class.clone(), ..Object::default() });
        self.known.insert(place(begin, self), Known::Object(at));
        match self.content(&class, at) {
            Ok(value) => self.end(end, value),
            // What is not known is passed over if it says how long it is.
            Err(_) if end.is_some() => self.end(end, Value::Nothing),
            Err(reason) => Err(reason),
        }
    }

    /// Goes to the end of an object, which can only be ahead.
    fn end(&mut self, end: Option<usize>, value: Value) -> Fault<Value> {
        if let Some(end) = end {
            if end < self.cursor.position() {
                return Err(format!("an object ends at {end}, before its last member at {}", self.cursor.position()));
            }
            self.cursor.seek(end)?;
        }
        Ok(value)
    }

    /// An object of a class that is known from where it stands.
    pub(super) fn object_of_class(&mut self, class: &str) -> Fault<Value> {
        let at = self.objects.len();
        self.objects.push(Object { class: class.to_owned(), ..Object::default() });
        self.content(class, at)
    }

    /// Reads an object into the place `at`.
    fn content(&mut self, class: &str, at: usize) -> Fault<Value> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("objects within objects, {DEEPEST} deep"));
        }
        let value = self.content_inner(class, at);
        self.depth -= 1;
        value
    }

    fn content_inner(&mut self, class: &str, at: usize) -> Fault<Value> {
        match class {
            "TList" | "THashList" | "TObjArray" => {
                let header = header(&mut self.cursor)?;
                let list = self.collection(class, header.version)?;
                self.end(header.end, Value::List(list))
            }
            "TObject" => skip_tobject(&mut self.cursor).map(|()| Value::Nothing),
            "TString" => self.cursor.text().map(Value::Text),
            "TBasket" => {
                self.objects[at].position = self.cursor.position();
                super::basket::skip_embedded(&mut self.cursor)?;
                Ok(Value::Object(at))
            }
            "TArrayC" => self.numbers(1),
            "TArrayS" => self.numbers(11),
            "TArrayI" => self.numbers(3),
            "TArrayL" | "TArrayL64" => self.numbers(16),
            "TArrayF" => self.numbers(5),
            "TArrayD" => self.numbers(8),
            _ => {
                let header = header(&mut self.cursor)?;
                let read = self.members(class, header.version, at);
                match (read, header.end) {
                    (Err(reason), None) => Err(reason),
                    // The rest of the members is passed over; what is needed is looked for by name.
                    (_, end) => self.end(end, Value::Object(at)),
                }
            }
        }
    }

    fn numbers(&mut self, kind: i64) -> Fault<Value> {
        let n = self.cursor.count(1)?;
        self.array(kind, n)
    }

    fn collection(&mut self, class: &str, version: u16) -> Fault<Vec<Value>> {
        if version > 2 {
            skip_tobject(&mut self.cursor)?;
        }
        if version > 1 {
            self.cursor.text_bytes()?;
        }
        let n = self.cursor.count(4)?;
        let is_array = class == "TObjArray";
        if is_array {
            self.cursor.skip(4)?;
        }
        let mut list = Vec::new();
        for _ in 0..n {
            list.push(self.pointer()?);
            if !is_array && version > 3 {
                // An option for drawing follows each object.
                self.cursor.text_bytes()?;
            }
        }
        Ok(list)
    }

    fn push(&mut self, at: usize, name: &str, value: Value) {
        self.objects[at].members.push((name.to_owned(), value));
    }

    /// The members of a class, of which those of the streamer infos themselves are known beforehand.
    fn members(&mut self, class: &str, version: u16, at: usize) -> Fault<()> {
        let known: &[(&str, i64)] = match class {
            "TNamed" => {
                skip_tobject(&mut self.cursor)?;
                &[("fName", 65), ("fTitle", 65)]
            }
            "TStreamerInfo" => {
                self.base("TNamed", at)?;
                &[("fCheckSum", 13), ("fClassVersion", 3), ("fElements", 64)]
            }
            "TStreamerElement" => {
                self.base("TNamed", at)?;
                for name in ["fType", "fSize", "fArrayLength", "fArrayDim"] {
                    let value = self.value(3)?;
                    self.push(at, name, value);
                }
                let n = if version == 1 { self.cursor.count(4)? } else { 5 };
                let dimensions = self.array(3, n)?;
                self.push(at, "fMaxIndex", dimensions);
                &[("fTypeName", 65)]
            }
            // Named beside the list of friends alone; few files describe it.
            "TFriendElement" => {
                self.base("TNamed", at)?;
                &[("fTreeName", 65)]
            }
            _ if class.starts_with("TStreamer") => {
                let base = if class == "TStreamerSTLstring" { "TStreamerSTL" } else { "TStreamerElement" };
                self.base(base, at)?;
                match class {
                    "TStreamerBasicPointer" | "TStreamerLoop" => {
                        &[("fCountVersion", 3), ("fCountName", 65), ("fCountClass", 65)]
                    }
                    _ => &[],
                }
            }
            _ => return self.members_by_info(class, version, at),
        };
        for (name, kind) in known {
            let value = self.value(*kind)?;
            self.push(at, name, value);
        }
        Ok(())
    }

    fn base(&mut self, class: &str, at: usize) -> Fault<()> {
        let header = header(&mut self.cursor)?;
        let read = self.members(class, header.version, at);
        match header.end {
            // The rest of the object may still be of use.
            Some(_) => self.end(header.end, Value::Nothing).map(|_| ()),
            None => read,
        }
    }

    fn members_by_info(&mut self, class: &str, version: u16, at: usize) -> Fault<()> {
        let mut checksum = 0;
        if version == 0 {
            checksum = self.cursor.u32()?;
        }
        let infos = self.infos;
        let info = infos
            .get(class, i64::from(version), checksum)
            .ok_or_else(|| format!("the class `{class}` has no streamer info"))?;
        for element in &info.elements {
            let value = self.member(element, at)?;
            if element.kind != 0 {
                self.push(at, &element.name, value);
            }
        }
        Ok(())
    }

    fn member(&mut self, element: &Element, at: usize) -> Fault<Value> {
        match element.kind {
            67 if element.name == "TNamed" => self.base("TNamed", at).map(|()| Value::Nothing),
            0 if element.name == "TObject" => skip_tobject(&mut self.cursor).map(|()| Value::Nothing),
            0 => {
                self.depth += 1;
                let deep = self.depth > DEEPEST;
                let base = if deep { Err("bases within bases".to_owned()) } else { self.base(&element.name, at) };
                self.depth -= 1;
                base.map(|()| Value::Nothing)
            }
            kind @ 21..=39 => self.array(kind - 20, element.length),
            kind @ 41..=59 => {
                let n = self.objects[at].int(&element.counter).unwrap_or(-1);
                // A byte in front says whether there is an array.
                if self.cursor.u8()? == 0 {
                    return Ok(Value::Nothing);
                }
                let n = usize::try_from(n).map_err(|_| format!("`{}` has {n} entries", element.name))?;
                self.array(kind - 40, n)
            }
            // Objects within the object, and behind pointers that are never null.
            61 | 62 | 63 | 69 => {
                let class = element.type_name.trim_end_matches(['*', ' ']).to_owned();
                self.object_of_class(&class)
            }
            kind => self.value(kind),
        }
    }

    /// A single value of a kind.
    fn value(&mut self, kind: i64) -> Fault<Value> {
        let cursor = &mut self.cursor;
        Ok(match kind {
            1 | 10 => Value::Int(cursor.i8()?.into()),
            2 => Value::Int(cursor.i16()?.into()),
            3 | 6 => Value::Int(cursor.i32()?.into()),
            4 | 16 => Value::Int(cursor.i64()?),
            5 | 9 => Value::Real(cursor.f32()?.into()),
            8 => Value::Real(cursor.f64()?),
            11 | 18 => Value::Int(cursor.u8()?.into()),
            12 => Value::Int(cursor.u16()?.into()),
            13 | 15 => Value::Int(cursor.u32()?.into()),
            14 | 17 => Value::Int(cursor.u64()? as i64),
            64 | 70 => self.pointer()?,
            65 => Value::Text(cursor.text()?),
            66 => {
                skip_tobject(cursor)?;
                Value::Nothing
            }
            67 => self.object_of_class("TNamed")?,
            _ => return Err(format!("members of kind {kind} are not read")),
        })
    }

    fn array(&mut self, kind: i64, n: usize) -> Fault<Value> {
        if n > self.cursor.left() {
            return Err(format!("an array of {n} entries, where {} bytes are left", self.cursor.left()));
        }
        if matches!(kind, 5 | 8 | 9) {
            let mut list = Vec::new();
            for _ in 0..n {
                let Value::Real(x) = self.value(kind)? else { continue };
                list.push(x);
            }
            return Ok(Value::Reals(list));
        }
        let mut list = Vec::new();
        for _ in 0..n {
            let Value::Int(i) = self.value(kind)? else {
                return Err(format!("arrays of kind {kind} are not read"));
            };
            list.push(i);
        }
        Ok(Value::Ints(list))
    }
}
