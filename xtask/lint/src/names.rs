//! Names that a file uses: which of its paths lead to items of which other file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proc_macro2::{TokenStream, TokenTree};
use syn::parse::Parser as _;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, ImplItem, Item, Member, Meta, Pat, Signature, Token, TraitItem, Visibility};

use crate::members::type_named;
use crate::syntax::{declared, imports_of, segments};
use crate::tree::Crate;

/// Names by which one file depends on another, both by index.
pub(crate) type Edges = BTreeMap<(usize, usize), BTreeSet<String>>;

/// Finds the dependencies between a crate's files; `strict` adds re-exports and associated items.
pub(crate) fn edges(tree: &Crate, strict: bool) -> Edges {
    let mut edges = Edges::new();
    for (&file, &module) in &tree.module_of {
        if !tree.files[file].only_tests {
            let mut visitor = Names {
                tree,
                strict,
                file,
                module,
                own: None,
                locals: HashMap::new(),
                edges: &mut edges,
            };
            visitor.visit_file(&tree.files[file].syntax);
        }
    }
    edges
}

struct Names<'a> {
    tree: &'a Crate,
    strict: bool,
    file: usize,
    module: usize,
    /// The type of `self`.
    own: Option<usize>,
    /// Types of a function's arguments and variables, as far as they are known.
    locals: HashMap<String, usize>,
    edges: &'a mut Edges,
}

