// Package tinsmith runs sealed language models (.tin). The same file, words and seed give the same tokens on every
// machine, with any number of threads and in slices of any size.
//
//	model, err := tinsmith.Open("home.tin", tinsmith.WithKey("RW..."))
//	session, err := model.Session(tinsmith.Options{})
//	defer session.Close()
//	for piece, err := range session.Ask(ctx, "Turn on the light", 64) { ... }
//
// Its C sources, tin.c and tin_host.c, lie beside it and are compiled by cgo. Without them it links the libtinhost that
// CGO_LDFLAGS names.
package tinsmith

/*
#cgo CFLAGS: -std=c11 -O2 -fvisibility=hidden
#cgo linux LDFLAGS: -pthread
#include <stdlib.h>
#include "tin_host.h"
*/
import "C"

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// Status is a code of tin.h; it is an error too, so that errors.Is(err, tinsmith.ErrSignature) says what went wrong.
type Status int32

const (
	ErrArgument    Status = C.TIN_ERR_ARGUMENT
	ErrFormat      Status = C.TIN_ERR_FORMAT
	ErrVersion     Status = C.TIN_ERR_VERSION
	ErrUnsupported Status = C.TIN_ERR_UNSUPPORTED
	ErrMemory      Status = C.TIN_ERR_MEMORY
	ErrContext     Status = C.TIN_ERR_CONTEXT
	ErrState       Status = C.TIN_ERR_STATE
	ErrText        Status = C.TIN_ERR_TEXT
	ErrSignature   Status = C.TIN_ERR_SIGNATURE
)

func (s Status) Error() string {
	return strings.TrimPrefix(C.GoString(C.tin_status_name(C.tin_status(s))), "TIN_ERR_")
}

// Error is a status and a line that says what was wrong.
type Error struct {
	Status  Status
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Message, e.Status.Error()) }

// Unwrap gives the status.
func (e *Error) Unwrap() error { return e.Status }

// Model is an open file. Any number of goroutines may use it.
type Model struct {
	mu     sync.Mutex // its texts last until the next call for it
	handle *C.tinhost_model
	file   unsafe.Pointer // of OpenBytes
	users  int            // sessions, and the model itself while it is open
}

type opening struct{ key, signature string }

// Option says how a file is opened.
type Option func(*opening)

// WithKey refuses a file that the owner of minisign's public key ("RW...") did not sign.
func WithKey(key string) Option { return func(o *opening) { o.key = key } }

// WithSignature gives the text of the .minisig file to OpenBytes. Open reads it from beside the file.
func WithSignature(text string) Option { return func(o *opening) { o.signature = text } }

func read(options []Option) opening {
	var how opening
	for _, option := range options {
		option(&how)
	}
	return how
}

// Open opens a .tin, mapped into memory and not read as a whole.
func Open(path string, options ...Option) (*Model, error) {
	how := read(options)
	texts, err := cTexts(path, how.key)
	if err != nil {
		return nil, err
	}
	defer freeAll(texts)
	return opened(C.tinhost_open(texts[0], texts[1]), nil)
}

// OpenBytes opens a .tin that is in memory; it is copied to where Go's collector does not look.
func OpenBytes(file []byte, options ...Option) (*Model, error) {
	how := read(options)
	texts, err := cTexts(how.signature, how.key)
	if err != nil {
		return nil, err
	}
	defer freeAll(texts)
	signature := texts[0]
	if how.signature == "" {
		signature = nil
	}
	kept := C.malloc(C.size_t(len(file)) + C.TIN_ALIGNMENT)
	if kept == nil {
		return nil, &Error{ErrMemory, fmt.Sprintf("there is no memory for a file of %d bytes", len(file))}
	}
	aligned := unsafe.Add(kept, C.TIN_ALIGNMENT-uintptr(kept)%C.TIN_ALIGNMENT)
	copy(unsafe.Slice((*byte)(aligned), len(file)), file)
	return opened(C.tinhost_open_memory(aligned, C.int64_t(len(file)), signature, texts[1]), kept)
}

func opened(handle *C.tinhost_model, file unsafe.Pointer) (*Model, error) {
	if handle == nil {
		C.free(file)
		return nil, &Error{ErrMemory, "there is no memory for a handle"}
	}
	model := &Model{handle: handle, file: file, users: 1}
	if status := C.tinhost_model_status(handle); status < 0 {
		message := C.GoString(C.tinhost_model_error(handle))
		model.release()
		return nil, &Error{Status(status), message}
	}
	runtime.SetFinalizer(model, (*Model).Close)
	return model, nil
}

// Close closes the file, once its last session is closed. A second Close does nothing.
func (m *Model) Close() error {
	m.mu.Lock()
	closing := m.handle != nil
	m.mu.Unlock()
	if closing {
		runtime.SetFinalizer(m, nil)
		m.release()
	}
	return nil
}

// release gives back the model's own hold. C keeps the file for sessions that are open; its copy in memory goes with
// the last.
func (m *Model) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	C.tinhost_close(m.handle)
	m.handle = nil
	m.leave()
}

// leave is called with mu held, by each session that closes and by the model.
func (m *Model) leave() {
	if m.users--; m.users == 0 {
		C.free(m.file)
		m.file = nil
	}
}

// Adapters are the names of those in the file.
func (m *Model) Adapters() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for k := C.int32_t(0); ; k++ {
		name := C.tinhost_adapter_name(m.handle, k)
		if name == nil {
			return names
		}
		names = append(names, C.GoString(name))
	}
}

// Entry is the file's text entry of a name ("manifest.json", ...), and whether there is one.
func (m *Model) Entry(name string) (string, bool) {
	texts, err := cTexts(name)
	if err != nil {
		return "", false
	}
	defer freeAll(texts)
	m.mu.Lock()
	defer m.mu.Unlock()
	text := C.tinhost_entry(m.handle, texts[0])
	return C.GoString(text), text != nil
}

// ISA is the instruction set in use.
func (m *Model) ISA() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return C.GoString(C.tinhost_isa(m.handle))
}

// Fingerprint is a number that equal files share.
func (m *Model) Fingerprint() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(C.tinhost_fingerprint(m.handle))
}

// cTexts are copies in C's memory, to be given back by freeAll.
func cTexts(texts ...string) ([]*C.char, error) {
	for _, text := range texts {
		if at := strings.IndexByte(text, 0); at >= 0 {
			return nil, &Error{ErrArgument, fmt.Sprintf("the text has a NUL at byte %d; leave it out", at)}
		}
	}
	made := make([]*C.char, len(texts))
	for k, text := range texts {
		made[k] = C.CString(text)
	}
	return made, nil
}

func freeAll(texts []*C.char) {
	for _, text := range texts {
		C.free(unsafe.Pointer(text))
	}
}
