use crate::error::{c_text, rust_text, Error, Result};
use crate::model::{Model, Open, Options};
use crate::sys;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// A conversation. It may go to another thread; one at a time uses it.
pub struct Session {
    handle: *mut sys::Session,
    _model: Arc<Open>,
}

// SAFETY: nothing in a session belongs to a thread (tin_host.h).
unsafe impl Send for Session {}

/// Who a message is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Role {
    System = sys::ROLE_SYSTEM,
    User = sys::ROLE_USER,
    Assistant = sys::ROLE_ASSISTANT,
    Tool = sys::ROLE_TOOL,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The budget is spent without anything new.
    Pending,
    /// More of the answer, in whole characters; there is more to come.
    Piece(String),
    /// The answer is complete; this is its end, if anything.
    Done(String),
    /// No answer is under way.
    Idle,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    None,
    End,
    Length,
    Context,
    Constraint,
}

/// How tokens are chosen.
#[derive(Clone, Copy, Debug)]
pub struct Sampling {
    /// 0: the likeliest each time.
    pub temperature: f64,
    pub top_p: f64,
    /// A penalty on tokens that were there; 1: none.
    pub repetition: f64,
    pub seed: i64,
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { temperature: 0.0, top_p: 1.0, repetition: 1.0, seed: 0 }
    }
}

/// An answer so far, and what it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub finish: Finish,
    pub tokens: i32,
    /// How often the model was evaluated.
    pub passes: i32,
    /// Of tokens and the logits they were chosen by: the same on every machine.
    pub digest: u64,
    /// Of the options that [`Session::choose`] was given.
    pub chosen: Option<usize>,
}

impl Session {
    pub(crate) fn open(model: &Model, options: Options) -> Result<Session> {
        let Options { context, threads, adapters, most_bytes } = options;
        // SAFETY: the model is open as long as the session holds it.
        let handle =
            unsafe { sys::tinhost_session_open(model.open.handle, context, threads, adapters, most_bytes) };
        if handle.is_null() {
            return Err(Error::memory());
        }
        let session = Session { handle, _model: model.open.clone() };
        session.check(unsafe { sys::tinhost_status(handle) })?;
        Ok(session)
    }

    /// Puts an adapter of the file to work at a scale: 1 as it was trained, 0 takes it off.
    pub fn adapter(&mut self, name: &str, scale: f64) -> Result<()> {
        let name = c_text(name)?;
        self.check(unsafe { sys::tinhost_adapter(self.handle, name.as_ptr(), scale) }).map(drop)
    }

    /// Takes off all adapters.
    pub fn no_adapter(&mut self) -> Result<()> {
        self.check(unsafe { sys::tinhost_adapter(self.handle, ptr::null(), 1.0) }).map(drop)
    }

    /// Whether answers are held to the file's or the adapter's constraint, as a session begins.
    pub fn constrained(&mut self, on: bool) -> Result<()> {
        self.check(unsafe { sys::tinhost_constrained(self.handle, on.into()) }).map(drop)
    }

    pub fn sampling(&mut self, how: Sampling) -> Result<()> {
        let Sampling { temperature, top_p, repetition, seed } = how;
        self.check(unsafe { sys::tinhost_sampling(self.handle, temperature, top_p, repetition, seed) }).map(drop)
    }

    /// Percent of the time, 1 to 100, that its threads work at most where a step has no budget.
    pub fn duty_cycle(&mut self, percent: i32) -> Result<()> {
        self.check(unsafe { sys::tinhost_duty_cycle(self.handle, percent) }).map(drop)
    }

    /// Some(true): the model thinks first; Some(false): it does not; None: its template decides.
    pub fn think(&mut self, first: Option<bool>) -> Result<()> {
        let mode = first.map_or(0, |first| if first { 1 } else { 2 });
        self.check(unsafe { sys::tinhost_think(self.handle, mode) }).map(drop)
    }