impl Names<'_> {
    fn add(&mut self, file: usize, name: String) {
        if file != self.file {
            self.edges
                .entry((self.file, file))
                .or_default()
                .insert(name);
        }
    }

    /// Adds what a path names: an item, and the associated item behind it.
    fn path(&mut self, path: &[String]) {
        if path.first().is_some_and(|first| first == "Self") {
            if let (Some(own), Some(name)) = (self.own, path.get(1)) {
                self.member(own, name);
            }
        } else if let Some((item, length)) = self.tree.modules.resolve(self.module, path) {
            let found = self.tree.modules.definition(item);
            self.add(found.file, found.name.clone());
            if let Some(name) = path.get(length) {
                self.member(item, name);
            }
        }
    }

    /// Adds an associated item, which may be in another file than its type.
    fn member(&mut self, owner: usize, name: &str) {
        if self.strict
            && let Some(member) = self.tree.members.member(owner, name)
        {
            let owner = &self.tree.modules.definition(owner).name;
            self.add(member.file, format!("{owner}::{name}"));
        }
    }

    /// The type of an expression, if declarations alone tell it.
    fn type_of(&self, expression: &Expr) -> Option<usize> {
        match expression {
            Expr::Path(node) => {
                let name = node.path.get_ident()?.to_string();
                match name.as_str() {
                    "self" => self.own,
                    _ => self.locals.get(&name).copied(),
                }
            }
            Expr::Field(node) => {
                let name = match &node.member {
                    Member::Named(name) => name.to_string(),
                    Member::Unnamed(index) => index.index.to_string(),
                };
                self.tree.members.field(self.type_of(&node.base)?, &name)
            }
            Expr::Reference(node) => self.type_of(&node.expr),
            Expr::Paren(node) => self.type_of(&node.expr),
            Expr::Unary(node) => self.type_of(&node.expr),
            Expr::MethodCall(node) => {
                let owner = self.type_of(&node.receiver)?;
                let name = node.method.to_string();
                match self.tree.members.member(owner, &name) {
                    Some(member) => member.returns,
                    None => (name == "clone").then_some(owner),
                }
            }
            Expr::Call(node) => {
                let Expr::Path(function) = &*node.func else {
                    return None;
                };
                let path = segments(&function.path);
                if path.len() == 2 && path[0] == "Self" {
                    return self.tree.members.member(self.own?, &path[1])?.returns;
                }
                let (item, length) = self.tree.modules.resolve(self.module, &path)?;
                self.tree.members.member(item, path.get(length)?)?.returns
            }
            _ => None,
        }
    }

    /// Enters a function's arguments, and visits the function by `visit`.
    fn function(&mut self, signature: &Signature, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::take(&mut self.locals);
        for (name, kind) in signature.inputs.iter().filter_map(declared) {
            if let Some(kind) = type_named(&self.tree.modules, self.module, kind, self.own) {
                self.locals.insert(name, kind);
            }
        }
        visit(self);
        self.locals = before;
    }

    /// Adds the paths in a macro's tokens that could not be parsed.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(it)) if it.as_char() == sign);
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) if at == 0 || !is(at - 1, '.') => {
                    let mut path = vec![first.to_string()];
                    while is(at + 1, ':') && is(at + 2, ':') {
                        let Some(TokenTree::Ident(name)) = tokens.get(at + 3) else {
                            break;
                        };
                        path.push(name.to_string());
                        at += 3;
                    }
                    if let (true, [only], Some(own)) = (is(at + 1, '.'), &path[..], self.own)
                        && let Some(TokenTree::Ident(name)) = tokens.get(at + 2)
                        && only == "self"
                    {
                        self.member(own, &name.to_string());
                    }
                    let called =
                        is(at + 1, '!') || matches!(tokens.get(at + 1), Some(TokenTree::Group(_)));
                    if path.len() > 1 || called || path[0].starts_with(char::is_uppercase) {
                        self.path(&path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn is_test(&self, node: &impl Spanned) -> bool {
        self.tree.files[self.file].is_test(node.span().start().line)
    }
}

impl<'ast> Visit<'ast> for Names<'_> {
    fn visit_item(&mut self, node: &'ast Item) {
        if self.is_test(node) {
            return;
        }
        let (own, module) = (self.own, self.module);
        match node {
            Item::Use(node) if !self.strict && !matches!(node.vis, Visibility::Inherited) => {}
            Item::Use(node) => {
                for (_, path) in imports_of(node) {
                    self.path(&path);
                }
            }
            Item::Mod(child) => {
                let path = [child.ident.to_string()];
                self.module = self.tree.modules.inner(module, &path);
                visit::visit_item(self, node);
            }
            Item::Impl(block) => {
                self.own = type_named(&self.tree.modules, module, &block.self_ty, None);
                visit::visit_item(self, node);
            }
            Item::Trait(item) => {
                let path = [item.ident.to_string()];
                self.own = self
                    .tree
                    .modules
                    .resolve(module, &path)
                    .map(|found| found.0);
                visit::visit_item(self, node);
            }
            Item::Fn(item) => self.function(&item.sig, |it| visit::visit_item(it, node)),
            _ => visit::visit_item(self, node),
        }
        (self.own, self.module) = (own, module);
    }

    fn visit_impl_item(&mut self, node: &'ast ImplItem) {
        match node {
            _ if self.is_test(node) => {}
            ImplItem::Fn(item) => self.function(&item.sig, |it| visit::visit_impl_item(it, node)),
            _ => visit::visit_impl_item(self, node),
        }
    }

    fn visit_trait_item(&mut self, node: &'ast TraitItem) {
        match node {
            _ if self.is_test(node) => {}
            TraitItem::Fn(item) => self.function(&item.sig, |it| visit::visit_trait_item(it, node)),
            _ => visit::visit_trait_item(self, node),
        }
    }

    fn visit_path(&mut self, node: &'ast syn::Path) {
        if node.leading_colon.is_none() && !self.is_test(node) {
            self.path(&segments(node));
        }
        visit::visit_path(self, node);
    }

    fn visit_pat_ident(&mut self, node: &'ast syn::PatIdent) {
        let name = node.ident.to_string();
        if name.starts_with(char::is_uppercase) {
            self.path(&[name]);
        }
        visit::visit_pat_ident(self, node);
    }

    fn visit_local(&mut self, node: &'ast syn::Local) {
        visit::visit_local(self, node);
        let (pattern, declared) = match &node.pat {
            Pat::Type(typed) => {
                let kind = type_named(&self.tree.modules, self.module, &typed.ty, self.own);
                (&*typed.pat, kind)
            }
            pattern => {
                let value = node.init.as_ref();
                (pattern, value.and_then(|init| self.type_of(&init.expr)))
            }
        };
        if let Pat::Ident(name) = pattern {
            self.locals.remove(&name.ident.to_string());
            if let Some(kind) = declared {
                self.locals.insert(name.ident.to_string(), kind);
            }
        }
    }

    fn visit_expr_method_call(&mut self, node: &'ast syn::ExprMethodCall) {
        if let Some(owner) = self.type_of(&node.receiver)
            && !self.is_test(node)
        {
            self.member(owner, &node.method.to_string());
        }
        visit::visit_expr_method_call(self, node);
    }

    fn visit_macro(&mut self, node: &'ast syn::Macro) {
        self.visit_path(&node.path);
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        match parser.parse2(node.tokens.clone()) {
            Ok(arguments) => arguments
                .iter()
                .for_each(|it| Visit::visit_expr(&mut *self, it)),
            Err(_) => self.tokens(node.tokens.clone()),
        }
    }

    fn visit_attribute(&mut self, node: &'ast syn::Attribute) {
        let Meta::List(list) = &node.meta else {
            return;
        };
        self.tokens(list.tokens.clone());
        // serde names functions in strings.
        if list.path.is_ident("serde") {
            for token in list.tokens.clone() {
                if let TokenTree::Literal(text) = token
                    && let Ok(path) =
                        syn::parse_str::<syn::Path>(text.to_string().trim_matches('"'))
                {
                    self.path(&segments(&path));
                }
            }
        }
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
