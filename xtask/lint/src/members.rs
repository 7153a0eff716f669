//! Associated items, fields and the types of expressions, as far as declarations tell them.

use std::collections::HashMap;

use syn::{
    GenericArgument, ImplItem, Item, PathArguments, ReturnType, TraitItem, Type, TypeParamBound,
};

use crate::modules::Modules;
use crate::syntax::{items_within, segments};

/// Aliases and pointers that are followed before a type is given up as endless.
const MAX_DEPTH: u8 = 8;

/// An associated item.
#[derive(Clone, Copy)]
pub(crate) struct Member {
    /// The file that holds the item.
    pub(crate) file: usize,
    /// The crate's item that a function returns.
    pub(crate) returns: Option<usize>,
}

/// Associated items and fields of a crate, by the type or trait and the name.
#[derive(Default)]
pub(crate) struct Members {
    members: HashMap<(usize, String), Member>,
    fields: HashMap<(usize, String), usize>,
}

impl Members {
    /// Adds the associated items and fields that a file declares.
    pub(crate) fn add(
        &mut self,
        modules: &Modules,
        syntax: &syn::File,
        file: usize,
        module: usize,
    ) {
        for (inner, item) in items_within(syntax) {
            let at = modules.inner(module, &inner);
            let named = |name: &syn::Ident| modules.resolve(at, &[name.to_string()]);
            let owner = match item {
                Item::Impl(node) if node.trait_.is_none() => {
                    type_named(modules, at, &node.self_ty, None)
                }
                Item::Trait(node) => named(&node.ident).map(|found| found.0),
                Item::Struct(node) => named(&node.ident).map(|found| found.0),
                _ => None,
            };
            if let Some(owner) = owner {
                self.add_item(modules, item, owner, file, at);
            }
        }
    }

    fn add_item(&mut self, modules: &Modules, item: &Item, owner: usize, file: usize, at: usize) {
        let mut add = |name: &syn::Ident, output: Option<&ReturnType>| {
            let returns = match output {
                Some(ReturnType::Type(_, kind)) => type_named(modules, at, kind, Some(owner)),
                _ => None,
            };
            let member = Member { file, returns };
            self.members.insert((owner, name.to_string()), member);
        };
        match item {
            Item::Impl(node) => node.items.iter().for_each(|item| match item {
                ImplItem::Fn(node) => add(&node.sig.ident, Some(&node.sig.output)),
                ImplItem::Const(node) => add(&node.ident, None),
                _ => {}
            }),
            Item::Trait(node) => node.items.iter().for_each(|item| {
                if let TraitItem::Fn(node) = item {
                    add(&node.sig.ident, Some(&node.sig.output));
                }
            }),
            Item::Struct(node) => {
                for (index, field) in node.fields.iter().enumerate() {
                    let name = field.ident.as_ref().map(ToString::to_string);
                    if let Some(kind) = type_named(modules, at, &field.ty, Some(owner)) {
                        let name = name.unwrap_or_else(|| index.to_string());
                        self.fields.insert((owner, name), kind);
                    }
                }
            }
            _ => {}
        }
    }

    pub(crate) fn member(&self, owner: usize, name: &str) -> Option<Member> {
        self.members.get(&(owner, name.to_owned())).copied()
    }

    /// The crate's item that is the type of a field.
    pub(crate) fn field(&self, owner: usize, name: &str) -> Option<usize> {
        self.fields.get(&(owner, name.to_owned())).copied()
    }
}

/// The crate's item that a type is, without references and smart pointers; `own` is `Self`.
pub(crate) fn type_named(
    modules: &Modules,
    module: usize,
    kind: &Type,
    own: Option<usize>,
) -> Option<usize> {
    type_within(modules, module, kind, own, MAX_DEPTH)
}

fn type_within(
    modules: &Modules,
    module: usize,
    kind: &Type,
    own: Option<usize>,
    depth: u8,
) -> Option<usize> {
    let depth = depth.checked_sub(1)?;
    let within = |kind: &Type| type_within(modules, module, kind, own, depth);
    let bounds = match kind {
        Type::Reference(node) => return within(&node.elem),
        Type::Paren(node) => return within(&node.elem),
        Type::Group(node) => return within(&node.elem),
        Type::ImplTrait(node) => &node.bounds,
        Type::TraitObject(node) => &node.bounds,
        Type::Path(node) if node.path.is_ident("Self") => return own,
        Type::Path(node) if node.qself.is_none() => {
            let Some((item, _)) = modules.resolve(module, &segments(&node.path)) else {
                return within(pointee(&node.path)?);
            };
            let found = modules.definition(item);
            return match &found.alias {
                Some(kind) => type_within(modules, found.module, kind, None, depth),
                None => Some(item),
            };
        }
        _ => return None,
    };
    bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => {
            let found = modules.resolve(module, &segments(&bound.path));
            found.map(|(item, _)| item)
        }
        _ => None,
    })
}

/// The type that a smart pointer points to.
fn pointee(path: &syn::Path) -> Option<&Type> {
    let last = path.segments.last()?;
    let mut pointers = ["Arc", "Rc", "Box", "Pin"].iter();
    match &last.arguments {
        PathArguments::AngleBracketed(list) if pointers.any(|name| last.ident == name) => {
            list.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(kind) => Some(kind),
                _ => None,
            })
        }
        _ => None,
    }
}
