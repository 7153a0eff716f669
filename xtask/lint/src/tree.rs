//! The modules of a crate, and the lookup of a path in them.
//!
//! Imports, renames and re-exports, globs included, lead to the file that defines the item. A path that
//! begins with no name of the crate leads to another crate, and to no file.

use std::collections::{HashMap, HashSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{
    FnArg, ImplItem, Item, ItemUse, Pat, ReturnType, TraitItem, Type, TypeParamBound, UseTree,
};

use crate::source::{File, Texts, of_item, only_for_tests};

/// The namespaces of Rust.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    Type,
    Value,
    Macro,
}

/// A path's meaning: a module or an item, by index.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Module(usize),
    Item(usize),
}

/// An item that a file defines.
pub(crate) struct Definition {
    pub(crate) file: usize,
    pub(crate) name: String,
    module: usize,
    variants: Vec<String>,
    /// The type that a `type` item stands for.
    alias: Option<Type>,
}

/// An associated item, or a field: the file that defines it, and its type if that is one of the crate.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    pub(crate) file: usize,
    pub(crate) returns: Option<usize>,
}

#[derive(Default)]
struct Module {
    parent: Option<usize>,
    names: HashMap<(Space, String), Target>,
    imports: HashMap<String, Vec<Vec<String>>>,
    globs: Vec<Vec<String>>,
}

/// A crate's files and the items in them.
#[derive(Default)]
pub(crate) struct Crate {
    pub(crate) files: Vec<File>,
    /// The module of each file; none for a file that no `mod` leads to.
    pub(crate) module_of: HashMap<usize, usize>,
    pub(crate) definitions: Vec<Definition>,
    modules: Vec<Module>,
    members: HashMap<(usize, String), Member>,
    fields: HashMap<(usize, String), usize>,
}

impl Crate {
    /// Parses the files of one `src` folder.
    pub(crate) fn parse(texts: &Texts) -> Result<Self, String> {
        let mut tree = Self::default();
        for path in texts.keys().filter(|path| is_root(path)) {
            tree.load(texts, path, None, false)?;
        }
        for (path, text) in texts {
            if !tree.files.iter().any(|file| file.path == *path) {
                tree.files.push(File::parse(path, text, false)?);
            }
        }
        tree.collect_members();
        Ok(tree)
    }

    /// Parses one file and those that its `mod` items lead to; returns its module.
    fn load(
        &mut self,
        texts: &Texts,
        path: &str,
        parent: Option<usize>,
        only_tests: bool,
    ) -> Result<usize, String> {
        let parsed = File::parse(path, &texts[path], only_tests)?;
        let items = parsed.syntax.items.clone();
        self.files.push(parsed);
        let (file, module) = (self.files.len() - 1, self.modules.len());
        self.modules.push(Module {
            parent,
            ..Module::default()
        });
        self.module_of.insert(file, module);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let stem = name.trim_end_matches(".rs");
        let children = match stem == "mod" || is_root(path) {
            true => folder.to_owned(),
            false => format!("{folder}/{stem}"),
        };
        self.collect(texts, &items, file, module, &children)?;
        Ok(module)
    }

    /// Enters the names that the items define or import into the module.
    fn collect(
        &mut self,
        texts: &Texts,
        items: &[Item],
        file: usize,
        module: usize,
        folder: &str,
    ) -> Result<(), String> {
        for item in items {
            let only_tests = self.files[file].only_tests || only_for_tests(of_item(item));
            match item {
                Item::Mod(node) => {
                    let name = node.ident.to_string();
                    let child = if let Some((_, items)) = &node.content {
                        if only_tests {
                            continue;
                        }
                        let child = self.modules.len();
                        self.modules.push(Module {
                            parent: Some(module),
                            ..Module::default()
                        });
                        self.collect(texts, items, file, child, &format!("{folder}/{name}"))?;
                        child
                    } else {
                        let path = self.file_of_module(texts, node, file, folder)?;
                        self.load(texts, &path, Some(module), only_tests)?
                    };
                    if !only_tests {
                        let mut names = vec![((Space::Type, name), Target::Module(child))];
                        if node.attrs.iter().any(|it| it.path().is_ident("macro_use")) {
                            let macros = self.modules[child].names.iter();
                            names.extend(
                                macros
                                    .filter(|((space, _), _)| *space == Space::Macro)
                                    .map(|(key, target)| (key.clone(), *target)),
                            );
                        }
                        self.modules[module].names.extend(names);
                    }
                }
                _ if only_tests => {}
                _ => self.collect_item(item, file, module),
            }
        }
        Ok(())
    }

