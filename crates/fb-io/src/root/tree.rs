//! `TTree`: a table whose branches are stored apart, each in baskets of entries.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

use arrow_array::ArrayRef;
use fb_core::Unit;

use super::basket::{Basket, Scratch};
use super::bytes::{Cursor, Fault};
use super::column::{Builder, Form};
use super::file::{File, Key};
use super::friends::Link;
use super::layout::{CLONES, Leaf, describe};
use super::object::{Infos, Object, Reader, Value};
use crate::table::{Branch, Table};
use crate::{Error, Result};

/// Branches within branches.
const DEEPEST: usize = 64;
/// Bytes (unpacked) of a block that is read at a time.
const BLOCK: u64 = 8 << 20;

/// Trees, and trees of one kind of number.
pub(super) const CLASSES: [&str; 3] = ["TTree", "TNtuple", "TNtupleD"];

/// A tree of a file.
pub(super) struct Tree {
    file: Arc<File>,
    name: String,
    entries: u64,
    branches: Vec<Branch>,
    parts: Vec<Part>,
    /// The tree's object, of which baskets that were not yet full are a part.
    bytes: Vec<u8>,
    /// Unpacked bytes of an entry, on average.
    weight: u64,
    pub(super) friends: Vec<Link>,
}

/// Where the entries of a branch are.
struct Part {
    form: Option<Form>,
    baskets: Vec<Place>,
    /// First entry of each basket, and the end.
    firsts: Vec<u64>,
}

#[derive(Clone, Copy)]
enum Place {
    /// Place and length of a record.
    Stored(u64, usize),
    /// Position in the tree.
    Embedded(usize),
}

impl Tree {
    pub(super) fn open(file: &Arc<File>, infos: &Infos, key: &Key) -> Result<Self> {
        let place = || format!("tree `{}`", key.path);
        let bytes = file.object(key).map_err(|reason| file.corrupt(place(), reason))?;
        let mut tree = Self {
            file: Arc::clone(file),
            name: key.path.clone(),
            entries: 0,
            branches: Vec::new(),
            parts: Vec::new(),
            bytes,
            weight: 1,
            friends: Vec::new(),
        };
        tree.read_branches(infos, key).map_err(|reason| file.corrupt(place(), reason))?;
        Ok(tree)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    fn read_branches(&mut self, infos: &Infos, key: &Key) -> Fault<()> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut reader = Reader::new(infos, &bytes, key.header);
        let top = reader.object_of_class(&key.class)?;
        let objects = std::mem::take(&mut reader.objects);
        self.bytes = bytes;
        let Value::Object(top) = top else { return Err(format!("it is no {}", key.class)) };
        let tree = objects.get(top).ok_or("it is empty")?;
        let entries = tree.int("fEntries").ok_or("the number of its entries is missing")?;
        self.entries = u64::try_from(entries).map_err(|_| format!("it has {entries} entries"))?;
        let Some(Value::List(list)) = tree.get("fBranches") else {
            return Err("the list of its branches is missing".to_owned());
        };
        for friend in tree.list("fFriends") {
            let friend = if let Value::Object(at) = friend { objects.get(*at) } else { None };
            self.friends.extend(friend.filter(|friend| friend.class == "TFriendElement").map(|friend| Link {
                alias: friend.text("fName"),
                tree: friend.text("fTreeName"),
                file: friend.text("fTitle"),
            }));
        }
        let mut found = Vec::new();
        walk(&objects, list, "", 0, &mut found)?;
        let total = tree.int("fTotBytes").unwrap_or(0).max(0) as u64;
        self.weight = (total / self.entries.max(1)).max(1);
        if self.entries == 0 {
            // Some writers leave it to the branches to count.
            let most = found.iter().filter_map(|(_, branch)| branch.int("fEntries")).max();
            self.entries = most.and_then(|n| u64::try_from(n).ok()).unwrap_or(0);
        }
        // A basket is unpacked to at most so many times its size, and an entry takes a byte of it or more.
        if self.entries > self.file.size().saturating_mul(1 << 15) {
            return Err(format!("{} entries in a file of {} bytes", self.entries, self.file.size()));
        }
        let mut times: HashMap<String, usize> = HashMap::new();
        for (_, object) in &found {
            *times.entry(object.text("fName")).or_default() += 1;
        }
        let mut taken = HashSet::new();
        for (path, object) in &found {
            let name = object.text("fName");
            let unique = times.get(&name) == Some(&1);
            let (type_name, form) = Self::describe(infos, &objects, object);
            let part = self.part(&objects, object);
            let (form, part) = match (form, part) {
                (Ok(form), Ok(part)) => (Ok(form), part),
                (Err(reason), _) | (_, Err(reason)) => {
                    (Err(reason), Part { form: None, baskets: Vec::new(), firsts: vec![0] })
                }
            };
            let content = form.as_ref().map(Form::data_type).map_err(Clone::clone);
            let mut name = if unique { name } else { path.clone() };
            while !taken.insert(name.clone()) {
                name.push('\'');
            }
            self.branches.push(Branch { name, type_name, content, unit: Unit::Unknown });
            self.parts.push(Part { form: form.ok(), ..part });
        }
        for i in 0..self.branches.len() {
            self.probe(i);
        }
        Ok(())
    }

