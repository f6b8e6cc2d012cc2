//! cargo run --example ask -- home.tin "Turn on the light"

use std::io::Write;

fn main() -> Result<(), tinsmith::Error> {
    let mut words = std::env::args().skip(1);
    let (Some(path), Some(text)) = (words.next(), words.next()) else {
        eprintln!("usage: ask FILE.tin TEXT");
        std::process::exit(2);
    };
    let model = tinsmith::Model::open(&path)?;
    let mut session = model.session(tinsmith::Options { context: 1024, ..Default::default() })?;
    session.ask(&text, 128)?;
    for piece in session.pieces() {
        print!("{}", piece?);
        std::io::stdout().flush().ok();
    }
    let answer = session.answer();
    println!("\n{} tokens by {} passes; digest {:016x}", answer.tokens, answer.passes, answer.digest);
    Ok(())
}
