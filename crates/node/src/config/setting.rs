//! A setting: a value of the configuration that is read from TOML, checked against its bound, and written.
//!
//! [`section!`] declares a table of settings. The declaration of a key is the only place that says its name,
//! type, default, documentation and bound.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use fetchway_policy::units::Dur;
use toml::{Table, Value};

use super::leaf::{KeyPath, Step};
use super::problem::Problem;

/// A value as a source gave it.
#[derive(Clone, Copy)]
pub(super) enum Given<'a> {
    /// A value of a file, or of a program.
    Value(&'a Value),
    /// Text of a variable or a flag. Its setting decides about the type.
    Text(&'a str),
}

impl Given<'_> {
    /// Returns the value, with text taken as a TOML value if it is one, else as a string.
    pub(super) fn value(self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Text(text) => parse(text).unwrap_or_else(|| text.into()),
        }
    }

    /// Returns the value, with text taken as a string.
    fn string(self) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Text(text) => text.into(),
        }
    }

    /// Returns the value, with text taken as a TOML list, or else as items between commas.
    pub(super) fn list(self) -> Value {
        let text = match (self, self.value()) {
            (Self::Value(_), value) | (Self::Text(_), value @ Value::Array(_)) => return value,
            (Self::Text(_), Value::String(text)) => text,
            (Self::Text(text), _) => text.to_owned(),
        };
        let items = text.split(',').map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        Value::Array(items.map(Value::from).collect())
    }
}

/// Reads `text` as a TOML value. Further lines would be further keys, so there must be none.
fn parse(text: &str) -> Option<Value> {
    let line = (!text.contains('\n')).then(|| format!("value = {text}"))?;
    toml::from_str::<Table>(&line).ok()?.remove("value")
}

/// The place of a setting, and the list of the problems that are found.
pub(super) struct Reader<'a> {
    pub(super) at: KeyPath,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Returns the reader of what is at `step` of this setting.
    pub(super) fn below(&mut self, step: Step) -> Reader<'_> {
        Reader {
            at: self.at.with(step),
            problems: self.problems,
        }
    }

    pub(super) fn key(&mut self, key: &str) -> Reader<'_> {
        self.below(Step::Key(key.to_owned()))
    }

    /// Reports that `value` is not accepted here.
    pub(super) fn refuse(&mut self, value: Value, why: impl fmt::Display) {
        let problem = Problem::new(&self.at, Some(value), why.to_string());
        self.problems.push(problem);
    }

    pub(super) fn refuse_key(&mut self, key: &str, known: &[String]) {
        let why = super::problem::unknown_key(key, known);
        let problem = Problem::new(&self.at.key(key), None, why);
        self.problems.push(problem);
    }
}

/// Takes a value that breaks its bound: its place, and the reason.
pub(super) type Refuse<'a> = dyn FnMut(&KeyPath, String) + 'a;

/// A value of the configuration, or a table of such values.
pub(super) trait Setting: Sized {
    /// Returns what was given, for this setting or, if `way` is not empty, for one below it. Everything that
    /// is not accepted is reported.
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self>;

    /// Sets this setting, or one below it. A value that is not accepted changes nothing.
    fn set(&mut self, way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) {
        if let Some(setting) = Self::read(way, given, reader) {
            *self = setting;
        }
    }

    /// Returns the setting as TOML, or nothing if it is optional and absent.
    fn write(&self) -> Option<Value>;

