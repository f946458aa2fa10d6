//! Friends of a tree: other trees with as many entries, whose branches are read beside its own as `friend.branch`.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrow_array::ArrayRef;
use fb_core::Unit;

use super::bytes::Fault;
use super::file::File;
use super::object::Infos;
use super::tree::{CLASSES, Tree};
use crate::Result;
use crate::table::{Branch, Table};

/// Friends of a tree that are opened.
const MOST: usize = 64;

/// What a tree says of a friend.
pub(super) struct Link {
    /// What the friend is called: its own name, where no other was given.
    pub(super) alias: String,
    pub(super) tree: String,
    /// Its file; nothing for the tree's own.
    pub(super) file: String,
}

/// A tree with its friends. Friends of friends are not asked.
struct Joined {
    tree: Tree,
    friends: Vec<Tree>,
    branches: Vec<Branch>,
    /// For branches behind the tree's own: the friend and the branch in it.
    sources: Vec<Option<(usize, usize)>>,
}

/// The tree with the branches of its friends. A friend that cannot be read is a branch that says why.
pub(super) fn join(mut tree: Tree, file: &Arc<File>, infos: &Infos) -> Box<dyn Table> {
    let links = std::mem::take(&mut tree.friends);
    if links.is_empty() {
        return Box::new(tree);
    }
    let (mut branches, mut friends, mut sources) = (tree.branches().to_vec(), Vec::new(), Vec::new());
    for link in links.iter().take(MOST) {
        match link.open(file, infos, tree.entries()) {
            Ok(friend) => {
                for (i, branch) in friend.branches().iter().enumerate() {
                    let name = format!("{}.{}", link.alias, branch.name);
                    if branches.iter().all(|other| other.name != name) {
                        branches.push(Branch { name, ..branch.clone() });
                        sources.push(Some((friends.len(), i)));
                    }
                }
                friends.push(friend);
            }
            Err(reason) => {
                let (name, type_name) = (format!("{}.*", link.alias), "friend".to_owned());
                branches.push(Branch { name, type_name, content: Err(reason), unit: Unit::Unknown });
                sources.push(None);
            }
        }
    }
    Box::new(Joined { tree, friends, branches, sources })
}

impl Link {
    fn open(&self, file: &Arc<File>, infos: &Infos, entries: u64) -> Fault<Tree> {
        let whole = |error: crate::Error| format!("the friend `{}`: {error}", self.tree);
        let beside = file.path().parent().unwrap_or(Path::new("")).join(&self.file);
        let is_own = self.file.is_empty() || same(&beside, file.path());
        let tree = if is_own {
            self.tree_of(file, infos)?
        } else {
            // A file may name any path, so only what is a plain file is opened.
            if !beside.is_file() {
                let reason = "is not a file here (looked for beside the tree's own)";
                return Err(format!("the friend `{}`: `{}` {reason}", self.tree, self.file));
            }
            let other = Arc::new(File::open(&beside).map_err(whole)?);
            let infos = Infos::read(&other).map_err(|reason| format!("the friend `{}`: {reason}", self.tree))?;
            self.tree_of(&other, &infos)?
        };
        if tree.entries() != entries {
            return Err(format!("the friend `{}` has {} entries, expected {entries}", self.tree, tree.entries()));
        }
        Ok(tree)
    }

    fn tree_of(&self, file: &Arc<File>, infos: &Infos) -> Fault<Tree> {
        let is_it = |key: &&super::file::Key| key.path == self.tree && CLASSES.contains(&key.class.as_str());
        let Some(key) = file.keys.iter().find(is_it) else {
            return Err(format!("the friend `{}` is not a tree of {}", self.tree, file.path().display()));
        };
        Tree::open(file, infos, key).map_err(|error| format!("the friend `{}`: {error}", self.tree))
    }
}

/// Whether two paths are one file.
fn same(a: &Path, b: &Path) -> bool {
    a == b || a.canonicalize().ok().zip(b.canonicalize().ok()).is_some_and(|(a, b)| a == b)
}

impl Joined {
    /// The table that holds a branch, and which of its branches that is.
    fn source(&self, branch: usize) -> Option<(&Tree, usize)> {
        let own = self.tree.branches().len();
        if branch < own {
            return Some((&self.tree, branch));
        }
        let (friend, branch) = (*self.sources.get(branch - own)?)?;
        Some((self.friends.get(friend)?, branch))
    }
}

impl Table for Joined {
    fn name(&self) -> &str {
        self.tree.name()
    }

    fn kind(&self) -> &'static str {
        self.tree.kind()
    }

    fn entries(&self) -> u64 {
        self.tree.entries()
    }

    fn branches(&self) -> &[Branch] {
        &self.branches
    }

    fn clusters(&self) -> Vec<Range<u64>> {
        self.tree.clusters()
    }

    fn parts(&self, branch: usize, entries: Range<u64>, n: usize) -> Vec<Range<u64>> {
        match self.source(branch) {
            Some((tree, branch)) => tree.parts(branch, entries, n),
            None => vec![entries],
        }
    }

    fn read(&self, branches: &[usize], entries: Range<u64>) -> Result<Vec<ArrayRef>> {
        let mut arrays = Vec::with_capacity(branches.len());
        for &branch in branches {
            let Some((tree, at)) = self.source(branch) else {
                let name = self.branches.get(branch).map_or("?", |branch| &branch.name);
                let place = format!("tree `{}`, branch `{name}`", self.name());
                return Err(self.tree.file().corrupt(place, "the friend is not read"));
            };
            arrays.extend(tree.read(&[at], entries.clone())?);
        }
        Ok(arrays)
    }
}
