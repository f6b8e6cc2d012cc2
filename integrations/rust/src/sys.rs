//! Made by scripts/bindings.py of kernels/include/tin_host.h: change that.

use std::os::raw::{c_char, c_void};

#[repr(C)]
pub struct Model {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct Session {
    _opaque: [u8; 0],
}

extern "C" {
    pub fn tinhost_open(path: *const c_char, key: *const c_char) -> *mut Model;
    pub fn tinhost_open_memory(file: *const c_void, file_bytes: i64, signature: *const c_char, key: *const c_char) -> *mut Model;
    pub fn tinhost_close(model: *mut Model);
    pub fn tinhost_model_error(model: *mut Model) -> *const c_char;
    pub fn tinhost_model_status(model: *mut Model) -> i32;
    pub fn tinhost_adapter_name(model: *mut Model, k: i32) -> *const c_char;
    pub fn tinhost_entry(model: *mut Model, name: *const c_char) -> *const c_char;
    pub fn tinhost_isa(model: *mut Model) -> *const c_char;
    pub fn tinhost_fingerprint(model: *mut Model) -> i64;
    pub fn tinhost_session_open(model: *mut Model, context: i32, threads: i32, adapters: i32, most_bytes: i64) -> *mut Session;
    pub fn tinhost_session_close(session: *mut Session);
    pub fn tinhost_error(session: *mut Session) -> *const c_char;
    pub fn tinhost_status(session: *mut Session) -> i32;
    pub fn tinhost_session_bytes(session: *mut Session) -> i64;
    pub fn tinhost_adapter(session: *mut Session, name: *const c_char, scale: f64) -> i32;
    pub fn tinhost_constrained(session: *mut Session, on: i32) -> i32;
    pub fn tinhost_sampling(session: *mut Session, temperature: f64, top_p: f64, repetition: f64, seed: i64) -> i32;
    pub fn tinhost_duty_cycle(session: *mut Session, percent: i32) -> i32;
    pub fn tinhost_think(session: *mut Session, mode: i32) -> i32;
    pub fn tinhost_say(session: *mut Session, role: i32, text: *const c_char) -> i32;
    pub fn tinhost_image(session: *mut Session, file: *const c_void, file_bytes: i64) -> i32;
    pub fn tinhost_pixels(session: *mut Session, pixels: *const c_void, pixels_bytes: i64, width: i32, height: i32, channels: i32) -> i32;
    pub fn tinhost_forget(session: *mut Session, k: i32) -> i32;
    pub fn tinhost_messages(session: *mut Session) -> i32;
    pub fn tinhost_message(session: *mut Session, k: i32) -> *const c_char;
    pub fn tinhost_message_role(session: *mut Session, k: i32) -> i32;
    pub fn tinhost_begin(session: *mut Session, most_tokens: i32) -> i32;
    pub fn tinhost_ask(session: *mut Session, text: *const c_char, most_tokens: i32) -> i32;
    pub fn tinhost_choose(session: *mut Session, options: *const c_char) -> i32;
    pub fn tinhost_complete(session: *mut Session, text: *const c_char, most_tokens: i32) -> i32;
    pub fn tinhost_step(session: *mut Session, budget_us: i64) -> i32;
    pub fn tinhost_piece(session: *mut Session) -> *const c_char;
    pub fn tinhost_answer(session: *mut Session) -> *const c_char;
    pub fn tinhost_chosen(session: *mut Session) -> i32;
    pub fn tinhost_finish(session: *mut Session) -> i32;
    pub fn tinhost_tokens(session: *mut Session) -> i32;
    pub fn tinhost_passes(session: *mut Session) -> i32;
    pub fn tinhost_digest(session: *mut Session) -> i64;
    pub fn tinhost_cancel(session: *mut Session);
    pub fn tinhost_save_size(session: *mut Session) -> i64;
    pub fn tinhost_save(session: *mut Session, out: *mut c_void, out_bytes: i64) -> i32;
    pub fn tinhost_restore(session: *mut Session, data: *const c_void, data_bytes: i64) -> i32;
    pub fn tinhost_copy(to: *mut Session, from: *mut Session) -> i32;
}

pub const PENDING: i32 = 0;
pub const PIECE: i32 = 1;
pub const DONE: i32 = 2;
pub const IDLE: i32 = 3;
pub const ROLE_SYSTEM: i32 = 0;
pub const ROLE_USER: i32 = 1;
pub const ROLE_ASSISTANT: i32 = 2;
pub const ROLE_TOOL: i32 = 3;
pub const FINISH_NONE: i32 = 0;
pub const FINISH_END: i32 = 1;
pub const FINISH_LENGTH: i32 = 2;
pub const FINISH_CONTEXT: i32 = 3;
pub const FINISH_CONSTRAINT: i32 = 4;

/// What went wrong, as tin.h names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// an argument is out of range or missing
    Argument = -1,
    /// the file is not a tin, or is damaged
    Format = -2,
    /// the file needs another version of the runtime
    Version = -3,
    /// this build lacks what the file or the caller asks for
    Unsupported = -4,
    /// the given memory block is too small or misaligned
    Memory = -5,
    /// the session's context is full
    Context = -6,
    /// the call does not fit the session's state
    State = -7,
    /// the text can't be tokenized
    Text = -8,
    /// the file is not what the owner of the key signed
    Signature = -9,
}

impl Status {
    pub(crate) fn of(code: i32) -> Status {
        match code {
            -2 => Status::Format,
            -3 => Status::Version,
            -4 => Status::Unsupported,
            -5 => Status::Memory,
            -6 => Status::Context,
            -7 => Status::State,
            -8 => Status::Text,
            -9 => Status::Signature,
            _ => Status::Argument,
        }
    }
}
