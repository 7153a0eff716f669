//! Tests of the rules, each over small sources made up for it.

use std::collections::BTreeSet;

use crate::allowed::{Allowed, Breaches, differences, shrunk};
use crate::circles::circles;
use crate::docs::{choose, docs, too_many};
use crate::rules::Package;
use crate::source::Texts;
use crate::tree::Crate;

fn texts(files: &[(&str, &str)]) -> Texts {
    let files = files.iter();
    files
        .map(|(path, text)| (format!("crates/it/src/{path}"), (*text).to_owned()))
        .collect()
}

/// The lines `A → B: NAMES` of all circles.
fn ties(files: &[(&str, &str)], strict: bool) -> String {
    let tree = Crate::parse(&texts(files)).unwrap();
    let found = circles(&tree, strict);
    let lines: Vec<String> = found
        .iter()
        .flat_map(|circle| circle.text.lines())
        .map(|line| line.trim().to_owned())
        .collect();
    lines.join("; ")
}

#[test]
fn a_circle_of_three_names_its_ties() {
    let files = [
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B; pub struct A(B);"),
        ("b.rs", "pub struct B; fn f() { super::c::go() }"),
        ("c.rs", "pub fn go() -> crate::a::A { todo!() }"),
        ("d.rs", "use crate::a::A; struct D(A);"),
    ];
    assert_eq!(
        ties(&files, false),
        "a.rs → b.rs: B; b.rs → c.rs: go; c.rs → a.rs: A"
    );
}

#[test]
fn a_re_export_leads_to_the_definition() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use b::B as Renamed;"),
        ("a.rs", "use crate::Renamed; pub struct A(Renamed);"),
        ("b.rs", "use super::a; pub struct B(Box<a::A>);"),
    ];
    assert_eq!(ties(&files, false), "a.rs → b.rs: B; b.rs → a.rs: A");
}

#[test]
fn a_glob_leads_to_the_definition() {
    let files = [
        ("lib.rs", "mod a; mod b; mod prelude;"),
        ("prelude.rs", "pub use crate::b::*;"),
        ("a.rs", "use crate::prelude::*; pub const A: u8 = B;"),
        ("b.rs", "pub const B: u8 = crate::a::A;"),
    ];
    assert_eq!(ties(&files, false), "a.rs → b.rs: B; b.rs → a.rs: A");
}

#[test]
fn variants_macros_attributes_and_patterns_are_names() {
    let files = [
        ("lib.rs", "#[macro_use] mod a; mod b;"),
        (
            "a.rs",
            "macro_rules! twice { ($it:expr) => { $it } } use crate::b::E::*; \
             fn f(e: u8) { println!(\"{}\", matches!(e, Left)); select! { _ = crate::b::g() => {} } }",
        ),
        (
            "b.rs",
            "pub enum E { Left } pub fn g() { twice!(1) } #[serde(with = \"crate::a::f\")] struct S;",
        ),
    ];
    assert_eq!(
        ties(&files, false),
        "a.rs → b.rs: E, g; b.rs → a.rs: f, twice"
    );
}

#[test]
fn tests_modules_and_re_exports_make_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::A; pub struct Root;"),
        (
            "a.rs",
            "pub struct A(crate::Root);\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\nuse crate::b::B;\n\
             impl A {\n    #[cfg(all(test, unix))]\n    fn b() -> crate::b::B { todo!() }\n}",
        ),
        ("a/tests.rs", "use crate::b::B; fn f(_: B) {}"),
        ("b.rs", "use crate::a::A; pub struct B(A);"),
    ];
    assert_eq!(ties(&files, false), "");
    assert_eq!(ties(&files, true), "a.rs → lib.rs: Root; lib.rs → a.rs: A");
}

#[test]
fn an_impl_elsewhere_is_a_circle_in_the_strict_view() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "pub struct A; impl A { fn one(&self) { self.two() } }",
        ),
        (
            "b.rs",
            "use crate::a::A; impl A { pub(crate) fn two(&self) {} }",
        ),
    ];
    assert_eq!(ties(&files, false), "");
    assert_eq!(ties(&files, true), "a.rs → b.rs: A::two; b.rs → a.rs: A");
}

#[test]
fn a_missing_module_is_an_error() {
    let error = Crate::parse(&texts(&[("lib.rs", "mod a;")])).err().unwrap();
    assert!(error.contains("no file for `mod a`"), "{error}");
}