    fn file_of_module(
        &self,
        texts: &Texts,
        node: &syn::ItemMod,
        file: usize,
        folder: &str,
    ) -> Result<String, String> {
        let name = &node.ident;
        let mut paths = vec![
            format!("{folder}/{name}.rs"),
            format!("{folder}/{name}/mod.rs"),
        ];
        for attribute in node.attrs.iter().filter(|it| it.path().is_ident("path")) {
            if let syn::Meta::NameValue(pair) = &attribute.meta
                && let syn::Expr::Lit(literal) = &pair.value
                && let syn::Lit::Str(text) = &literal.lit
            {
                let own = &self.files[file].path;
                let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
                paths = vec![format!("{folder}/{}", text.value())];
            }
        }
        let found = paths.iter().find(|path| texts.contains_key(*path));
        found.cloned().ok_or_else(|| {
            let own = &self.files[file].path;
            format!(
                "{own}: no file for `mod {name}`; expected {}",
                paths.join(" or ")
            )
        })
    }

    fn collect_item(&mut self, item: &Item, file: usize, module: usize) {
        use Space::{Type, Value};
        let mut uses = Uses::default();
        uses.visit_item(item);
        for (name, path) in uses.imports {
            let imports = &mut self.modules[module].imports;
            imports.entry(name).or_default().push(path);
        }
        self.modules[module].globs.append(&mut uses.globs);
        let (spaces, name): (&[Space], String) = match item {
            Item::Const(node) => (&[Value], node.ident.to_string()),
            Item::Static(node) => (&[Value], node.ident.to_string()),
            Item::Fn(node) => (&[Value], node.sig.ident.to_string()),
            Item::Enum(node) => (&[Type], node.ident.to_string()),
            Item::Trait(node) => (&[Type], node.ident.to_string()),
            Item::Type(node) => (&[Type], node.ident.to_string()),
            Item::Union(node) => (&[Type], node.ident.to_string()),
            Item::Struct(node) => (&[Type, Value], node.ident.to_string()),
            Item::Macro(node) => return self.collect_macro(node, file, module),
            _ => return,
        };
        let index = self.define(file, module, name, spaces);
        match item {
            Item::Enum(node) => {
                let variants = node.variants.iter();
                self.definitions[index].variants =
                    variants.map(|variant| variant.ident.to_string()).collect();
            }
            Item::Type(node) => self.definitions[index].alias = Some((*node.ty).clone()),
            _ => {}
        }
    }

    fn define(&mut self, file: usize, module: usize, name: String, spaces: &[Space]) -> usize {
        let index = self.definitions.len();
        for space in spaces {
            let key = (*space, name.clone());
            self.modules[module].names.insert(key, Target::Item(index));
        }
        self.definitions.push(Definition {
            file,
            name,
            module,
            variants: Vec::new(),
            alias: None,
        });
        index
    }

    /// Enters a `macro_rules!`, and the items that a macro's tokens define by a literal name.
    fn collect_macro(&mut self, node: &syn::ItemMacro, file: usize, module: usize) {
        if let Some(name) = &node.ident {
            let index = self.define(file, module, name.to_string(), &[Space::Macro]);
            let exported = |it: &syn::Attribute| it.path().is_ident("macro_export");
            if node.attrs.iter().any(exported) {
                let root = self.root(module);
                let key = (Space::Macro, name.to_string());
                self.modules[root].names.insert(key, Target::Item(index));
            }
        }
        let mut names = Vec::new();
        defined_names(node.mac.tokens.clone(), &mut names);
        for (space, name) in names {
            if !self.modules[module]
                .names
                .contains_key(&(space, name.clone()))
            {
                self.define(file, module, name, &[space]);
            }
        }
    }

