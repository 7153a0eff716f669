//! Source files: reading them, parsing them, and telling test code from the rest.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Meta, Stmt, Token, TraitItem};

/// Texts of a folder's `.rs` files, by path; the separator is `/`.
pub(crate) type Texts = BTreeMap<String, String>;

/// A parsed file.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) syntax: syn::File,
    /// True if only `#[cfg(test)]` modules lead to the file.
    pub(crate) only_tests: bool,
    /// First and last line of each item that is compiled only for tests.
    tests: Vec<(usize, usize)>,
}

impl File {
    pub(crate) fn parse(path: &str, text: &str, only_tests: bool) -> Result<Self, String> {
        let syntax = syn::parse_file(text).map_err(|error| {
            let line = error.span().start().line;
            format!("{path}:{line}: cannot be parsed: {error}")
        })?;
        let mut found = TestLines(Vec::new());
        found.visit_file(&syntax);
        Ok(Self {
            path: path.to_owned(),
            syntax,
            only_tests,
            tests: found.0,
        })
    }

    /// Returns true if the line belongs to test code.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        let within = |&(first, last): &(usize, usize)| (first..=last).contains(&line);
        self.only_tests || self.tests.iter().any(within)
    }
}

/// Reads every `.rs` file below `root/folder`; the paths returned are relative to `root`.
pub(crate) fn read(root: &Path, folder: &str) -> Result<Texts, String> {
    let mut texts = Texts::new();
    let failed = |path: &str, error: &std::io::Error| {
        format!("{path} cannot be read: {error}; check --root")
    };
    let entries = fs::read_dir(root.join(folder)).map_err(|error| failed(folder, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| failed(folder, &error))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{folder}/{name}");
        if entry.path().is_dir() {
            if name != "target" {
                texts.append(&mut read(root, &path)?);
            }
        } else if name.ends_with(".rs") {
            let text = fs::read_to_string(entry.path()).map_err(|error| failed(&path, &error))?;
            texts.insert(path, text);
        }
    }
    Ok(texts)
}

/// Names of the folders in `root/crates`, sorted.
pub(crate) fn crates(root: &Path) -> Result<Vec<String>, String> {
    let entries = fs::read_dir(root.join("crates")).map_err(|error| {
        format!(
            "{} cannot be read: {error}; check --root",
            root.join("crates").display()
        )
    })?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().join("src").is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    Ok(names)
}

/// Returns true if the attributes leave the item out unless tests are compiled.
pub(crate) fn only_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let path = attribute.path();
        let test = path
            .segments
            .last()
            .is_some_and(|last| last.ident == "test");
        let predicate = || attribute.parse_args::<Meta>().ok();
        test || path.is_ident("cfg") && predicate().and_then(|meta| holds(&meta)) == Some(false)
    })
}

/// Value of a `cfg` predicate when tests are not compiled; `None` if that depends on other options.
fn holds(predicate: &Meta) -> Option<bool> {
    if predicate.path().is_ident("test") {
        return Some(false);
    }
    let Meta::List(list) = predicate else {
        return None;
    };
    let parsed = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated);
    let values: Vec<Option<bool>> = parsed.ok()?.iter().map(holds).collect();
    let (decides, name) = match list.path.get_ident()?.to_string().as_str() {
        "not" => return values.first().copied().flatten().map(|value| !value),
        "all" => (false, "all"),
        "any" => (true, "any"),
        _ => return None,
    };
    if values.contains(&Some(decides)) {
        return Some(decides);
    }
    let known = values.iter().all(Option::is_some);
    known.then_some(name == "all")
}

/// Collects the lines of whatever is compiled only for tests.
struct TestLines(Vec<(usize, usize)>);

impl TestLines {
    fn note(&mut self, attributes: &[Attribute], node: &impl Spanned) {
        if let Some(first) = attributes.first()
            && only_for_tests(attributes)
        {
            let (first, node) = (first.span().start().line, node.span());
            self.0.push((first.min(node.start().line), node.end().line));
        }
    }
}

/// Attributes of an enum's value, whichever of the variants it is.
macro_rules! attributes {
    ($node:expr, $kind:ident: $($variant:ident)*) => {
        match $node {
            $($kind::$variant(node) => &node.attrs,)*
            _ => &[][..],
        }
    };
}

/// Attributes of an item.
pub(crate) fn of_item(item: &Item) -> &[Attribute] {
    attributes!(item, Item: Const Enum ExternCrate Fn ForeignMod Impl Macro Mod Static Struct Trait
        TraitAlias Type Union Use)
}

impl<'ast> Visit<'ast> for TestLines {
    fn visit_item(&mut self, node: &'ast Item) {
        self.note(of_item(node), node);
        visit::visit_item(self, node);
    }

    fn visit_impl_item(&mut self, node: &'ast ImplItem) {
        let found = attributes!(node, ImplItem: Const Fn Type Macro);
        self.note(found, node);
        visit::visit_impl_item(self, node);
    }

    fn visit_trait_item(&mut self, node: &'ast TraitItem) {
        let found = attributes!(node, TraitItem: Const Fn Type Macro);
        self.note(found, node);
        visit::visit_trait_item(self, node);
    }

    fn visit_stmt(&mut self, node: &'ast Stmt) {
        let found = match node {
            Stmt::Local(local) => &local.attrs,
            Stmt::Macro(call) => &call.attrs,
            Stmt::Expr(expression, _) => {
                attributes!(expression, Expr: Assign Binary Block Call ForLoop
                If Macro Match MethodCall Unsafe While)
            }
            Stmt::Item(_) => &[][..],
        };
        self.note(found, node);
        visit::visit_stmt(self, node);
    }

    fn visit_field(&mut self, node: &'ast syn::Field) {
        self.note(&node.attrs, node);
        visit::visit_field(self, node);
    }

    fn visit_field_value(&mut self, node: &'ast syn::FieldValue) {
        self.note(&node.attrs, node);
        visit::visit_field_value(self, node);
    }

    fn visit_variant(&mut self, node: &'ast syn::Variant) {
        self.note(&node.attrs, node);
        visit::visit_variant(self, node);
    }

    fn visit_arm(&mut self, node: &'ast syn::Arm) {
        self.note(&node.attrs, node);
        visit::visit_arm(self, node);
    }
}
