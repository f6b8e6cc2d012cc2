//! The cases of integrations/conformance: TINS names their folder, CONFORMANCE the file for what came of them.

mod json;

use json::Value;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tinsmith::{Answer, Error, Model, Options, Result, Role, Sampling, Session, Step};

const ROOM: Options = Options { context: 512, threads: 0, adapters: 0, most_bytes: 0 };

struct Runner {
    tins: PathBuf,
    path: PathBuf,
    given: Value,
    model: Model,
}

impl Runner {
    fn begin(&self, case: &Value) -> Result<Session> {
        let mut session = self.model.session(ROOM)?;
        for message in case.list("messages") {
            let role = match message.text("role") {
                "system" => Role::System,
                "user" => Role::User,
                role => panic!("role {role}"),
            };
            session.say(role, message.text("content"))?;
        }
        session.constrained(case.get("constrained") != Some(&Value::Bool(false)))?;
        if let Some(drawn) = case.get("sampling") {
            session.sampling(Sampling {
                temperature: drawn.number("temperature"),
                top_p: drawn.number("top_p"),
                repetition: drawn.number("repetition"),
                seed: drawn.number("seed") as i64,
            })?;
        }
        if case.get("adapter").is_some() {
            session.adapter(case.text("adapter"), 1.0)?;
        }
        if case.get("options").is_some() {
            let options: Vec<&str> = case.list("options").iter().map(text).collect();
            session.choose(&options)?;
        } else {
            session.begin(most(case))?;
        }
        Ok(session)
    }

    fn session_of(&self, case: &Value) -> Result<Session> {
        Model::open(self.tins.join(case.text("file")))?.session(ROOM)
    }

    fn read(&self, case: &Value, field: &str) -> Vec<u8> {
        fs::read(self.tins.join(case.text(field))).unwrap()
    }

    /// By the image's file, and by its pixels.
    fn with_image(&self, case: &Value) -> Result<Vec<Value>> {
        let (file, rgb) = (self.read(case, "image"), self.read(case, "pixels"));
        let side = |name| case.number(name) as u32;
        let mut found = Vec::new();
        for is_file in [true, false] {
            let mut session = self.session_of(case)?;
            if is_file {
                session.image(&file)?;
            } else {
                session.pixels(&rgb, side("width"), side("height"), 3)?;
            }
            session.ask(case.text("text"), most(case))?;
            found.push(Value::Map(shown(&session.finish()?)));
        }
        Ok(found)
    }

    fn answers(&self, case: &Value) -> Result<Vec<Value>> {
        let mut session = self.begin(case)?;
        if case.text("name") == "cancel" {
            while session.answer().tokens < case.number("after_tokens") as i32 {
                session.step(Duration::from_micros(50))?;
            }
            session.cancel();
            session.begin(most(case))?;
        }
        let budget = case.get("budget_us").map_or(0.0, |_| case.number("budget_us"));
        let mut found = vec![Value::Map(shown(&stepped(&mut session, budget as u64)?))];
        if case.text("name") == "adapter" {
            session.forget(case.list("messages").len())?;
            session.no_adapter()?;
            session.begin(most(case))?;
            found.push(Value::Map(shown(&session.finish()?)));
        }
        if case.text("name") == "restore" {
            let saved = session.save()?;
            drop(session);
            let mut session = self.model.session(ROOM)?;
            session.restore(&saved)?;
            session.ask(case.text("next"), most(case))?;
            found.push(Value::Map(shown(&session.finish()?)));
        }
        Ok(found)
    }

    /// The error that a case is about.
    fn refused(&self, case: &Value) -> Error {
        let key = |field| self.given.get("keys").unwrap().text(case.text(field).trim_end_matches(".pub")).to_owned();
        let failed = match case.text("name") {
            "missing" => Model::open(self.tins.join(case.text("file"))).err(),
            "key" => {
                Model::open_signed(&self.path, &key("right")).expect("the right key opens it");
                Model::open_signed(&self.path, &key("wrong")).err()
            }
            "memory" => self.model.session(Options { most_bytes: case.number("most_bytes") as i64, ..Options::default() }).err(),
            _ => self.session_of(case).expect("the file opens").image(&self.read(case, "image")).err(),
        };
        failed.expect("it was not refused")
    }

    fn check(&self, case: &Value) -> String {
        let expect = case.get("expect").unwrap();
        if expect.get("status").is_some() {
            let error = self.refused(case);
            let right = error.status as i32 == expect.number("status") as i32;
            return passed(right && error.message.contains(expect.text("says")), &error);
        }
        let has_images = case.text("name") == "image";
        let mut wanted = vec![expect.clone()];
        wanted.extend(if has_images { Some(expect.clone()) } else { case.get("then").cloned() });
        match if has_images { self.with_image(case) } else { self.answers(case) } {
            Ok(found) => passed(found == wanted, &found),
            Err(error) => error.to_string(),
        }
    }
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        other => panic!("{other:?} is no text"),
    }
}