    /// Enters associated items and fields, for expressions whose type is known.
    fn collect_members(&mut self) {
        let mut members = Vec::new();
        let mut fields = Vec::new();
        for (&file, &module) in &self.module_of {
            let source = &self.files[file];
            let mut blocks = Blocks::default();
            if !source.only_tests {
                blocks.visit_file(&source.syntax);
            }
            for (owner, item) in blocks.0 {
                let at = self.inner_module(module, &owner);
                match item {
                    Item::Impl(node) if node.trait_.is_none() => {
                        let Some(owner) = self.type_named(at, &node.self_ty, None) else {
                            continue;
                        };
                        for item in &node.items {
                            let (name, returns) = match item {
                                ImplItem::Fn(node) => (&node.sig.ident, Some(&node.sig.output)),
                                ImplItem::Const(node) => (&node.ident, None),
                                _ => continue,
                            };
                            let returns = returns.and_then(|it| self.returned(at, it, owner));
                            members.push((owner, name.to_string(), Member { file, returns }));
                        }
                    }
                    Item::Trait(node) => {
                        let path = [node.ident.to_string()];
                        let Some((owner, _)) = self.resolve(at, &path) else {
                            continue;
                        };
                        for item in &node.items {
                            if let TraitItem::Fn(node) = item {
                                let returns = self.returned(at, &node.sig.output, owner);
                                let name = node.sig.ident.to_string();
                                members.push((owner, name, Member { file, returns }));
                            }
                        }
                    }
                    Item::Struct(node) => {
                        let path = [node.ident.to_string()];
                        let Some((owner, _)) = self.resolve(at, &path) else {
                            continue;
                        };
                        for (index, field) in node.fields.iter().enumerate() {
                            let name = field.ident.as_ref().map(ToString::to_string);
                            if let Some(kind) = self.type_named(at, &field.ty, Some(owner)) {
                                fields.push((owner, name.unwrap_or(index.to_string()), kind));
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        let keyed = |(owner, name, member)| ((owner, name), member);
        self.members = members.into_iter().map(keyed).collect();
        self.fields = fields
            .into_iter()
            .map(|(owner, name, kind)| ((owner, name), kind))
            .collect();
    }

    fn returned(&self, module: usize, output: &ReturnType, owner: usize) -> Option<usize> {
        match output {
            ReturnType::Type(_, kind) => self.type_named(module, kind, Some(owner)),
            ReturnType::Default => None,
        }
    }

    pub(crate) fn member(&self, owner: usize, name: &str) -> Option<Member> {
        self.members.get(&(owner, name.to_owned())).copied()
    }

    pub(crate) fn field(&self, owner: usize, name: &str) -> Option<usize> {
        self.fields.get(&(owner, name.to_owned())).copied()
    }

    /// The module that the inline `mod` items named lead to from a file's module.
    pub(crate) fn inner_module(&self, module: usize, names: &[String]) -> usize {
        names.iter().fold(module, |at, name| {
            let key = (Space::Type, name.clone());
            match self.modules[at].names.get(&key) {
                Some(Target::Module(child)) => *child,
                _ => at,
            }
        })
    }

    /// The crate's item that a type is, without references and smart pointers.
    pub(crate) fn type_named(
        &self,
        module: usize,
        kind: &Type,
        own: Option<usize>,
    ) -> Option<usize> {
        self.type_within(module, kind, own, 8)
    }

    fn type_within(
        &self,
        module: usize,
        kind: &Type,
        own: Option<usize>,
        depth: u8,
    ) -> Option<usize> {
        let depth = depth.checked_sub(1)?;
        let bounds = match kind {
            Type::Reference(node) => return self.type_within(module, &node.elem, own, depth),
            Type::Paren(node) => return self.type_within(module, &node.elem, own, depth),
            Type::Group(node) => return self.type_within(module, &node.elem, own, depth),
            Type::ImplTrait(node) => &node.bounds,
            Type::TraitObject(node) => &node.bounds,
            Type::Path(node) if node.qself.is_none() => {
                let path = names(&node.path);
                if path == ["Self"] {
                    return own;
                }
                if let Some((item, _)) = self.resolve(module, &path) {
                    let found = &self.definitions[item];
                    return match &found.alias {
                        Some(kind) => self.type_within(found.module, kind, None, depth),
                        None => Some(item),
                    };
                }
                let last = node.path.segments.last()?;
                let pointer = ["Arc", "Rc", "Box", "Pin"]
                    .iter()
                    .any(|name| last.ident == name);
                let syn::PathArguments::AngleBracketed(arguments) = &last.arguments else {
                    return None;
                };
                return match arguments.args.first() {
                    Some(syn::GenericArgument::Type(kind)) if pointer => {
                        self.type_within(module, kind, own, depth)
                    }
                    _ => None,
                };
            }
            _ => return None,
        };
        bounds.iter().find_map(|bound| match bound {
            TypeParamBound::Trait(bound) => self
                .resolve(module, &names(&bound.path))
                .map(|(item, _)| item),
            _ => None,
        })
    }

    /// The item that a path names, and the number of segments up to it; what follows is associated with
    /// the item.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Option<(usize, usize)> {
        [Space::Type, Space::Value, Space::Macro]
            .into_iter()
            .find_map(
                |space| match self.walk(module, path, space, &mut HashSet::new())? {
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
        seen: &mut HashSet<(usize, Space, String)>,
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
        while let Some(name) = path.get(next) {
            let last = next + 1 == path.len();
            let space = if last { space } else { Space::Type };
            let found = self.lookup(at, space, name, seen).or_else(|| {
                // A macro is in scope in the modules below it.
                let above = self.modules[at].parent.filter(|_| space == Space::Macro)?;
                let whole = next == 0;
                whole
                    .then(|| self.walk(above, path, space, seen))?
                    .map(|found| found.0)
            });
            next += 1;
            match found? {
                Target::Module(child) => at = child,
                item => return Some((item, next)),
            }
        }
        Some((Target::Module(at), next))
    }

    fn lookup(
        &self,
        module: usize,
        space: Space,
        name: &str,
        seen: &mut HashSet<(usize, Space, String)>,
    ) -> Option<Target> {
        if !seen.insert((module, space, name.to_owned())) {
            return None;
        }
        let here = &self.modules[module];
        if let Some(found) = here.names.get(&(space, name.to_owned())) {
            return Some(*found);
        }
        for path in here.imports.get(name).into_iter().flatten() {
            if let Some((found, _)) = self.walk(module, path, space, seen) {
                return Some(found);
            }
        }
        here.globs
            .iter()
            .find_map(|path| match self.walk(module, path, Space::Type, seen)?.0 {
                Target::Module(other) => self.lookup(other, space, name, seen),
                Target::Item(item) => {
                    let variants = &self.definitions[item].variants;
                    variants
                        .iter()
                        .any(|it| it == name)
                        .then_some(Target::Item(item))
                }
            })
    }

    fn root(&self, module: usize) -> usize {
        let mut at = module;
        while let Some(parent) = self.modules[at].parent {
            at = parent;
        }
        at
    }
}

/// The segments of a path, without generic arguments.
pub(crate) fn names(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

/// The type that an argument of a function declares, with the argument's name.
pub(crate) fn declared(argument: &FnArg) -> Option<(String, &Type)> {
    match argument {
        FnArg::Typed(node) => match &*node.pat {
            Pat::Ident(name) => Some((name.ident.to_string(), &node.ty)),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    }
}

/// Splits a `use` into the name it brings and the path it comes from; `*` is a glob.
pub(crate) fn flatten(node: &ItemUse) -> Vec<(String, Vec<String>)> {
    fn add(tree: &UseTree, path: &[String], out: &mut Vec<(String, Vec<String>)>) {
        let longer = |name: &syn::Ident| [path, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(node) => add(&node.tree, &longer(&node.ident), out),
            UseTree::Name(node) if node.ident == "self" => {
                out.push((path.last().cloned().unwrap_or_default(), path.to_vec()));
            }
            UseTree::Name(node) => out.push((node.ident.to_string(), longer(&node.ident))),
            UseTree::Rename(node) if node.ident == "self" => {
                out.push((node.rename.to_string(), path.to_vec()));
            }
            UseTree::Rename(node) => out.push((node.rename.to_string(), longer(&node.ident))),
            UseTree::Glob(_) => out.push(("*".to_owned(), path.to_vec())),
            UseTree::Group(node) => node.items.iter().for_each(|tree| add(tree, path, out)),
        }
    }
    let mut out = Vec::new();
    if node.leading_colon.is_none() {
        add(&node.tree, &[], &mut out);
    }
    out
}

fn is_root(path: &str) -> bool {
    ["/src/lib.rs", "/src/main.rs"]
        .iter()
        .any(|end| path.ends_with(end))
        || path.contains("/src/bin/")
}

/// Collects the imports of an item, those within functions too.
#[derive(Default)]
struct Uses {
    imports: Vec<(String, Vec<String>)>,
    globs: Vec<Vec<String>>,
}

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, node: &'ast ItemUse) {
        if only_for_tests(&node.attrs) {
            return;
        }
        for (name, path) in flatten(node) {
            match name.as_str() {
                "*" => self.globs.push(path),
                _ => self.imports.push((name, path)),
            }
        }
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}
}

/// Collects a file's items with the names of the inline modules they are in.
#[derive(Default)]
struct Blocks<'ast>(Vec<(Vec<String>, &'ast Item)>, Vec<String>);

impl<'ast> Visit<'ast> for Blocks<'ast> {
    fn visit_item(&mut self, node: &'ast Item) {
        if only_for_tests(of_item(node)) {
            return;
        }
        self.0.push((self.1.clone(), node));
        match node {
            Item::Mod(module) => {
                self.1.push(module.ident.to_string());
                visit::visit_item(self, node);
                self.1.pop();
            }
            _ => visit::visit_item(self, node),
        }
    }
}

/// Finds `struct Name`, `static NAME` and the like in a macro's tokens.
fn defined_names(tokens: TokenStream, out: &mut Vec<(Space, String)>) {
    let mut before = None;
    for token in tokens {
        match &token {
            TokenTree::Group(group) => defined_names(group.stream(), out),
            TokenTree::Ident(name) => {
                let space = match before.as_deref() {
                    Some("struct" | "enum" | "trait" | "type" | "union") => Some(Space::Type),
                    Some("static" | "const" | "fn") => Some(Space::Value),
                    _ => None,
                };
                if let Some(space) = space {
                    out.push((space, name.to_string()));
                }
                before = Some(name.to_string());
                continue;
            }
            _ => {}
        }
        before = None;
    }
}
