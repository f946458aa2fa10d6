//! Bytes as ROOT streams objects: big-endian numbers, texts behind their length, objects behind a count of bytes.

use std::collections::HashMap;

const BYTE_COUNT: u32 = 0x4000_0000;
const CLASS: u32 = 0x8000_0000;
const NEW_CLASS: u32 = 0xffff_ffff;
/// References count from two bytes before the key.
const MAP_OFFSET: usize = 2;

/// Bytes that grow.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) bytes: Vec<u8>,
    /// Length of the key that will stand before them.
    key: usize,
    /// Where each class was first named.
    classes: HashMap<&'static str, u32>,
}

/// Where an object was written, for those that refer to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place(u32);

impl Output {
    /// For an object behind a key of this length.
    pub(super) fn behind(key: usize) -> Self {
        Self { key, ..Self::default() }
    }

    pub(super) fn u8(&mut self, x: u8) {
        self.bytes.push(x);
    }

    pub(super) fn u16(&mut self, x: u16) {
        self.bytes.extend(x.to_be_bytes());
    }

    pub(super) fn u32(&mut self, x: u32) {
        self.bytes.extend(x.to_be_bytes());
    }

    pub(super) fn i32(&mut self, x: i32) {
        self.bytes.extend(x.to_be_bytes());
    }

    pub(super) fn u64(&mut self, x: u64) {
        self.bytes.extend(x.to_be_bytes());
    }

    pub(super) fn f64(&mut self, x: f64) {
        self.bytes.extend(x.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        if text.len() < 255 {
            self.u8(text.len() as u8);
        } else {
            self.u8(255);
            self.u32(text.len() as u32);
        }
        self.bytes.extend(text.as_bytes());
    }

    /// Something behind a count of its bytes and its version.
    pub(super) fn framed(&mut self, version: u16, content: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.u32(0);
        self.u16(version);
        content(self);
        let length = (self.bytes.len() - at - 4) as u32 | BYTE_COUNT;
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    pub(super) fn tobject(&mut self) {
        self.u16(1);
        self.u32(0);
        // It is on the heap, and not deleted.
        self.u32(0x0300_0000);
    }

    pub(super) fn named(&mut self, name: &str, title: &str) {
        self.framed(1, |out| {
            out.tobject();
            out.text(name);
            out.text(title);
        });
    }

    /// An object behind the name of its class, of which it is a part or which points to it.
    pub(super) fn pointer(&mut self, class: &'static str, content: impl FnOnce(&mut Self)) -> Place {
        let at = self.bytes.len();
        self.u32(0);
        let tag = self.bytes.len();
        if let Some(place) = self.classes.get(class) {
            self.u32(CLASS | *place);
        } else {
            self.classes.insert(class, (tag + self.key + MAP_OFFSET) as u32);
            self.u32(NEW_CLASS);
            self.bytes.extend(class.as_bytes());
            self.u8(0);
        }
        content(self);
        let length = (self.bytes.len() - at - 4) as u32 | BYTE_COUNT;
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
        Place((at + self.key + MAP_OFFSET) as u32)
    }

    /// An object behind the name of its class, with a version.
    pub(super) fn object(&mut self, class: &'static str, version: u16, content: impl FnOnce(&mut Self)) -> Place {
        self.pointer(class, |out| out.framed(version, content))
    }

    /// A pointer to an object that was written before, or to none.
    pub(super) fn reference(&mut self, place: Option<Place>) {
        self.u32(place.map_or(0, |place| place.0));
    }

    /// The place of what is written next.
    pub(super) fn here(&self) -> Place {
        Place((self.bytes.len() + self.key + MAP_OFFSET) as u32)
    }

    /// The content of a `TObjArray`.
    pub(super) fn array<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        self.framed(3, |out| {
            out.tobject();
            out.text("");
            out.i32(items.len() as i32);
            out.i32(0);
            items.for_each(|item| each(out, item));
        });
    }

    /// The content of a `TList`.
    pub(super) fn list<T>(&mut self, items: impl ExactSizeIterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        self.framed(5, |out| {
            out.tobject();
            out.text("");
            out.i32(items.len() as i32);
            for item in items {
                each(out, item);
                // An option for drawing: none.
                out.u8(0);
            }
        });
    }
}
