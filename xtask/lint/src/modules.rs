//! The modules of a crate, and the lookup of paths in them.
//!
//! Imports, renames and re-exports, globs included, lead to the file that defines the item. A path whose
//! first name is unknown in the crate belongs to another crate.

use std::collections::{HashMap, HashSet};

use syn::Type;

/// The namespaces of Rust.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    Type,
    Value,
    Macro,
}

/// Meaning of a name: a module or an item, by index.
#[derive(Clone, Copy)]
enum Target {
    Module(usize),
    Item(usize),
}

/// An item that a file defines.
pub(crate) struct Definition {
    pub(crate) file: usize,
    pub(crate) module: usize,
    pub(crate) name: String,
    /// Names of an enum's variants, which a glob import brings.
    pub(crate) variants: Vec<String>,
    /// The type that a `type` item stands for.
    pub(crate) alias: Option<Type>,
}

#[derive(Default)]
struct Module {
    parent: Option<usize>,
    names: HashMap<(Space, String), Target>,
    /// Paths that `use` items bring, by the name they get.
    imports: HashMap<String, Vec<Vec<String>>>,
    globs: Vec<Vec<String>>,
}

/// Names that a lookup has already tried, so that imports in a circle end it.
type Tried = HashSet<(usize, Space, String)>;

/// The modules of a crate and the items in them.
#[derive(Default)]
pub(crate) struct Modules {
    modules: Vec<Module>,
    definitions: Vec<Definition>,
}

impl Modules {
    /// Adds a module without a name, such as the root of a crate; returns its index.
    pub(crate) fn add(&mut self, parent: Option<usize>) -> usize {
        self.modules.push(Module {
            parent,
            ..Module::default()
        });
        self.modules.len() - 1
    }

    /// Gives a module its name in its parent; `#[macro_use]` brings its macros too.
    pub(crate) fn name(&mut self, child: usize, name: String, with_macros: bool) {
        let mut names = vec![((Space::Type, name), Target::Module(child))];
        if with_macros {
            let all = self.modules[child].names.iter();
            let macros = all.filter(|((space, _), _)| *space == Space::Macro);
            names.extend(macros.map(|(key, target)| (key.clone(), *target)));
        }
        if let Some(parent) = self.modules[child].parent {
            self.modules[parent].names.extend(names);
        }
    }

    /// Adds an item that a file defines in a module; returns its index.
    pub(crate) fn define(
        &mut self,
        file: usize,
        module: usize,
        name: String,
        spaces: &[Space],
    ) -> usize {
        let index = self.definitions.len();
        for space in spaces {
            let key = (*space, name.clone());
            self.modules[module].names.insert(key, Target::Item(index));
        }
        self.definitions.push(Definition {
            file,
            module,
            name,
            variants: Vec::new(),
            alias: None,
        });
        index
    }

    /// Makes a macro known in the root of the crate.
    pub(crate) fn export_macro(&mut self, module: usize, name: String, index: usize) {
        let root = self.root(module);
        let key = (Space::Macro, name);
        self.modules[root].names.insert(key, Target::Item(index));
    }

    /// Adds an import: `*` is a glob.
    pub(crate) fn import(&mut self, module: usize, name: String, path: Vec<String>) {
        let module = &mut self.modules[module];
        match name.as_str() {
            "*" => module.globs.push(path),
            _ => module.imports.entry(name).or_default().push(path),
        }
    }

    pub(crate) fn definition(&self, index: usize) -> &Definition {
        &self.definitions[index]
    }

    pub(crate) fn definition_mut(&mut self, index: usize) -> &mut Definition {
        &mut self.definitions[index]
    }

    /// Returns true if the module itself defines the name.
    pub(crate) fn defines(&self, module: usize, space: Space, name: &str) -> bool {
        let names = &self.modules[module].names;
        names.contains_key(&(space, name.to_owned()))
    }

    /// Follows the names of inline modules downwards.
    pub(crate) fn inner(&self, module: usize, names: &[String]) -> usize {
        names.iter().fold(module, |at, name| {
            let key = (Space::Type, name.clone());
            match self.modules[at].names.get(&key) {
                Some(Target::Module(child)) => *child,
                _ => at,
            }
        })
    }

    /// Finds the item that a path names, and the number of segments up to it; the segment after those is
    /// an associated item or a variant.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Option<(usize, usize)> {
        let mut spaces = [Space::Type, Space::Value, Space::Macro].into_iter();
        spaces.find_map(
            |space| match self.walk(module, path, space, &mut Tried::new())? {
                (Target::Item(item), length) => Some((item, length)),
                (Target::Module(_), _) => None,
            },
        )
    }

    fn walk(
        &self,
        module: usize,
        path: &[String],
        space: Space,
        tried: &mut Tried,
    ) -> Option<(Target, usize)> {
        let (mut at, mut next) = (module, 0);
        while let Some(name) = path.get(next) {
            at = match name.as_str() {
                "crate" => self.root(at),
                "self" => at,
                "super" => self.modules[at].parent?,
                _ => break,
            };
            next += 1;
        }
        if space == Space::Macro && path.len() == 1 {
            return Some((self.macro_in_scope(at, &path[0], tried)?, 1));
        }
        while let Some(name) = path.get(next) {
            next += 1;
            let space = match next == path.len() {
                true => space,
                false => Space::Type,
            };
            match self.lookup(at, space, name, tried)? {
                Target::Module(child) => at = child,
                item => return Some((item, next)),
            }
        }
        Some((Target::Module(at), next))
    }

    /// Finds a macro by its name alone, which is in scope in the modules below its own.
    fn macro_in_scope(&self, module: usize, name: &str, tried: &mut Tried) -> Option<Target> {
        let here = self.lookup(module, Space::Macro, name, tried);
        here.or_else(|| self.macro_in_scope(self.modules[module].parent?, name, tried))
    }

    fn lookup(&self, module: usize, space: Space, name: &str, tried: &mut Tried) -> Option<Target> {
        if !tried.insert((module, space, name.to_owned())) {
            return None;
        }
        let here = &self.modules[module];
        if let Some(found) = here.names.get(&(space, name.to_owned())) {
            return Some(*found);
        }
        for path in here.imports.get(name).into_iter().flatten() {
            if let Some((found, _)) = self.walk(module, path, space, tried) {
                return Some(found);
            }
        }
        here.globs.iter().find_map(
            |path| match self.walk(module, path, Space::Type, tried)?.0 {
                Target::Module(other) => self.lookup(other, space, name, tried),
                Target::Item(item) => {
                    let mut variants = self.definitions[item].variants.iter();
                    variants.any(|it| it == name).then_some(Target::Item(item))
                }
            },
        )
    }

    fn root(&self, module: usize) -> usize {
        let mut at = module;
        while let Some(parent) = self.modules[at].parent {
            at = parent;
        }
        at
    }
}
