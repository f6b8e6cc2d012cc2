use crate::error::{c_text, rust_text, Error, Result};
use crate::session::Session;
use crate::sys;
use std::ffi::CString;
use std::os::raw::c_char;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex};

const ALIGNMENT: usize = 64; // TIN_ALIGNMENT: a file that lies otherwise is copied

/// An open file. It is closed when it and its last session are dropped; clones are the same file.
#[derive(Clone)]
pub struct Model {
    pub(crate) open: Arc<Open>,
}

pub(crate) struct Open {
    pub(crate) handle: *mut sys::Model,
    texts: Mutex<()>, // what C returns of a model lasts until the next call
    _file: Vec<u8>,   // of Model::from_bytes
}

// SAFETY: any number of threads may use a model (tin_host.h); its texts are read under the lock.
unsafe impl Send for Open {}
unsafe impl Sync for Open {}

/// What a session is given. Each 0 is the library's own choice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Most tokens; 0: the model's own number.
    pub context: i32,
    /// That compute, the caller's among them; 0 and 1: the caller's alone.
    pub threads: i32,
    /// At once; 0 or 1: one.
    pub adapters: i32,
    /// Of memory that it may take; 0: any.
    pub most_bytes: i64,
}

impl Model {
    /// Opens a .tin, checked as any untrusted file. It is mapped, not read.
    pub fn open(path: impl AsRef<Path>) -> Result<Model> {
        Model::at(path.as_ref(), None)
    }

    /// Opens a .tin that the owner of minisign's public key ("RW...") signed; any other is refused.
    pub fn open_signed(path: impl AsRef<Path>, key: &str) -> Result<Model> {
        Model::at(path.as_ref(), Some(key))
    }

    /// Opens a .tin in memory. signature: the text of its .minisig file.
    pub fn from_bytes(file: Vec<u8>, signature: Option<&str>, key: Option<&str>) -> Result<Model> {
        let signature = signature.map(c_text).transpose()?;
        let key = key.map(c_text).transpose()?;
        // SAFETY: the bytes stay where they are until the model is closed.
        let handle = unsafe {
            sys::tinhost_open_memory(file.as_ptr().cast(), file.len() as i64, or_null(&signature), or_null(&key))
        };
        let used = file.as_ptr() as usize % ALIGNMENT == 0;
        Model::of(handle, if used { file } else { Vec::new() })
    }

    fn at(path: &Path, key: Option<&str>) -> Result<Model> {
        let name = path.to_str().ok_or_else(|| Error::argument(format!("{}: not UTF-8; rename it", path.display())))?;
        let (name, key) = (c_text(name)?, key.map(c_text).transpose()?);
        // SAFETY: both texts end with a NUL.
        Model::of(unsafe { sys::tinhost_open(name.as_ptr(), or_null(&key)) }, Vec::new())
    }

    fn of(handle: *mut sys::Model, file: Vec<u8>) -> Result<Model> {
        if handle.is_null() {
            return Err(Error::memory());
        }
        let open = Open { handle, texts: Mutex::new(()), _file: file };
        // SAFETY: the handle is open, and closed by `open` whatever follows.
        let status = unsafe { sys::tinhost_model_status(handle) };
        if status < 0 {
            let message = unsafe { rust_text(sys::tinhost_model_error(handle)) }.unwrap_or_default();
            return Err(Error { status: sys::Status::of(status), message });
        }
        Ok(Model { open: Arc::new(open) })
    }

    /// An empty conversation, held to the file's own constraint where it has one.
    pub fn session(&self, options: Options) -> Result<Session> {
        Session::open(self, options)
    }

    /// The names of the adapters in the file.
    pub fn adapters(&self) -> Vec<String> {
        (0..).map_while(|k| self.text(|handle| unsafe { sys::tinhost_adapter_name(handle, k) })).collect()
    }

    /// The file's text entry of a name ("manifest.json", …).
    pub fn entry(&self, name: &str) -> Option<String> {
        let name = c_text(name).ok()?;
        self.text(|handle| unsafe { sys::tinhost_entry(handle, name.as_ptr()) })
    }

    /// The instruction set in use.
    pub fn isa(&self) -> String {
        self.text(|handle| unsafe { sys::tinhost_isa(handle) }).unwrap_or_default()
    }

    /// A number that equal files share.
    pub fn fingerprint(&self) -> u64 {
        unsafe { sys::tinhost_fingerprint(self.open.handle) as u64 }
    }

    fn text(&self, call: impl FnOnce(*mut sys::Model) -> *const c_char) -> Option<String> {
        let _alone = self.open.texts.lock().unwrap_or_else(|held| held.into_inner());
        // SAFETY: the text is copied before another call for the model.
        unsafe { rust_text(call(self.open.handle)) }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: each session holds the model, so that none is left.
        unsafe { sys::tinhost_close(self.handle) }
    }
}

fn or_null(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}
