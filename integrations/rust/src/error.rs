//! What goes wrong, and texts on their way to C and back.

use crate::sys::Status;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::raw::c_char;

/// A status of tin.h, and a line that says what was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub status: Status,
    pub message: String,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn argument(message: String) -> Error {
        Error { status: Status::Argument, message }
    }

    pub(crate) fn memory() -> Error {
        Error { status: Status::Memory, message: "there is no memory for a handle".into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({:?})", self.message, self.status)
    }
}

impl std::error::Error for Error {}

pub(crate) fn c_text(text: &str) -> Result<CString> {
    CString::new(text)
        .map_err(|error| Error::argument(format!("the text has a NUL at byte {}; leave it out", error.nul_position())))
}

/// A copy of a handle's text; None for NULL.
///
/// # Safety
/// text is NULL or ends with a NUL.
pub(crate) unsafe fn rust_text(text: *const c_char) -> Option<String> {
    (!text.is_null()).then(|| CStr::from_ptr(text).to_string_lossy().into_owned())
}
