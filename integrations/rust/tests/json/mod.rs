//! As much of JSON as cases.json has: the crate depends on nothing, its tests neither.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

impl Value {
    pub fn get(&self, name: &str) -> Option<&Value> {
        match self {
            Value::Map(map) => map.get(name),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> &str {
        match self.get(name) {
            Some(Value::Text(text)) => text,
            other => panic!("{name}: {other:?} is no text"),
        }
    }

    pub fn number(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(Value::Number(number)) => *number,
            other => panic!("{name}: {other:?} is no number"),
        }
    }

    pub fn list(&self, name: &str) -> &[Value] {
        match self.get(name) {
            Some(Value::List(list)) => list,
            other => panic!("{name}: {other:?} is no list"),
        }
    }
}

pub fn read(text: &str) -> Value {
    value(&mut text.chars().peekable())
}

fn space(text: &mut Peekable<Chars>) -> char {
    while text.next_if(|c| c.is_whitespace() || *c == ',' || *c == ':').is_some() {}
    *text.peek().expect("JSON ends early")
}

fn value(text: &mut Peekable<Chars>) -> Value {
    match space(text) {
        '{' => {
            text.next();
            let mut map = BTreeMap::new();
            while space(text) != '}' {
                let name = string(text);
                map.insert(name, value(text));
            }
            text.next();
            Value::Map(map)
        }
        '[' => {
            text.next();
            let mut list = Vec::new();
            while space(text) != ']' {
                list.push(value(text));
            }
            text.next();
            Value::List(list)
        }
        '"' => Value::Text(string(text)),
        _ => word(text),
    }
}

fn word(text: &mut Peekable<Chars>) -> Value {
    let mut word = String::new();
    while let Some(c) = text.next_if(|c| c.is_alphanumeric() || "+-.".contains(*c)) {
        word.push(c);
    }
    match word.as_str() {
        "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => Value::Number(word.parse().expect("a number")),
    }
}

fn string(text: &mut Peekable<Chars>) -> String {
    assert_eq!(text.next(), Some('"'));
    let mut units: Vec<u16> = Vec::new();
    loop {
        match text.next().expect("a string ends early") {
            '"' => return String::from_utf16(&units).expect("UTF-16"),
            '\\' => units.push(match text.next().expect("an escape") {
                'n' => 10,
                't' => 9,
                'r' => 13,
                'b' => 8,
                'f' => 12,
                'u' => {
                    let digits: String = text.take(4).collect();
                    u16::from_str_radix(&digits, 16).expect("four digits")
                }
                other => other as u16,
            }),
            c => units.extend(c.encode_utf16(&mut [0; 2]).iter()),
        }
    }
}
