//! Patches of workspaces: the operations of RFC 6902, bare or in a patch set of pyhf.

use fb_core::{Error, Result, closest};
use serde_json::Value;

use super::json::Node;

/// The document after a patch: a list of operations, or the patch `name` of a patch set.
///
/// # Errors
/// [`Error::UnknownName`] for a patch that the set does not have; [`Error::Model`] with the number of the operation that
/// cannot be carried out, for a set without a name and for a name without a set.
pub fn patched(mut document: Value, patch: &Value, name: Option<&str>) -> Result<Value> {
    let root = Node::root(patch, "patch");
    let operations = if patch.is_array() {
        if let Some(name) = name {
            return Err(root.error(format!("is a list of operations, not a patch set, so it has no patch `{name}`")));
        }
        root
    } else {
        chosen(&root, name)?
    };
    for operation in operations.list()? {
        apply(&mut document, &operation)?;
    }
    Ok(document)
}

fn chosen<'a>(root: &Node<'a>, name: Option<&str>) -> Result<Node<'a>> {
    let patches = root.need("patches")?.list()?;
    let names = patches.iter().map(|patch| patch.need("metadata")?.need("name")?.text()).collect::<Result<Vec<_>>>()?;
    let Some(name) = name else {
        let first = names.first().copied().unwrap_or("NAME");
        return Err(root.error(format!("is a set of {} patches; choose one by its name, as `{first}`", names.len())));
    };
    let at = names.iter().position(|other| *other == name).ok_or_else(|| Error::UnknownName {
        what: "patch",
        name: name.to_owned(),
        closest: closest(name, names.iter().copied()),
    })?;
    patches[at].need("patch")
}

fn apply(document: &mut Value, operation: &Node) -> Result<()> {
    let path = operation.need("path")?.text()?;
    let value = || operation.need("value").map(|node| node.value.clone());
    let from = || operation.need("from").and_then(|node| node.text());
    let kind = operation.need("op")?.text()?;
    let done = match kind {
        "add" => add(document, path, value()?),
        "remove" => remove(document, path).map(|_| ()),
        "replace" => {
            let value = value()?;
            find(document, path).map(|place| *place = value)
        }
        "move" => {
            let from = from()?;
            if path.strip_prefix(from).is_some_and(|rest| rest.starts_with('/')) {
                return Err(operation.error(format!("`{from}` cannot move into itself, to `{path}`")));
            }
            remove(document, from).and_then(|value| add(document, path, value))
        }
        "copy" => find(document, from()?).map(|place| place.clone()).and_then(|value| add(document, path, value)),
        "test" => {
            let value = value()?;
            find(document, path).and_then(|place| {
                if same(place, &value) { Ok(()) } else { Err(format!("the value at `{path}` is not the one expected")) }
            })
        }
        other => Err(format!("found the operation `{other}`, expected add, remove, replace, move, copy or test")),
    };
    done.map_err(|reason| operation.error(reason))
}

/// Equal as numbers are, whether they are written `1` or `1.0`.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        _ => a == b,
    }
}

type Done<T> = std::result::Result<T, String>;

/// The path of what holds a place, and the last key.
fn split(pointer: &str) -> Done<(&str, String)> {
    let (parent, key) =
        pointer.rsplit_once('/').ok_or_else(|| format!("`{pointer}` is no path: it must begin with /"))?;
    Ok((parent, key.replace("~1", "/").replace("~0", "~")))
}

fn find<'a>(document: &'a mut Value, pointer: &str) -> Done<&'a mut Value> {
    document.pointer_mut(pointer).ok_or_else(|| format!("there is nothing at `{pointer}`"))
}

/// A place in a list of this length, `last` at most; RFC 6901 allows no leading zeros.
fn index(key: &str, last: usize) -> Done<usize> {
    let plain = key == "0" || (!key.starts_with('0') && key.bytes().all(|b| b.is_ascii_digit()));
    match key.parse() {
        Ok(at) if plain && at <= last => Ok(at),
        _ => Err(format!("`{key}` is no place in a list that ends at {last}")),
    }
}

fn add(document: &mut Value, pointer: &str, value: Value) -> Done<()> {
    if pointer.is_empty() {
        *document = value;
        return Ok(());
    }
    let (parent, key) = split(pointer)?;
    match find(document, parent)? {
        Value::Object(map) => {
            map.insert(key, value);
        }
        Value::Array(list) => {
            let at = if key == "-" { list.len() } else { index(&key, list.len())? };
            list.insert(at, value);
        }
        _ => return Err(format!("nothing can be added to `{parent}`, which is neither a list nor an object")),
    }
    Ok(())
}

fn remove(document: &mut Value, pointer: &str) -> Done<Value> {
    if pointer.is_empty() {
        return Err("the whole document cannot be removed".to_owned());
    }
    let (parent, key) = split(pointer)?;
    let missing = || format!("there is nothing at `{pointer}`");
    match find(document, parent)? {
        Value::Object(map) => map.shift_remove(&key).ok_or_else(missing),
        Value::Array(list) if !list.is_empty() => index(&key, list.len() - 1).map(|at| list.remove(at)),
        _ => Err(missing()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::patched;

    #[test]
    fn every_operation_does_what_the_standard_says() {
        let document = json!({"a": [1, 2], "b/c": {"~": 3}});
        let patch = json!([
            {"op": "test", "path": "/a", "value": [1.0, 2]},
            {"op": "add", "path": "/a/1", "value": 9},
            {"op": "add", "path": "/a/-", "value": 10},
            {"op": "remove", "path": "/a/0"},
            {"op": "replace", "path": "/b~1c/~0", "value": 4},
            {"op": "copy", "from": "/b~1c", "path": "/d"},
            {"op": "move", "from": "/a/2", "path": "/e"},
        ]);
        let expected = json!({"a": [9, 2], "b/c": {"~": 4}, "d": {"~": 4}, "e": 10});
        assert_eq!(patched(document, &patch, None).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_done_is_an_error() {
        for operation in [
            json!({"op": "remove", "path": "/nothing"}),
            json!({"op": "add", "path": "/a/3", "value": 0}),
            json!({"op": "replace", "path": "/a/01", "value": 0}),
            json!({"op": "test", "path": "/a/0", "value": 2}),
            json!({"op": "move", "from": "/a", "path": "/a/0"}),
            json!({"op": "add", "path": "a", "value": 0}),
            json!({"op": "turn", "path": "/a"}),
            json!({"path": "/a"}),
            json!(7),
        ] {
            let error = patched(json!({"a": [1, 2]}), &json!([operation]), None).unwrap_err().to_string();
            assert!(error.starts_with("patch[0]"), "{error}");
        }
    }

    #[test]
    fn a_patch_of_a_set_is_chosen_by_its_name() {
        let patch = |name: &str, value: i32| json!({"metadata": {"name": name, "values": []}, "patch": [{"op": "replace", "path": "/a", "value": value}]});
        let set = json!({"patches": [patch("low", 1), patch("high", 2)], "metadata": {}, "version": "1.0.0"});
        assert_eq!(patched(json!({"a": 0}), &set, Some("high")).unwrap(), json!({"a": 2}));
        let error = patched(json!({"a": 0}), &set, Some("hihg")).unwrap_err().to_string();
        assert!(error.contains("`high`"), "{error}");
        assert!(patched(json!({"a": 0}), &set, None).unwrap_err().to_string().contains("2 patches"));
    }
}
