//! Helpers for syntax trees: paths, imports, and the items of a file.

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{FnArg, Item, ItemUse, Pat, Type, UseTree};

use crate::modules::Space;
use crate::source::{of_item, only_for_tests};

/// The segments of a path, without generic arguments.
pub(crate) fn segments(path: &syn::Path) -> Vec<String> {
    let segments = path.segments.iter();
    segments.map(|segment| segment.ident.to_string()).collect()
}

/// Name and declared type of a function's argument.
pub(crate) fn declared(argument: &FnArg) -> Option<(String, &Type)> {
    match argument {
        FnArg::Typed(node) => match &*node.pat {
            Pat::Ident(name) => Some((name.ident.to_string(), &node.ty)),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    }
}

/// An import: the name that it gets, `*` for a glob, and the path that it comes from.
pub(crate) type Import = (String, Vec<String>);

/// Splits a `use` item into its imports.
pub(crate) fn imports_of(node: &ItemUse) -> Vec<Import> {
    let mut out = Vec::new();
    if node.leading_colon.is_none() {
        split(&node.tree, &[], &mut out);
    }
    out
}

fn split(tree: &UseTree, path: &[String], out: &mut Vec<Import>) {
    let longer = |name: &syn::Ident| match name.to_string().as_str() {
        "self" => path.to_vec(),
        name => [path, &[name.to_owned()]].concat(),
    };
    match tree {
        UseTree::Path(node) => split(&node.tree, &[path, &[node.ident.to_string()]].concat(), out),
        UseTree::Name(node) => {
            let path = longer(&node.ident);
            out.push((path.last().cloned().unwrap_or_default(), path));
        }
        UseTree::Rename(node) => out.push((node.rename.to_string(), longer(&node.ident))),
        UseTree::Glob(_) => out.push(("*".to_owned(), path.to_vec())),
        UseTree::Group(node) => node.items.iter().for_each(|tree| split(tree, path, out)),
    }
}

/// The imports of an item: its own if it is a `use`, and those within functions.
pub(crate) fn imports_within(item: &Item) -> Vec<Import> {
    let mut uses = Uses(Vec::new());
    uses.visit_item(item);
    uses.0
}

struct Uses(Vec<Import>);

impl<'ast> Visit<'ast> for Uses {
    fn visit_item_use(&mut self, node: &'ast ItemUse) {
        if !only_for_tests(&node.attrs) {
            self.0.extend(imports_of(node));
        }
    }

    fn visit_item_mod(&mut self, _: &'ast syn::ItemMod) {}
}

/// The items of a file without its tests, each with the names of the inline modules it is in.
pub(crate) fn items_within(file: &syn::File) -> Vec<(Vec<String>, &Item)> {
    let mut items = Items::default();
    items.visit_file(file);
    items.found
}

#[derive(Default)]
struct Items<'ast> {
    found: Vec<(Vec<String>, &'ast Item)>,
    modules: Vec<String>,
}

impl<'ast> Visit<'ast> for Items<'ast> {
    fn visit_item(&mut self, node: &'ast Item) {
        if only_for_tests(of_item(node)) {
            return;
        }
        self.found.push((self.modules.clone(), node));
        if let Item::Mod(module) = node {
            self.modules.push(module.ident.to_string());
            visit::visit_item(self, node);
            self.modules.pop();
        } else {
            visit::visit_item(self, node);
        }
    }
}

/// Finds `struct Name`, `static NAME` and the like in a macro's tokens.
pub(crate) fn defined_names(tokens: TokenStream, out: &mut Vec<(Space, String)>) {
    let mut before = String::new();
    for token in tokens {
        let mut word = String::new();
        match token {
            TokenTree::Group(group) => defined_names(group.stream(), out),
            TokenTree::Ident(name) => {
                word = name.to_string();
                match before.as_str() {
                    "struct" | "enum" | "trait" | "type" | "union" => {
                        out.push((Space::Type, word.clone()));
                    }
                    "static" | "const" | "fn" => out.push((Space::Value, word.clone())),
                    _ => {}
                }
            }
            _ => {}
        }
        before = word;
    }
}