    /// Adds a message.
    pub fn say(&mut self, role: Role, text: &str) -> Result<()> {
        let text = c_text(text)?;
        self.check(unsafe { sys::tinhost_say(self.handle, role as i32, text.as_ptr()) }).map(drop)
    }

    /// Puts an image, a PNG or JPEG file's bytes, before the text of the user's message that comes next.
    pub fn image(&mut self, file: &[u8]) -> Result<()> {
        self.check(unsafe { sys::tinhost_image(self.handle, file.as_ptr().cast(), file.len() as i64) }).map(drop)
    }

    /// As `image`, of pixels: rows of 3 bytes a pixel (RGB), or 4 (RGBA).
    pub fn pixels(&mut self, pixels: &[u8], width: u32, height: u32, channels: u32) -> Result<()> {
        let side = |value: u32| i32::try_from(value).unwrap_or(0);
        let (width, height, channels) = (side(width), side(height), side(channels));
        let (data, size) = (pixels.as_ptr().cast(), pixels.len() as i64);
        self.check(unsafe { sys::tinhost_pixels(self.handle, data, size, width, height, channels) }).map(drop)
    }

    /// Forgets all messages from the k-th on.
    pub fn forget(&mut self, k: usize) -> Result<()> {
        let k = i32::try_from(k).map_err(|_| Error::argument(format!("there is no message {k}")))?;
        self.check(unsafe { sys::tinhost_forget(self.handle, k) }).map(drop)
    }

    /// The messages, each with its role.
    pub fn messages(&self) -> Vec<(Role, String)> {
        let count = unsafe { sys::tinhost_messages(self.handle) };
        let role = |k| match unsafe { sys::tinhost_message_role(self.handle, k) } {
            sys::ROLE_SYSTEM => Role::System,
            sys::ROLE_USER => Role::User,
            sys::ROLE_ASSISTANT => Role::Assistant,
            _ => Role::Tool,
        };
        let text = |k| unsafe { rust_text(sys::tinhost_message(self.handle, k)) }.unwrap_or_default();
        (0..count).map(|k| (role(k), text(k))).collect()
    }

    /// Begins an answer to the messages. Nothing is computed before a step.
    pub fn begin(&mut self, most_tokens: i32) -> Result<()> {
        self.check(unsafe { sys::tinhost_begin(self.handle, most_tokens) }).map(drop)
    }

    /// Says a text as the user, and begins an answer.
    pub fn ask(&mut self, text: &str, most_tokens: i32) -> Result<()> {
        let text = c_text(text)?;
        self.check(unsafe { sys::tinhost_ask(self.handle, text.as_ptr(), most_tokens) }).map(drop)
    }

    /// Begins an answer that is one of some options, each one line.
    pub fn choose<T: AsRef<str>>(&mut self, options: &[T]) -> Result<()> {
        if let Some(option) = options.iter().find(|option| option.as_ref().contains('\n')) {
            return Err(Error::argument(format!("{:?}: an option is one line", option.as_ref())));
        }
        let lines: Vec<&str> = options.iter().map(AsRef::as_ref).collect();
        let lines = c_text(&(lines.join("\n") + "\n"))?;
        self.check(unsafe { sys::tinhost_choose(self.handle, lines.as_ptr()) }).map(drop)
    }

    /// Begins what goes on from a text as it is, without a chat template. It becomes no message.
    pub fn complete(&mut self, text: &str, most_tokens: i32) -> Result<()> {
        let text = c_text(text)?;
        self.check(unsafe { sys::tinhost_complete(self.handle, text.as_ptr(), most_tokens) }).map(drop)
    }

    /// Goes on with the answer for about a budget; zero: until there is a piece, or the end; Duration::MAX: until the end.
    pub fn step(&mut self, budget: Duration) -> Result<Step> {
        // A part of a microsecond is a whole one, since 0 is no bound.
        let budget = i64::try_from((budget.as_nanos() + 999) / 1000).unwrap_or(i64::MAX);
        let event = self.check(unsafe { sys::tinhost_step(self.handle, budget) })?;
        let piece = || unsafe { rust_text(sys::tinhost_piece(self.handle)) }.unwrap_or_default();
        Ok(match event {
            sys::PENDING => Step::Pending,
            sys::PIECE => Step::Piece(piece()),
            sys::DONE => Step::Done(piece()),
            _ => Step::Idle,
        })
    }