    fn describe(infos: &Infos, objects: &[Object], branch: &Object) -> (String, std::result::Result<Form, String>) {
        let leaves: Vec<Leaf<'_>> = branch
            .list("fLeaves")
            .iter()
            .filter_map(|leaf| if let Value::Object(at) = leaf { objects.get(*at) } else { None })
            .map(|object| Leaf { object, counted: matches!(object.get("fLeafCount"), Some(Value::Object(_))) })
            .collect();
        describe(infos, branch, &leaves)
    }

    /// The baskets of a branch.
    fn part(&self, objects: &[Object], branch: &Object) -> Fault<Part> {
        let (seeks, lengths, firsts) =
            (branch.ints("fBasketSeek"), branch.ints("fBasketBytes"), branch.ints("fBasketEntry"));
        let written = branch.int("fWriteBasket").unwrap_or(0).max(0) as usize;
        let stored = seeks.iter().take(written).take_while(|&&seek| seek != 0).count();
        let mut part = Part { form: None, baskets: Vec::new(), firsts: vec![0] };
        for (i, &seek) in seeks.iter().enumerate().take(stored) {
            let length = lengths.get(i).copied().unwrap_or(-1);
            let (seek, length) = (u64::try_from(seek), usize::try_from(length));
            let (Ok(seek), Ok(length)) = (seek, length) else { return Err(format!("basket {i} is nowhere")) };
            part.baskets.push(Place::Stored(seek, length));
        }
        if stored > 0 {
            let firsts = firsts.get(..=stored).ok_or("the first entries of its baskets are missing")?;
            part.firsts = firsts.iter().map(|&first| first as u64).collect();
        }
        for basket in branch.list("fBaskets") {
            let Value::Object(at) = basket else { continue };
            let Some(object) = objects.get(*at).filter(|o| o.class == "TBasket") else { continue };
            let mut cursor = Cursor::new(&self.bytes);
            cursor.seek(object.position)?;
            let entries = Basket::embedded_entries(cursor)? as u64;
            if entries > 0 {
                part.baskets.push(Place::Embedded(object.position));
                part.firsts.push(part.firsts.last().unwrap_or(&0) + entries);
            }
        }
        let (first, last) = (part.firsts.first().copied(), part.firsts.last().copied());
        if first != Some(0) || !part.firsts.windows(2).all(|f| f[0] <= f[1]) {
            return Err("the first entries of its baskets do not rise from 0".to_owned());
        }
        if last.is_none_or(|last| last < self.entries) {
            return Err(format!("its baskets hold {} of the {} entries", last.unwrap_or(0), self.entries));
        }
        Ok(part)
    }

    /// Reads the first entry of a branch that is not made of numbers alone: a description of an object that its own
    /// bytes contradict is not believed.
    fn probe(&mut self, branch: usize) {
        let holds_objects = match &self.parts[branch].form {
            Some(Form::One(_) | Form::Named(_)) => true,
            // Numbers that fill an entry from end to end have nothing that could contradict them.
            Some(Form::Filled { skip, headed, item }) => *skip > 0 || *headed || item.size().is_none(),
            _ => false,
        };
        if self.entries == 0 || !holds_objects {
            return;
        }
        if let Err(reason) = self.column(branch, 0..1) {
            self.branches[branch].content = Err(reason);
            self.parts[branch].form = None;
        }
    }

    fn basket<'a>(&'a self, place: Place, scratch: &'a mut Scratch) -> Fault<Basket<'a>> {
        match place {
            Place::Stored(seek, length) => Basket::stored(&self.file, seek, length, scratch),
            Place::Embedded(position) => {
                let mut cursor = Cursor::new(&self.bytes);
                cursor.seek(position)?;
                Basket::embedded(cursor, scratch)
            }
        }
    }

