//! Sizes of files and functions, and the lines of each crate; tests are left out.

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Block, Signature};

use crate::source::{File, Texts};
use crate::tree::Crate;

/// Longest file, in lines.
pub(crate) const MAX_FILE: usize = 400;
/// Longest function, in lines from its signature to its closing brace.
pub(crate) const MAX_FUNCTION: usize = 70;

/// A file or a function that is too long.
pub(crate) struct Long {
    pub(crate) place: String,
    pub(crate) lines: usize,
}

/// Lines of one crate.
#[derive(Clone, Copy, Default)]
pub(crate) struct Lines {
    pub(crate) files: usize,
    pub(crate) code: usize,
    pub(crate) comments: usize,
    pub(crate) blank: usize,
}

impl Lines {
    pub(crate) fn total(&self) -> usize {
        self.code + self.comments + self.blank
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.code += other.code;
        self.comments += other.comments;
        self.blank += other.blank;
    }
}

/// Files of a crate that are too long, the longest first.
pub(crate) fn long_files(tree: &Crate, texts: &Texts) -> Vec<Long> {
    let sizes = tree.files.iter().map(|file| Long {
        place: file.path.clone(),
        lines: count(file, &texts[&file.path]).total(),
    });
    longest_first(sizes.filter(|long| long.lines > MAX_FILE).collect())
}

/// Functions of a crate that are too long, the longest first.
pub(crate) fn long_functions(tree: &Crate) -> Vec<Long> {
    let mut found = Vec::new();
    for file in &tree.files {
        let mut functions = Functions {
            file,
            found: &mut found,
        };
        functions.visit_file(&file.syntax);
    }
    longest_first(found)
}

/// Counts the lines of a crate.
pub(crate) fn lines(tree: &Crate, texts: &Texts) -> Lines {
    let mut sum = Lines::default();
    for file in &tree.files {
        sum.add(count(file, &texts[&file.path]));
    }
    sum
}

fn longest_first(mut found: Vec<Long>) -> Vec<Long> {
    found.sort_by(|a, b| (b.lines, &a.place).cmp(&(a.lines, &b.place)));
    found
}

fn count(file: &File, text: &str) -> Lines {
    let mut lines = Lines::default();
    for (index, line) in text.lines().enumerate() {
        if !file.is_test(index + 1) {
            match line.trim_start() {
                "" => lines.blank += 1,
                line if line.starts_with("//") => lines.comments += 1,
                _ => lines.code += 1,
            }
        }
    }
    lines.files = usize::from(lines.total() > 0);
    lines
}

/// Collects the long functions of a file.
struct Functions<'a> {
    file: &'a File,
    found: &'a mut Vec<Long>,
}

impl Functions<'_> {
    fn note(&mut self, signature: &Signature, body: &Block) {
        let first = signature.span().start().line;
        let last = body.brace_token.span.close().end().line;
        let lines = last + 1 - first;
        if lines > MAX_FUNCTION && !self.file.is_test(first) {
            let place = format!("{}:{first}: {}", self.file.path, signature.ident);
            self.found.push(Long { place, lines });
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.note(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.note(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(body) = &node.default {
            self.note(&node.sig, body);
        }
        visit::visit_trait_item_fn(self, node);
    }
}
