//! Runs sealed language models (`.tin`). The same file, words and seed give the same tokens on every machine, with any
//! number of threads and in slices of any size.
//!
//! ```no_run
//! let model = tinsmith::Model::open("home.tin")?;
//! let mut session = model.session(tinsmith::Options::default())?;
//! session.ask("Turn on the light", 64)?;
//! for piece in session.pieces() {
//!     print!("{}", piece?);
//! }
//! # Ok::<(), tinsmith::Error>(())
//! ```
//!
//! Nothing here waits but opening and steps without a budget: a game calls [`Session::step`] with a part of its frame.

mod error;
mod model;
mod session;
#[allow(dead_code)] // it has all of tin_host.h
#[rustfmt::skip]
mod sys;

pub use error::{Error, Result};
pub use model::{Model, Options};
pub use session::{Answer, Finish, Pieces, Role, Sampling, Session, Step};
pub use sys::Status;
