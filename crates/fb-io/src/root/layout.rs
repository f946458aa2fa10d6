//! From what a tree tells of its branches and leaves to the form of their entries.

use super::column::{Form, Item, Member, Number, Packed, Packing};
use super::object::{Element, Infos, Object, normal};

/// Classes within classes.
const DEEPEST: usize = 24;

/// The type of a branch of a split `TClonesArray`.
pub(super) const CLONES: i64 = 3;

type Described<T> = Result<T, String>;

/// A leaf of a branch.
pub(super) struct Leaf<'a> {
    pub(super) object: &'a Object,
    /// Whether another leaf counts its entries.
    pub(super) counted: bool,
}

/// The form of a branch and its type in C++.
pub(super) fn describe(infos: &Infos, branch: &Object, leaves: &[Leaf<'_>]) -> (String, Described<Form>) {
    match branch.class.as_str() {
        "TBranchElement" => element(infos, branch, leaves),
        "TBranchObject" => {
            let class = branch.text("fClassName");
            let form = item_of(infos, &class, 0).map(Form::Named);
            (class, form)
        }
        _ => plain(leaves),
    }
}

/// A branch of numbers or texts, leaf by leaf.
fn plain(leaves: &[Leaf<'_>]) -> (String, Described<Form>) {
    let all: Vec<(String, Described<(String, Item)>)> =
        leaves.iter().map(|leaf| (leaf.object.text("fName"), leaf_item(leaf.object))).collect();
    if let [leaf] = leaves {
        return match &all[0].1 {
            Err(reason) => (leaf.object.class.clone(), Err(reason.clone())),
            Ok((name, item)) if leaf.counted => {
                (counted_name(name), Ok(Form::Filled { skip: 0, item: item.clone(), headed: false }))
            }
            Ok((name, Item::Text)) => (name.clone(), Ok(Form::Text)),
            Ok((name, item)) => (name.clone(), Ok(Form::Flat(item.clone()))),
        };
    }
    let mut names = Vec::new();
    let mut items = Vec::new();
    for ((name, described), leaf) in all.into_iter().zip(leaves) {
        match described {
            Err(reason) => return (leaf.object.class.clone(), Err(reason)),
            Ok((type_name, _)) if leaf.counted => {
                let reason = "several leaves of which one varies in length are not read".to_owned();
                return (counted_name(&type_name), Err(reason));
            }
            Ok((type_name, item)) => {
                names.push(format!("{type_name} {name}"));
                items.push((name, item));
            }
        }
    }
    if items.is_empty() {
        return ("?".to_owned(), Err("it has no leaf".to_owned()));
    }
    (format!("{{{}}}", names.join("; ")), Ok(Form::Leaves(items)))
}

/// `float[3]` counted by another leaf is `float[][3]`.
fn counted_name(name: &str) -> String {
    match name.split_once('[') {
        Some((head, tail)) => format!("{head}[][{tail}"),
        None => format!("{name}[]"),
    }
}

fn leaf_item(leaf: &Object) -> Described<(String, Item)> {
    let unsigned = leaf.int("fIsUnsigned").unwrap_or(0) != 0;
    let number = match (leaf.class.as_str(), unsigned) {
        ("TLeafO", _) => Number::Bool,
        ("TLeafB", false) => Number::I8,
        ("TLeafB", true) => Number::U8,
        ("TLeafS", false) => Number::I16,
        ("TLeafS", true) => Number::U16,
        ("TLeafI", false) => Number::I32,
        ("TLeafI", true) => Number::U32,
        ("TLeafL" | "TLeafG", false) => Number::I64,
        ("TLeafL" | "TLeafG", true) => Number::U64,
        ("TLeafF", _) => Number::F32,
        ("TLeafD", _) => Number::F64,
        ("TLeafF16", _) => packed(&leaf.text("fTitle"), false),
        ("TLeafD32", _) => packed(&leaf.text("fTitle"), true),
        ("TLeafC", _) => return Ok(("char*".to_owned(), Item::Text)),
        (class, _) => return Err(format!("leaves of class {class} are not read")),
    };
    let dimensions = dimensions(&leaf.text("fTitle"), leaf.int("fLen").unwrap_or(1));
    Ok((format!("{}{}", type_name(number), brackets(&dimensions)), fixed(&dimensions, Item::Number(number))))
}

/// Numbers in brackets behind a name, if they give `length` in all.
fn dimensions(title: &str, length: i64) -> Vec<usize> {
    let given: Vec<usize> =
        title.split('[').skip(1).filter_map(|part| part.split(']').next()?.trim().parse().ok()).collect();
    let length = usize::try_from(length).unwrap_or(1);
    if given.iter().try_fold(1_usize, |n, &m| n.checked_mul(m)) == Some(length.max(1)) {
        given
    } else if length > 1 {
        vec![length]
    } else {
        Vec::new()
    }
}

fn brackets(dimensions: &[usize]) -> String {
    dimensions.iter().fold(String::new(), |text, n| text + "[" + &n.to_string() + "]")
}

fn fixed(dimensions: &[usize], item: Item) -> Item {
    dimensions.iter().rev().fold(item, |item, &n| Item::Fixed(n, Box::new(item)))
}

/// `Float16_t` or `Double32_t`, whose range stands in brackets: `[low, high, bits]`.
fn packed(title: &str, double: bool) -> Number {
    // Brackets without a comma are dimensions.
    let range = title.split('[').skip(1).filter_map(|part| part.split(']').next()).find(|part| part.contains(','));
    let parts: Vec<&str> = range.unwrap_or_default().split(',').map(str::trim).collect();
    let limit = |text: &str| -> Option<f64> {
        let pi = std::f64::consts::PI;
        let lower = text.to_lowercase();
        let (sign, lower) = lower.strip_prefix('-').map_or((1.0, lower.as_str()), |rest| (-1.0, rest));
        Some(
            sign * match lower {
                "pi" => pi,
                "2pi" | "2*pi" | "twopi" => 2.0 * pi,
                "pi/2" => pi / 2.0,
                "pi/4" => pi / 4.0,
                number => number.parse().ok()?,
            },
        )
    };
    let bits = parts.get(2).and_then(|text| text.parse::<u32>().ok()).filter(|bits| (2..=32).contains(bits));
    let packing = match (parts.first().and_then(|t| limit(t)), parts.get(1).and_then(|t| limit(t))) {
        (Some(low), Some(high)) if low < high => Packing::Range { low, high, bits: bits.unwrap_or(32) },
        // Without a range the bits, fewer than 15, are those of the fraction.
        (Some(_), Some(_)) if bits.is_some_and(|bits| bits < 15) => Packing::Truncated { bits: bits.unwrap_or(12) },
        _ if double => Packing::Whole,
        _ => Packing::Truncated { bits: 12 },
    };
    Number::Packed(Packed { double, packing })
}

fn type_name(number: Number) -> &'static str {
    match number {
        Number::Bool => "bool",
        Number::I8 => "int8_t",
        Number::I16 => "int16_t",
        Number::I32 => "int32_t",
        Number::I64 => "int64_t",
        Number::U8 => "uint8_t",
        Number::U16 => "uint16_t",
        Number::U32 => "uint32_t",
        Number::U64 => "uint64_t",
        Number::F32 => "float",
        Number::F64 => "double",
        Number::Packed(Packed { double: true, .. }) => "Double32_t",
        Number::Packed(_) => "Float16_t",
    }
}

/// A number by its kind in a streamer info.
fn number_of_kind(kind: i64, title: &str) -> Option<Number> {
    Some(match kind {
        1 | 10 => Number::I8,
        2 => Number::I16,
        3 | 6 => Number::I32,
        4 | 16 => Number::I64,
        5 => Number::F32,
        8 => Number::F64,
        9 => packed(title, true),
        11 => Number::U8,
        12 => Number::U16,
        13 | 15 => Number::U32,
        14 | 17 => Number::U64,
        18 => Number::Bool,
        19 => packed(title, false),
        _ => return None,
    })
}

/// A number by its name.
fn number_of_name(name: &str) -> Option<Number> {
    Some(match name {
        "bool" | "Bool_t" => Number::Bool,
        "char" | "Char_t" | "signed char" | "int8_t" => Number::I8,
        "unsigned char" | "UChar_t" | "uint8_t" | "byte" => Number::U8,
        "short" | "Short_t" | "int16_t" => Number::I16,
        "unsigned short" | "UShort_t" | "uint16_t" => Number::U16,
        "int" | "Int_t" | "int32_t" => Number::I32,
        "unsigned int" | "unsigned" | "UInt_t" | "uint32_t" => Number::U32,
        "long" | "long long" | "Long_t" | "Long64_t" | "int64_t" => Number::I64,
        "unsigned long" | "unsigned long long" | "ULong_t" | "ULong64_t" | "uint64_t" | "size_t" => Number::U64,
        "float" | "Float_t" => Number::F32,
        "double" | "Double_t" => Number::F64,
        "Double32_t" => packed("", true),
        "Float16_t" => packed("", false),
        _ => return None,
    })
}

/// The arguments of a template: `map<int,vector<int>>` has two.
fn arguments(name: &str) -> Option<(&str, Vec<&str>)> {
    let (head, rest) = name.split_once('<')?;
    let inner = rest.strip_suffix('>')?;
    let (mut depth, mut from, mut all) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                all.push(&inner[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    all.push(&inner[from..]);
    Some((head, all))
}

/// An item of a type in C++, as it stands in a collection or an entry, without the version of its collection.
fn item_of(infos: &Infos, name: &str, depth: usize) -> Described<Item> {
    let name = normal(name);
    if depth > DEEPEST {
        return Err(format!("`{name}` holds itself"));
    }
    if let Some(number) = number_of_name(&name) {
        return Ok(Item::Number(number));
    }
    let array = |number| Ok(Item::List(Box::new(Item::Number(number))));
    match name.as_str() {
        "string" | "TString" => return Ok(Item::Text),
        "TArrayC" => return array(Number::I8),
        "TArrayS" => return array(Number::I16),
        "TArrayI" => return array(Number::I32),
        "TArrayL" | "TArrayL64" => return array(Number::I64),
        "TArrayF" => return array(Number::F32),
        "TArrayD" => return array(Number::F64),
        _ if name.ends_with('*') => return Err(format!("pointers (`{name}`) are not read")),
        _ => {}
    }
    if let Some((head, all)) = arguments(&name) {
        let inner = |i: usize| item_of(infos, all.get(i).copied().unwrap_or_default(), depth + 1).map(Box::new);
        match head {
            "vector" | "set" | "unordered_set" | "multiset" | "unordered_multiset" | "list" | "deque"
            | "forward_list" | "RVec" | "ROOT::VecOps::RVec" | "ROOT::RVec" => return Ok(Item::List(inner(0)?)),
            "map" | "unordered_map" | "multimap" | "unordered_multimap" => return Ok(Item::Map(inner(0)?, inner(1)?)),
            "array" => {
                let n = all.get(1).and_then(|n| n.parse::<usize>().ok()).filter(|&n| i32::try_from(n).is_ok());
                return Ok(Item::Fixed(n.ok_or_else(|| format!("`{name}` has no length"))?, inner(0)?));
            }
            "bitset" => return Err(format!("`{name}` is not read")),
            _ => {}
        }
    }
    let checksum = infos.get(&name, i64::MAX, 0).map_or(0, |info| info.checksum);
    members_of(infos, &name, depth).map(|members| Item::Record(members, checksum))
}

/// The members of a class.
fn members_of(infos: &Infos, class: &str, depth: usize) -> Described<Vec<Member>> {
    if depth > DEEPEST {
        return Err(format!("`{class}` holds itself"));
    }
    // Classes that write themselves, each in its own way.
    let own = ["TClonesArray", "TRef", "TRefArray", "TList", "TObjArray", "TMap", "THashList", "TObject", "TDatime"];
    if own.contains(&class) {
        return Err(format!("objects of class {class} are not read"));
    }
    let info = infos
        .get(class, i64::MAX, 0)
        .ok_or_else(|| format!("the file does not describe the class `{class}` (no streamer info)"))?;
    let mut members = Vec::new();
    for element in &info.elements {
        members.extend(member_of(infos, element, depth)?);
    }
    let holds_data = members.iter().any(|member| !matches!(member, Member::TObject));
    if holds_data { Ok(members) } else { Err(format!("`{class}` has no member")) }
}

fn named() -> Vec<Member> {
    let text = |name: &str| Member::Field(name.to_owned(), Item::Text);
    vec![Member::TObject, text("fName"), text("fTitle")]
}

fn member_of(infos: &Infos, element: &Element, depth: usize) -> Described<Option<Member>> {
    let name = element.name.clone();
    if name == "TObject" && matches!(element.kind, 0 | 66) {
        return Ok(Some(Member::TObject));
    }
    if name == "TNamed" && matches!(element.kind, 0 | 67) {
        return Ok(Some(Member::Base(named(), 0)));
    }
    if element.kind == 0 {
        let info = infos.get(&name, i64::MAX, 0).ok_or_else(|| format!("the base `{name}` has no streamer info"))?;
        if depth > DEEPEST {
            return Err(format!("`{name}` holds itself"));
        }
        let mut members = Vec::new();
        for element in &info.elements {
            members.extend(member_of(infos, element, depth + 1)?);
        }
        return Ok(Some(Member::Base(members, info.checksum)));
    }
    if let Some(number) = number_of_kind(element.kind - 40, &element.title) {
        return Ok(Some(Member::Counted(name, Item::Number(number), element.counter.clone())));
    }
    item_of_element(infos, element, depth).map(|item| Some(Member::Field(name, item)))
}

/// A member that is not a base and not counted by another.
fn item_of_element(infos: &Infos, element: &Element, depth: usize) -> Described<Item> {
    let dimensions: &[usize] =
        if element.dimensions.is_empty() { std::slice::from_ref(&element.length) } else { &element.dimensions };
    match element.kind {
        kind if number_of_kind(kind, "").is_some() => {
            let number = number_of_kind(kind, &element.title).map(Item::Number).ok_or_else(String::new)?;
            // Some writers give a fixed array the kind of a single number.
            Ok(if element.length > 0 { fixed(dimensions, number) } else { number })
        }
        kind if number_of_kind(kind - 20, "").is_some() => {
            let number = number_of_kind(kind - 20, &element.title).map(Item::Number).ok_or_else(String::new)?;
            if dimensions.iter().any(|&n| i32::try_from(n).is_err()) {
                return Err(format!("`{}` has a dimension beyond 2^31", element.name));
            }
            Ok(fixed(dimensions, number))
        }
        65 | 365 => Ok(Item::Text),
        61 | 62 => item_of(infos, &element.type_name, depth + 1),
        81 | 82 if dimensions.iter().all(|&n| i32::try_from(n).is_ok()) => {
            item_of(infos, &element.type_name, depth + 1).map(|item| fixed(dimensions, item))
        }
        300 | 500 => {
            let name = normal(&element.type_name);
            match item_of(infos, &name, depth + 1)? {
                Item::Text => Ok(Item::Text),
                item @ (Item::List(_) | Item::Map(..)) => Ok(Item::Headed(Box::new(item))),
                _ => Err(format!("`{name}` writes itself in its own way")),
            }
        }
        63 | 64 | 69 | 70 => Err(format!("pointers (`{}`) are not read", element.type_name)),
        kind => Err(format!("`{} {}` (kind {kind}) is not read", element.type_name, element.name)),
    }
}

/// A branch of an object or of a part of one.
fn element(infos: &Infos, branch: &Object, leaves: &[Leaf<'_>]) -> (String, Described<Form>) {
    let class = normal(&branch.text("fClassName"));
    if branch.int("fType") == Some(CLONES) {
        return ("int32_t".to_owned(), Ok(Form::Flat(Item::Number(Number::I32))));
    }
    let in_collection = matches!(branch.int("fType"), Some(31 | 41));
    if branch.int("fID").unwrap_or(-1) < 0 {
        let form = item_of(infos, &class, 0).map(|item| whole(item, true));
        return (class, form);
    }
    let name = branch.text("fName");
    let name = name.trim_end_matches('.');
    let name = name.rsplit('.').next().unwrap_or(name).split('[').next().unwrap_or_default();
    let found = find(infos, branch, name).cloned().or_else(|| part_of_pair(&class, name));
    let Some(element) = &found else {
        // The leaf tells enough of a number.
        let kind = branch.int("fStreamerType").unwrap_or(-1);
        let dimensions =
            leaves.first().map(|l| dimensions(&l.object.text("fTitle"), l.object.int("fLen").unwrap_or(1)));
        let dimensions = dimensions.unwrap_or_default();
        let number = number_of_kind(kind, "").or_else(|| number_of_kind(kind - 20, ""));
        return match number {
            Some(number) if in_collection => {
                let item = fixed(&dimensions, Item::Number(number));
                (
                    format!("{}[]{}", type_name(number), brackets(&dimensions)),
                    Ok(Form::Filled { skip: 0, headed: false, item }),
                )
            }
            Some(number) => (
                format!("{}{}", type_name(number), brackets(&dimensions)),
                Ok(Form::Flat(fixed(&dimensions, Item::Number(number)))),
            ),
            None => (class.clone(), Err(format!("the file does not describe `{name}` of the class `{class}`"))),
        };
    };
    let mut shown = format!("{}{}", normal(&element.type_name), brackets(&element.dimensions));
    if let Some(number) = number_of_kind(element.kind - 40, &element.title) {
        let shown = format!("{}[]", shown.trim_end_matches('*'));
        if in_collection {
            return (shown, Err("variable arrays in collections are not read".to_owned()));
        }
        // A byte in front says whether there is an array.
        return (shown, Ok(Form::Filled { skip: 1, headed: false, item: Item::Number(number) }));
    }
    let item = item_of_element(infos, element, 0);
    if in_collection {
        shown.push_str("[]");
        let form = item.map(|item| match item {
            Item::Headed(item) => Form::Filled { skip: 0, headed: true, item: *item },
            Item::Text if element.kind != 65 => Form::Filled { skip: 0, headed: true, item: Item::Text },
            item => Form::Filled { skip: 0, headed: false, item },
        });
        return (shown, form);
    }
    (shown, item.map(|item| whole(item, false)))
}

/// The form of a branch each of whose entries is one item. Collections that stand alone have a version.
fn whole(item: Item, alone: bool) -> Form {
    match item {
        item if item.size().is_some() => Form::Flat(item),
        Item::Text => Form::Text,
        Item::Headed(inner) => whole(*inner, true),
        // A version of six bytes and a count.
        Item::List(item) if alone && item.size().is_some() => Form::Filled { skip: 10, headed: false, item: *item },
        item @ (Item::List(_) | Item::Map(..)) if alone => Form::One(Item::Headed(Box::new(item))),
        item => Form::One(item),
    }
}

/// A member of a `pair` or `tuple`, which not every file describes.
fn part_of_pair(class: &str, name: &str) -> Option<Element> {
    let (head, all) = arguments(class)?;
    let at = match (head, name) {
        ("pair", "first") => 0,
        ("pair", "second") => 1,
        ("tuple", _) => name.strip_prefix('_')?.parse().ok()?,
        _ => return None,
    };
    let type_name = (*all.get(at)?).to_owned();
    let kind = match type_name.as_str() {
        "string" => 365,
        _ if type_name.contains('<') => 500,
        _ => number_of_name(&type_name).map_or(62, kind_of_number),
    };
    let (title, counter) = (String::new(), String::new());
    Some(Element { name: name.to_owned(), title, kind, length: 0, dimensions: Vec::new(), type_name, counter })
}

/// The number by which a streamer info knows a kind of number.
fn kind_of_number(number: Number) -> i64 {
    match number {
        Number::Bool => 18,
        Number::I8 => 1,
        Number::I16 => 2,
        Number::I32 => 3,
        Number::I64 => 16,
        Number::U8 => 11,
        Number::U16 => 12,
        Number::U32 => 13,
        Number::U64 => 17,
        Number::F32 => 5,
        Number::F64 => 8,
        Number::Packed(Packed { double: true, .. }) => 9,
        Number::Packed(_) => 19,
    }
}

/// The member that a branch holds.
fn find<'a>(infos: &'a Infos, branch: &Object, name: &str) -> Option<&'a Element> {
    let (version, checksum) = (branch.int("fClassVersion").unwrap_or(0), branch.int("fCheckSum").unwrap_or(0));
    let info = infos.get(&branch.text("fClassName"), version, checksum as u32)?;
    let id = usize::try_from(branch.int("fID")?).ok()?;
    let exact = info.elements.get(id).filter(|element| element.name == name);
    exact.or_else(|| find_member(infos, &branch.text("fClassName"), name, 0)).or_else(|| {
        let parent = branch.text("fParentName");
        find_member(infos, &parent, name, 0)
    })
}

fn find_member<'a>(infos: &'a Infos, class: &str, name: &str, depth: usize) -> Option<&'a Element> {
    let elements = &infos.get(class, i64::MAX, 0)?.elements;
    let own = elements.iter().find(|element| element.kind != 0 && element.name == name);
    let in_base =
        |element: &'a Element| (depth < DEEPEST).then(|| find_member(infos, &element.name, name, depth + 1)).flatten();
    own.or_else(|| elements.iter().filter(|element| element.kind == 0).find_map(in_base))
}