    /// Checks the bounds of this setting and of those below it.
    fn check(&self, _at: &KeyPath, _refuse: &mut Refuse<'_>) {}
}

/// Reads a single value by `read`.
pub(super) fn read_value<T>(
    way: &[Step],
    value: Value,
    reader: &mut Reader<'_>,
    read: impl FnOnce(&Value) -> Result<T, String>,
) -> Option<T> {
    let value = way.iter().rev().fold(value, |inner, step| match step {
        Step::Key(key) => Value::Table(Table::from_iter([(key.clone(), inner)])),
        Step::Index(_) => Value::Array(vec![inner]),
    });
    read(&value).map_err(|why| reader.refuse(value, why)).ok()
}

/// Makes types settings: their TOML form is text, read by `FromStr` and written by `Display`.
macro_rules! text_settings {
    ($($kind:ty: $expected:literal,)*) => {$(
        impl $crate::config::setting::Setting for $kind {
            fn read(
                way: &[$crate::config::leaf::Step],
                given: $crate::config::setting::Given<'_>,
                reader: &mut $crate::config::setting::Reader<'_>,
            ) -> Option<Self> {
                let expected = concat!("expected ", $expected);
                $crate::config::setting::read_text((way, given), reader, expected, |text| {
                    text.parse::<$kind>().map_err(|e| e.to_string())
                })
            }

            fn write(&self) -> Option<toml::Value> {
                Some(toml::Value::String(self.to_string()))
            }
        }
    )*};
}
pub(super) use text_settings;

/// Reads a value whose form is text.
pub(super) fn read_text<T>(
    (way, given): (&[Step], Given<'_>),
    reader: &mut Reader<'_>,
    expected: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    read_value(way, given.string(), reader, |value| {
        let text = value.as_str().ok_or(expected)?;
        read(text).or_else(|why| match (given, given.value()) {
            // A shell or a variable may have kept the quotes of a TOML string.
            (Given::Text(_), Value::String(unquoted)) => read(&unquoted).map_err(|_| why),
            _ => Err(why),
        })
    })
}

/// Makes an enumeration a setting, with a word for each of its values.
macro_rules! choice_settings {
    ($($kind:ident { $($word:literal = $value:ident,)+ })+) => {$(
        impl $crate::config::setting::Setting for $kind {
            fn read(
                way: &[$crate::config::leaf::Step],
                given: $crate::config::setting::Given<'_>,
                reader: &mut $crate::config::setting::Reader<'_>,
            ) -> Option<Self> {
                let words = [$($word),+].map(|word| format!("\"{word}\""));
                let expected = format!("expected one of {}", words.join(", "));
                $crate::config::setting::read_text((way, given), reader, &expected, |text| {
                    match text {
                        $($word => Ok($kind::$value),)+
                        _ => Err(expected.clone()),
                    }
                })
            }

            fn write(&self) -> Option<toml::Value> {
                Some(match self { $($kind::$value => $word.into(),)+ })
            }
        }
    )+};
}
pub(super) use choice_settings;

/// Declares a table of settings: `name: type = default, bound;`. The bound is a function that says what is
/// wrong with a value. Keys are the names in kebab case, and any other key is refused.
macro_rules! section {
    (
        $(#[$about:meta])*
        pub struct $name:ident {
            $($(#[$doc:meta])+ $key:ident: $kind:ty = $default:expr $(, $bound:expr)?;)+
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[$doc])+ pub $key: $kind,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $crate::config::setting::Setting for $name {
            fn read(
                way: &[$crate::config::leaf::Step],
                given: $crate::config::setting::Given<'_>,
                reader: &mut $crate::config::setting::Reader<'_>,
            ) -> Option<Self> {
                let mut section = Self::default();
                section.set(way, given, reader);
                Some(section)
            }

            fn set(
                &mut self,
                way: &[$crate::config::leaf::Step],
                given: $crate::config::setting::Given<'_>,
                reader: &mut $crate::config::setting::Reader<'_>,
            ) {
                $crate::config::setting::set_keys((way, given), reader, |key, way, given, reader| {
                    $(if $crate::config::setting::is_key(stringify!($key), key) {
                        self.$key.set(way, given, &mut reader.key(key));
                        return;
                    })+
                    let known = [$($crate::config::setting::kebab(stringify!($key))),+];
                    reader.refuse_key(key, &known);
                });
            }

            fn write(&self) -> Option<toml::Value> {
                let mut table = toml::Table::new();
                $(if let Some(value) = self.$key.write() {
                    table.insert($crate::config::setting::kebab(stringify!($key)), value);
                })+
                Some(table.into())
            }

            fn check(
                &self,
                at: &$crate::config::leaf::KeyPath,
                refuse: &mut $crate::config::setting::Refuse<'_>,
            ) {
                $({
                    let at = at.key(&$crate::config::setting::kebab(stringify!($key)));
                    $(if let Some(why) = ($bound)(&self.$key) {
                        refuse(&at, why);
                    })?
                    self.$key.check(&at, refuse);
                })+
            }
        }
    };
}
pub(super) use section;

pub(super) fn kebab(field: &str) -> String {
    field.replace('_', "-")
}

pub(super) fn is_key(field: &str, key: &str) -> bool {
    let bytes = field.bytes().map(|b| if b == b'_' { b'-' } else { b });
    bytes.eq(key.bytes())
}

/// Sets what is at one key, or each key of a table.
pub(super) fn set_keys(
    (way, given): (&[Step], Given<'_>),
    reader: &mut Reader<'_>,
    mut set: impl FnMut(&str, &[Step], Given<'_>, &mut Reader<'_>),
) {
    match way {
        [Step::Key(key), way @ ..] => set(key, way, given, reader),
        [] => match given.value() {
            Value::Table(table) => {
                for (key, value) in &table {
                    set(key, &[], Given::Value(value), reader);
                }
            }
            value => reader.refuse(value, "expected a table"),
        },
        [Step::Index(_), ..] => reader.refuse(given.value(), "expected a table"),
    }
}

/// Makes types settings whose TOML form is a value of one type.
macro_rules! plain_settings {
    ($($kind:ty: $form:ident, $expected:expr, $read:expr, $write:expr;)*) => {$(
        impl Setting for $kind {
            fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
                let read = |value: &Value| ($read)(value).ok_or_else(|| $expected.to_owned());
                read_value(way, given.$form(), reader, read)
            }

            fn write(&self) -> Option<Value> {
                Some(($write)(self))
            }
        }
    )*};
}

const COUNT: &str = "expected a whole number, 0 or more";

plain_settings! {
    bool: value, "expected true or false", Value::as_bool, |b: &bool| Value::Boolean(*b);
    usize: value, COUNT, |v: &Value| v.as_integer()?.try_into().ok(), count;
    u32: value, COUNT, |v: &Value| v.as_integer()?.try_into().ok(), |n: &u32| Value::Integer((*n).into());
    String: string, "expected text", |v: &Value| v.as_str().map(str::to_owned), |s: &String| s.as_str().into();
    PathBuf: string, "expected the path of a file", |v: &Value| v.as_str().map(PathBuf::from),
        |path: &PathBuf| path.to_string_lossy().into_owned().into();
}

fn count(count: &usize) -> Value {
    Value::Integer(i64::try_from(*count).unwrap_or(i64::MAX))
}

impl Setting for Duration {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let expected = "expected a duration with a unit, such as \"30s\"";
        read_text((way, given), reader, expected, |text| match text.parse() {
            Ok(Dur(time)) => Ok(time),
            Err(e) => Err(e.to_string()),
        })
    }

    fn write(&self) -> Option<Value> {
        Some(Dur(*self).to_string().into())
    }
}