fn count(package: &Package, rule: &str) -> usize {
    let found = package.breaches();
    found.iter().find(|it| it.rule == rule).unwrap().count
}

fn package(name: &str, files: &[(&str, &str)]) -> Package {
    Package::parse(name.to_owned(), texts(files)).unwrap()
}

#[test]
fn a_circle_of_two_is_forbidden_in_the_gateway_only() {
    let files = [
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "pub struct A(crate::b::B);"),
        ("b.rs", "pub struct B(Box<crate::a::A>);"),
    ];
    assert_eq!(count(&package("fetch", &files), "files-in-circles"), 0);
    assert_eq!(count(&package("gateway", &files), "files-in-circles"), 2);
}

#[test]
fn functions_may_have_seventy_lines() {
    let function = |lines: usize| {
        format!(
            "/// Docs.\n#[inline]\nfn f() {{\n{}}}\n",
            "    g();\n".repeat(lines - 2)
        )
    };
    let long = |text: &str| count(&package("it", &[("lib.rs", text)]), "long-functions");
    assert_eq!(long(&function(70)), 0);
    assert_eq!(long(&function(71)), 1);
    assert_eq!(long(&format!("impl A {{\n{}}}", function(71))), 1);
    assert_eq!(
        long(&format!("#[cfg(test)]\nmod tests {{\n{}}}", function(71))),
        0
    );
}

#[test]
fn files_may_have_four_hundred_lines_without_tests() {
    let long = |text: &str| count(&package("it", &[("lib.rs", text)]), "long-files");
    let lines = |count: usize| "//\n".repeat(count);
    assert_eq!(long(&lines(400)), 0);
    assert_eq!(long(&lines(401)), 1);
    let tests = format!(
        "{}#[cfg(test)]\nmod tests {{\n{}}}\n",
        lines(400),
        lines(50)
    );
    assert_eq!(long(&tests), 0);
}

#[test]
fn a_doc_comment_is_one_block() {
    let lines = [
        "//! First.",
        "//! What is no opening.",
        "",
        "/// What opens.",
        "//// Its no doc.",
        "/// `It` opens.",
        "///",
        "/// They continue.",
        "fn f() {}",
        "#[doc = \"Whose\"]",
        "fn g() {}",
        "/// Italics.",
    ];
    let source = texts(&[("lib.rs", &lines.join("\n"))]);
    let found = docs(&source);
    let lines: Vec<(usize, bool)> = found
        .iter()
        .map(|doc| (doc.line, doc.opens_with_pronoun()))
        .collect();
    let expected = [(1, false), (4, true), (6, true), (10, false), (12, false)];
    assert_eq!(lines, expected);
}

#[test]
fn half_a_per_cent_is_too_many() {
    assert!(!too_many(0, 0));
    assert!(!too_many(0, 100));
    assert!(!too_many(1, 201));
    assert!(too_many(1, 200));
}

fn breaches(count: usize) -> [Breaches; 1] {
    [Breaches {
        package: "fetch".to_owned(),
        rule: "long-files",
        count,
        places: "  a.rs has 401 lines".to_owned(),
    }]
}

#[test]
fn an_allowance_is_exact_and_only_shrinks() {
    let key = || ("fetch".to_owned(), "long-files".to_owned());
    let gone = (("attic".to_owned(), "long-files".to_owned()), 1);
    let allowed = Allowed::from([(key(), 2), gone]);
    let said = differences(&breaches(3), &allowed);
    assert!(said[0].contains("found 3, allowed 2\n  a.rs"), "{said:?}");
    assert!(
        said[1].contains("attic: long-files: found 0, allowed 1: run"),
        "{said:?}"
    );
    let said = differences(&breaches(1), &allowed);
    assert!(said[0].contains("found 1, allowed 2: run"), "{said:?}");

    let after = shrunk(&breaches(1), &allowed);
    assert_eq!(after, Allowed::from([(key(), 1)]));
    assert!(differences(&breaches(1), &after).is_empty());
    assert_eq!(shrunk(&breaches(3), &after), after);
}

#[test]
fn the_same_seed_chooses_the_same() {
    let chosen = choose(30, 1000, 7);
    assert_eq!(chosen, choose(30, 1000, 7));
    assert_ne!(chosen, choose(30, 1000, 8));
    assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 30);
    assert_eq!(choose(5, 3, 1), [0, 1, 2]);
}
