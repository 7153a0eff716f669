//! A crate's files, parsed, with the modules that they make.

use std::collections::HashMap;

use syn::{Expr, Item, ItemMacro, ItemMod, Lit, Meta};

use crate::members::Members;
use crate::modules::{Modules, Space};
use crate::source::{File, Texts, of_item, only_for_tests};
use crate::syntax::{defined_names, imports_within};

/// The files of one `src` folder.
#[derive(Default)]
pub(crate) struct Crate {
    pub(crate) files: Vec<File>,
    /// The module of each file; none for a file that no `mod` item leads to.
    pub(crate) module_of: HashMap<usize, usize>,
    pub(crate) modules: Modules,
    pub(crate) members: Members,
}

/// The place of items that are being entered.
#[derive(Clone)]
struct Place {
    file: usize,
    module: usize,
    /// The folder of the files that `mod` items lead to.
    folder: String,
    only_tests: bool,
}

impl Crate {
    /// Parses the files.
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
        for (&file, &module) in &tree.module_of {
            let source = &tree.files[file];
            if !source.only_tests {
                tree.members
                    .add(&tree.modules, &source.syntax, file, module);
            }
        }
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
        let (file, module) = (self.files.len(), self.modules.add(parent));
        self.files.push(parsed);
        self.module_of.insert(file, module);
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let folder = match name == "mod.rs" || is_root(path) {
            true => folder.to_owned(),
            false => path.trim_end_matches(".rs").to_owned(),
        };
        let place = Place {
            file,
            module,
            folder,
            only_tests,
        };
        self.enter(texts, &items, &place)?;
        Ok(module)
    }

    /// Enters the names that the items define or import.
    fn enter(&mut self, texts: &Texts, items: &[Item], place: &Place) -> Result<(), String> {
        for item in items {
            let only_tests = place.only_tests || only_for_tests(of_item(item));
            match item {
                Item::Mod(node) => self.enter_module(texts, node, place, only_tests)?,
                _ if only_tests => {}
                _ => self.enter_item(item, place),
            }
        }
        Ok(())
    }

    fn enter_module(
        &mut self,
        texts: &Texts,
        node: &ItemMod,
        place: &Place,
        only_tests: bool,
    ) -> Result<(), String> {
        let name = node.ident.to_string();
        let child = match &node.content {
            Some((_, items)) => {
                let child = Place {
                    module: self.modules.add(Some(place.module)),
                    folder: format!("{}/{name}", place.folder),
                    only_tests,
                    ..*place
                };
                self.enter(texts, items, &child)?;
                child.module
            }
            None => {
                let path = self.file_of(texts, node, place)?;
                self.load(texts, &path, Some(place.module), only_tests)?
            }
        };
        if !only_tests {
            let with_macros = node.attrs.iter().any(|it| it.path().is_ident("macro_use"));
            self.modules.name(child, name, with_macros);
        }
        Ok(())
    }

    fn file_of(&self, texts: &Texts, node: &ItemMod, place: &Place) -> Result<String, String> {
        let (name, folder) = (&node.ident, &place.folder);
        let own = &self.files[place.file].path;
        let mut paths = vec![
            format!("{folder}/{name}.rs"),
            format!("{folder}/{name}/mod.rs"),
        ];
        for attribute in node.attrs.iter().filter(|it| it.path().is_ident("path")) {
            if let Meta::NameValue(pair) = &attribute.meta
                && let Expr::Lit(literal) = &pair.value
                && let Lit::Str(text) = &literal.lit
            {
                let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
                paths = vec![format!("{folder}/{}", text.value())];
            }
        }
        let found = paths.iter().find(|path| texts.contains_key(*path));
        found.cloned().ok_or_else(|| {
            let paths = paths.join(" or ");
            format!("{own}: no file for `mod {name}`; expected {paths}")
        })
    }

    fn enter_item(&mut self, item: &Item, place: &Place) {
        use Space::{Type, Value};
        for (name, path) in imports_within(item) {
            self.modules.import(place.module, name, path);
        }
        let (spaces, name): (&[Space], _) = match item {
            Item::Const(node) => (&[Value], &node.ident),
            Item::Static(node) => (&[Value], &node.ident),
            Item::Fn(node) => (&[Value], &node.sig.ident),
            Item::Enum(node) => (&[Type], &node.ident),
            Item::Trait(node) => (&[Type], &node.ident),
            Item::Type(node) => (&[Type], &node.ident),
            Item::Union(node) => (&[Type], &node.ident),
            Item::Struct(node) => (&[Type, Value], &node.ident),
            Item::Macro(node) => return self.enter_macro(node, place),
            _ => return,
        };
        let Place { file, module, .. } = *place;
        let index = self.modules.define(file, module, name.to_string(), spaces);
        let definition = self.modules.definition_mut(index);
        match item {
            Item::Enum(node) => {
                let variants = node.variants.iter();
                definition.variants = variants.map(|it| it.ident.to_string()).collect();
            }
            Item::Type(node) => definition.alias = Some((*node.ty).clone()),
            _ => {}
        }
    }

    /// Enters a `macro_rules!`, and the items that a macro's tokens define by a literal name.
    fn enter_macro(&mut self, node: &ItemMacro, place: &Place) {
        let Place { file, module, .. } = *place;
        if let Some(name) = &node.ident {
            let name = name.to_string();
            let index = self
                .modules
                .define(file, module, name.clone(), &[Space::Macro]);
            let mut attributes = node.attrs.iter();
            if attributes.any(|it| it.path().is_ident("macro_export")) {
                self.modules.export_macro(module, name, index);
            }
        }
        let mut names = Vec::new();
        defined_names(node.mac.tokens.clone(), &mut names);
        for (space, name) in names {
            if !self.modules.defines(module, space, &name) {
                self.modules.define(file, module, name, &[space]);
            }
        }
    }
}

/// Returns true for the first file of a library or a program.
fn is_root(path: &str) -> bool {
    let program = path.rsplit_once("/src/bin/").is_some_and(|(_, name)| {
        !name.contains('/') || name.ends_with("/main.rs") && name.matches('/').count() == 1
    });
    program || path.ends_with("/src/lib.rs") || path.ends_with("/src/main.rs")
}