    /// The pieces to come. Leave it early and the answer stays under way: step on, or cancel.
    pub fn pieces(&mut self) -> Pieces<'_> {
        Pieces { session: self, over: false }
    }

    /// The answer once all of it has come.
    pub fn finish(&mut self) -> Result<Answer> {
        self.pieces().try_for_each(|piece| piece.map(drop))?;
        Ok(self.answer())
    }

    /// The answer so far.
    pub fn answer(&self) -> Answer {
        // SAFETY: the session is open, and the text is copied.
        unsafe {
            Answer {
                text: rust_text(sys::tinhost_answer(self.handle)).unwrap_or_default(),
                finish: match sys::tinhost_finish(self.handle) {
                    sys::FINISH_END => Finish::End,
                    sys::FINISH_LENGTH => Finish::Length,
                    sys::FINISH_CONTEXT => Finish::Context,
                    sys::FINISH_CONSTRAINT => Finish::Constraint,
                    _ => Finish::None,
                },
                tokens: sys::tinhost_tokens(self.handle),
                passes: sys::tinhost_passes(self.handle),
                digest: sys::tinhost_digest(self.handle) as u64,
                chosen: usize::try_from(sys::tinhost_chosen(self.handle)).ok(),
            }
        }
    }

    /// Drops the answer under way: its messages stay.
    pub fn cancel(&mut self) {
        unsafe { sys::tinhost_cancel(self.handle) }
    }

    /// Bytes of memory of the session: all that it will take but for the conversation's texts.
    pub fn bytes(&self) -> i64 {
        unsafe { sys::tinhost_session_bytes(self.handle) }
    }

    /// Messages, adapters and caches as bytes. An answer under way is not part of it.
    pub fn save(&self) -> Result<Vec<u8>> {
        let size = unsafe { sys::tinhost_save_size(self.handle) };
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
        self.check(unsafe { sys::tinhost_save(self.handle, bytes.as_mut_ptr().cast(), size) })?;
        Ok(bytes)
    }

    /// What [`Session::save`] gave for a session of the same file, on any machine. On failure nothing changes.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<()> {
        self.check(unsafe { sys::tinhost_restore(self.handle, bytes.as_ptr().cast(), bytes.len() as i64) }).map(drop)
    }

    /// Becomes what another session of the model is: a fork, or a state to roll back to.
    pub fn copy_from(&mut self, from: &Session) -> Result<()> {
        self.check(unsafe { sys::tinhost_copy(self.handle, from.handle) }).map(drop)
    }

    fn check(&self, status: i32) -> Result<i32> {
        if status >= 0 {
            return Ok(status);
        }
        let message = unsafe { rust_text(sys::tinhost_error(self.handle)) }.unwrap_or_default();
        Err(Error { status: sys::Status::of(status), message })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // SAFETY: nobody has it any more.
        unsafe { sys::tinhost_session_close(self.handle) }
    }
}

/// Pieces of an answer, each computed when it is asked for.
pub struct Pieces<'a> {
    session: &'a mut Session,
    over: bool,
}

impl Iterator for Pieces<'_> {
    type Item = Result<String>;

    fn next(&mut self) -> Option<Result<String>> {
        while !self.over {
            let step = self.session.step(Duration::ZERO);
            self.over = !matches!(step, Ok(Step::Pending | Step::Piece(_)));
            match step {
                Err(error) => return Some(Err(error)),
                Ok(Step::Piece(piece) | Step::Done(piece)) if !piece.is_empty() => return Some(Ok(piece)),
                _ => {}
            }
        }
        None
    }
}