fn most(case: &Value) -> i32 {
    case.number("max_tokens") as i32
}

fn stepped(session: &mut Session, budget_us: u64) -> Result<Answer> {
    let mut pieces = String::new();
    loop {
        match session.step(Duration::from_micros(budget_us))? {
            Step::Piece(piece) => pieces += &piece,
            Step::Done(piece) => {
                pieces += &piece;
                break;
            }
            Step::Pending => {}
            Step::Idle => panic!("no answer is under way"),
        }
    }
    let answer = session.answer();
    assert_eq!(answer.text, pieces);
    Ok(answer)
}

fn shown(answer: &Answer) -> std::collections::BTreeMap<String, Value> {
    let chosen = answer.chosen.map(|k| ("chosen", Value::Number(k as f64)));
    [
        ("text", Value::Text(answer.text.clone())),
        ("tokens", Value::Number(answer.tokens.into())),
        ("finish", Value::Number(answer.finish as i32 as f64)),
        ("digest", Value::Text((answer.digest as i64).to_string())),
    ]
    .into_iter()
    .chain(chosen)
    .map(|(name, value)| (name.into(), value))
    .collect()
}

fn passed(right: bool, found: &impl std::fmt::Debug) -> String {
    if right { "passed".into() } else { format!("{found:?}") }
}

#[test]
fn the_cases() {
    let tins = PathBuf::from(env::var_os("TINS").expect("TINS names the folder of cases.json"));
    let given = json::read(&fs::read_to_string(tins.join("cases.json")).unwrap());
    let path = tins.join(given.get("files").unwrap().text("plain"));
    let runner = Runner { model: Model::open(&path).unwrap(), given, path, tins };
    let cases = runner.given.list("cases");
    let results: Vec<(&str, String)> = cases.iter().map(|case| (case.text("name"), runner.check(case))).collect();
    if let Some(out) = env::var_os("CONFORMANCE") {
        let lines: Vec<String> = results.iter().map(|(name, result)| format!("{name:?}: {result:?}")).collect();
        let host = env::var("RUST_VERSION").unwrap_or_default();
        let cases = lines.join(", ");
        fs::write(out, format!("{{\"host\": \"rust\", \"version\": {host:?}, \"cases\": {{{cases}}}}}\n")).unwrap();
    }
    assert!(!results.is_empty());
    for (name, result) in &results {
        assert_eq!(result, "passed", "{name}");
    }
}

#[test]
fn a_session_outlives_its_model_and_moves_to_a_thread() {
    let tins = PathBuf::from(env::var_os("TINS").expect("TINS names the folder of cases.json"));
    let bytes = fs::read(tins.join("tiny.tin")).unwrap();
    let model = Model::from_bytes(bytes, None, None).unwrap();
    let mut session = model.session(Options { context: 128, ..Options::default() }).unwrap();
    let fork = model.session(Options { context: 128, ..Options::default() });
    drop(model);
    let mut fork = fork.unwrap();
    session.say(Role::User, "hello").unwrap();
    fork.copy_from(&session).unwrap();
    fork.begin(8).unwrap();
    let there = std::thread::spawn(move || {
        session.begin(8)?;
        session.finish()
    });
    assert_eq!(there.join().unwrap().unwrap(), fork.finish().unwrap());
    assert_eq!(fork.messages()[0], (Role::User, "hello".into()));
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let tins = PathBuf::from(env::var_os("TINS").expect("TINS names the folder of cases.json"));
    let model = Model::open(tins.join("tiny.tin")).unwrap();
    assert_eq!(model.adapters(), ["a"]);
    assert!(model.entry("manifest.json").unwrap().starts_with('{'));
    assert_eq!(model.entry("nothing"), None);
    let mut session = model.session(ROOM).unwrap();
    for error in [
        session.ask("a\0b", 8).unwrap_err(),
        session.ask("hello", 0).unwrap_err(),
        session.adapter("zebra", 1.0).unwrap_err(),
        session.choose(&["one\ntwo"]).unwrap_err(),
        session.restore(b"nonsense").unwrap_err(),
        Model::from_bytes(vec![1; 100], None, None).err().unwrap(),
    ] {
        assert!(!error.message.is_empty() && !error.message.contains('\n'), "{error:?}");
    }
    session.ask("hello", 8).unwrap();
    assert_eq!(session.ask("again", 8).unwrap_err().status, tinsmith::Status::State);
    session.cancel();
    assert_eq!(session.messages().len(), 1);
}