    fn column(&self, branch: usize, entries: Range<u64>) -> Fault<ArrayRef> {
        Scratch::with(|scratch| self.column_with(branch, entries, scratch))
    }

    fn column_with(&self, branch: usize, entries: Range<u64>, scratch: &mut Scratch) -> Fault<ArrayRef> {
        let part = &self.parts[branch];
        let form = part.form.as_ref().ok_or("the branch is not read")?;
        let mut builder: Builder = form.builder();
        let from = part.firsts.partition_point(|&first| first <= entries.start).saturating_sub(1);
        for (i, &place) in part.baskets.iter().enumerate().skip(from) {
            let (first, end) = (part.firsts[i], part.firsts[i + 1]);
            if first >= entries.end {
                break;
            }
            if end <= entries.start {
                continue;
            }
            let wrong = |reason: String| format!("basket {i} (entries {first} to {end}): {reason}");
            let basket = self.basket(place, scratch).map_err(wrong)?;
            if basket.entries as u64 != end - first {
                return Err(wrong(format!("it holds {} entries", basket.entries)));
            }
            let range = (entries.start.max(first) - first) as usize..(entries.end.min(end) - first) as usize;
            form.append(basket.content, basket.offsets, basket.entries, range, &mut builder).map_err(wrong)?;
        }
        builder.finish()
    }
}

/// All branches that hold data, with their paths: parents before their children, in the order of the tree.
fn walk<'a>(
    objects: &'a [Object],
    list: &[Value],
    within: &str,
    depth: usize,
    found: &mut Vec<(String, &'a Object)>,
) -> Fault<()> {
    if depth > DEEPEST {
        return Err("branches within branches without an end".to_owned());
    }
    for value in list {
        let branch = if let Value::Object(at) = value { objects.get(*at) } else { None };
        let branch = branch.filter(|b| b.class.starts_with("TBranch")).ok_or("one of its branches cannot be read")?;
        let name = branch.text("fName");
        let path = if within.is_empty() { name } else { format!("{within}/{name}") };
        let children = branch.list("fBranches");
        // A split `TClonesArray` counts its objects itself.
        if children.is_empty() || branch.int("fType") == Some(CLONES) {
            found.push((path.clone(), branch));
        }
        if found.len() > objects.len() {
            return Err("a branch within itself".to_owned());
        }
        walk(objects, children, &path, depth + 1, found)?;
    }
    Ok(())
}

impl Table for Tree {
    fn name(&self) -> &str {
        &self.name
    }

    fn kind(&self) -> &'static str {
        "TTree"
    }

    fn entries(&self) -> u64 {
        self.entries
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        // Where all branches begin a basket, nothing is unpacked twice.
        let readable = || self.parts.iter().filter(|part| part.form.is_some());
        let mut common: BTreeSet<u64> = BTreeSet::new();
        if let Some(part) = readable().next() {
            common.extend(&part.firsts);
        }
        for part in readable().skip(1) {
            common.retain(|first| part.firsts.binary_search(first).is_ok());
        }
        let most = (BLOCK / self.weight).max(1);
        let mut clusters = Vec::new();
        let mut from = 0;
        while from < self.entries {
            let end = common.range(from + 1..=from + most).next_back().copied();
            let end = end.unwrap_or(from + most).min(self.entries);
            clusters.push(from..end);
            from = end;
        }
        clusters
    }

    fn parts(&self, branch: usize, entries: Range<u64>, n: usize) -> Vec<Range<u64>> {
        // A basket is unpacked as a whole.
        let firsts = &self.parts[branch].firsts;
        let step = (entries.end - entries.start).div_ceil(n as u64).max(1);
        let (mut parts, mut from) = (Vec::new(), entries.start);
        for &first in &firsts[firsts.partition_point(|&first| first <= entries.start)..] {
            if first >= entries.end {
                break;
            }
            if first - from >= step {
                parts.push(from..first);
                from = first;
            }
        }
        parts.push(from..entries.end);
        parts
    }

    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        let entries = entries.start..entries.end.min(self.entries);
        branches
            .iter()
            .map(|&branch| {
                self.column(branch, entries.clone()).map_err(|reason| {
                    let name = self.branches.get(branch).map_or("", |b| &b.name);
                    let place = format!("tree `{}`, branch `{name}`, entries {entries:?}", self.name);
                    Error::Corrupt { path: self.file.path().to_owned(), place, reason }
                })
            })
            .collect()
    }
}
