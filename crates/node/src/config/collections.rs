//! Lists, maps and optional values as settings.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::leaf::{KeyPath, Step};
use super::problem::Problem;
use super::setting::{Given, Reader, Refuse, Setting, read_value, set_keys};

impl<T: Setting> Setting for BTreeMap<String, T> {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let mut map = Self::new();
        map.set(way, given, reader);
        Some(map)
    }

    fn set(&mut self, way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) {
        set_keys((way, given), reader, |key, way, given, reader| {
            let reader = &mut reader.key(key);
            if let Some(setting) = self.get_mut(key) {
                setting.set(way, given, reader);
            } else if let Some(setting) = T::read(way, given, reader) {
                self.insert(key.to_owned(), setting);
            }
        });
    }

    fn write(&self) -> Option<Value> {
        let settings = self.iter();
        let written = settings.filter_map(|(key, setting)| Some((key.clone(), setting.write()?)));
        Some(Table::from_iter(written).into())
    }

    fn check(&self, at: &KeyPath, refuse: &mut Refuse<'_>) {
        self.iter()
            .for_each(|(key, setting)| setting.check(&at.key(key), refuse));
    }
}

impl<T: Setting> Setting for Vec<T> {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        let value = given.list();
        let Value::Array(items) = read_value(way, value, reader, |value| match value {
            Value::Array(_) => Ok(value.clone()),
            _ => Err("expected a list".to_owned()),
        })?
        else {
            return None;
        };
        let known = reader.problems.len();
        let mut list = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let reader = &mut reader.below(Step::Index(index));
            list.extend(T::read(&[], Given::Value(item), reader));
        }
        // A wrong item makes the whole list wrong, but a wrong key of a table in the list does not.
        let list_at = reader.at.clone();
        for problem in &mut reader.problems[known..] {
            problem.widen(&list_at);
        }
        Some(list)
    }

    fn set(&mut self, way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) {
        let Some((Step::Index(index), below)) = way.split_first() else {
            if let Some(list) = Self::read(way, given, reader) {
                *self = list;
            }
            return;
        };
        let at = reader.at.index(*index);
        if let Some(setting) = self.get_mut(*index) {
            setting.set(below, given, &mut reader.below(Step::Index(*index)));
        } else if *index == self.len() {
            self.extend(T::read(
                below,
                given,
                &mut reader.below(Step::Index(*index)),
            ));
        } else {
            let next = reader.at.index(self.len());
            let why = format!("the list has no such item; its next item is {next}");
            reader.problems.push(Problem::new(&at, None, why));
        }
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Array(
            self.iter().filter_map(Setting::write).collect(),
        ))
    }

    fn check(&self, at: &KeyPath, refuse: &mut Refuse<'_>) {
        for (index, setting) in self.iter().enumerate() {
            setting.check(&at.index(index), refuse);
        }
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(way: &[Step], given: Given<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        T::read(way, given, reader).map(Some)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(Setting::write)
    }

    fn check(&self, at: &KeyPath, refuse: &mut Refuse<'_>) {
        self.iter().for_each(|setting| setting.check(at, refuse));
    }
}
