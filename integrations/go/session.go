package tinsmith

/*
#include "tin_host.h"
*/
import "C"

import (
	"context"
	"fmt"
	"iter"
	"math"
	"runtime"
	"strings"
	"time"
	"unsafe"
)

// slice is how long the pieces of an answer compute between two looks at their context.
const slice = 5 * time.Millisecond

// Options are what a session is given. Each 0 is the library's own choice.
type Options struct {
	Context   int   // most tokens; 0: the model's own number
	Threads   int   // that compute, the caller's among them
	Adapters  int   // at once; 0 or 1: one
	MostBytes int64 // of memory that it may take; 0: any
}

// Session is a conversation. One goroutine at a time uses it.
type Session struct {
	handle *C.tinhost_session
	model  *Model
}

// Session begins an empty conversation, held to the file's own constraint where it has one.
func (m *Model) Session(o Options) (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.handle == nil {
		return nil, &Error{ErrState, "the model is closed"}
	}
	handle := C.tinhost_session_open(m.handle, int32Of(o.Context), int32Of(o.Threads), int32Of(o.Adapters),
		C.int64_t(o.MostBytes))
	if handle == nil {
		return nil, &Error{ErrMemory, "there is no memory for a handle"}
	}
	session := &Session{handle, m}
	if err := session.check(C.tinhost_status(handle)); err != nil {
		C.tinhost_session_close(handle)
		return nil, err
	}
	m.users++
	runtime.SetFinalizer(session, (*Session).Close)
	return session, nil
}

// Close gives the memory back. A second Close does nothing.
func (s *Session) Close() error {
	if s.handle == nil {
		return nil
	}
	runtime.SetFinalizer(s, nil)
	C.tinhost_session_close(s.handle)
	s.handle = nil
	s.model.mu.Lock()
	defer s.model.mu.Unlock()
	s.model.leave()
	return nil
}

// check makes an error of a status below 0. tin_host takes NULL, a closed session's handle, for one that failed.
func (s *Session) check(status C.int32_t) error {
	if status >= 0 {
		return nil
	}
	if s.handle == nil {
		return &Error{ErrState, "the session is closed"}
	}
	return &Error{Status(status), C.GoString(C.tinhost_error(s.handle))}
}

// Adapter puts an adapter of the file to work at a scale: 1 as it was trained, 0 takes it off; "" takes off all.
func (s *Session) Adapter(name string, scale float64) error {
	return s.withText(name, func(text *C.char) C.int32_t { return C.tinhost_adapter(s.handle, text, C.double(scale)) })
}

// Constrained says whether answers are held to the file's or the adapter's constraint, as a session begins.
func (s *Session) Constrained(on bool) error {
	var flag C.int32_t
	if on {
		flag = 1
	}
	return s.check(C.tinhost_constrained(s.handle, flag))
}

// Sampling says how tokens are chosen.
type Sampling struct {
	Temperature float64 // 0: the likeliest each time
	TopP        float64 // 0 is taken for 1
	Repetition  float64 // a penalty on tokens that were there; 0 is taken for 1, none
	Seed        int64
}

// Sampling sets how the next answers' tokens are chosen.
func (s *Session) Sampling(how Sampling) error {
	for _, value := range []*float64{&how.TopP, &how.Repetition} {
		if *value == 0 {
			*value = 1
		}
	}
	return s.check(C.tinhost_sampling(s.handle, C.double(how.Temperature), C.double(how.TopP),
		C.double(how.Repetition), C.int64_t(how.Seed)))
}

// Thinking is whether a model thinks first.
type Thinking int32

// The modes of Thinking.
const (
	ThinkAsTemplate Thinking = iota
	ThinkFirst
	ThinkNot
)

// DutyCycle bounds the percent of the time, 1 to 100, that the session's threads work where a step has no budget.
func (s *Session) DutyCycle(percent int) error {
	return s.check(C.tinhost_duty_cycle(s.handle, int32Of(percent)))
}

// Think turns the switch of the model's template.
func (s *Session) Think(mode Thinking) error {
	return s.check(C.tinhost_think(s.handle, C.int32_t(mode)))
}

// Role is who a message is from.
type Role int32

// The roles.
const (
	System    Role = C.TIN_ROLE_SYSTEM
	User      Role = C.TIN_ROLE_USER
	Assistant Role = C.TIN_ROLE_ASSISTANT
	Tool      Role = C.TIN_ROLE_TOOL
)

// Message is one of a conversation.
type Message struct {
	Role Role
	Text string
}

// Say adds a message.
func (s *Session) Say(role Role, text string) error {
	return s.withText(text, func(text *C.char) C.int32_t { return C.tinhost_say(s.handle, C.int32_t(role), text) })
}

// Image puts an image, a PNG or JPEG file's bytes, before the text of the user's message that comes next.
func (s *Session) Image(file []byte) error {
	return s.check(C.tinhost_image(s.handle, unsafe.Pointer(unsafe.SliceData(file)), C.int64_t(len(file))))
}

// Pixels is Image of pixels: rows of 3 bytes a pixel (RGB), or 4 (RGBA).
func (s *Session) Pixels(pixels []byte, width, height, channels int) error {
	return s.check(C.tinhost_pixels(s.handle, unsafe.Pointer(unsafe.SliceData(pixels)), C.int64_t(len(pixels)),
		int32Of(width), int32Of(height), int32Of(channels)))
}

// Forget forgets all messages from the k-th on.
func (s *Session) Forget(k int) error { return s.check(C.tinhost_forget(s.handle, int32Of(k))) }

// Messages are those of the conversation.
func (s *Session) Messages() []Message {
	defer runtime.KeepAlive(s)
	messages := make([]Message, max(0, int(C.tinhost_messages(s.handle))))
	for k := range messages {
		messages[k].Role = Role(C.tinhost_message_role(s.handle, C.int32_t(k)))
		messages[k].Text = C.GoString(C.tinhost_message(s.handle, C.int32_t(k)))
	}
	return messages
}

// Ask says a text as the user, and answers: the pieces, each computed when it is asked for. When the context is done
// or the loop is left, the answer is dropped; the context's error is the last then.
func (s *Session) Ask(ctx context.Context, text string, mostTokens int) iter.Seq2[string, error] {
	return s.pieces(ctx, func() error { return s.BeginAsk(text, mostTokens) })
}

// Answers answers the messages so far, as Ask does.
func (s *Session) Answers(ctx context.Context, mostTokens int) iter.Seq2[string, error] {
	return s.pieces(ctx, func() error { return s.Begin(mostTokens) })
}

// Complete goes on from a text as it is, without a chat template, as Ask does. It becomes no message.
func (s *Session) Complete(ctx context.Context, text string, mostTokens int) iter.Seq2[string, error] {
	return s.pieces(ctx, func() error {
		return s.withText(text, func(text *C.char) C.int32_t {
			return C.tinhost_complete(s.handle, text, int32Of(mostTokens))
		})
	})
}

// Choose answers with one of some options, each one line, and returns which.
func (s *Session) Choose(ctx context.Context, options []string) (int, error) {
	for _, option := range options {
		if strings.Contains(option, "\n") {
			return -1, &Error{ErrArgument, fmt.Sprintf("%q: an option is one line", option)}
		}
	}
	begin := func() error {
		return s.withText(strings.Join(options, "\n")+"\n", func(text *C.char) C.int32_t {
			return C.tinhost_choose(s.handle, text)
		})
	}
	for _, err := range s.pieces(ctx, begin) {
		if err != nil {
			return -1, err
		}
	}
	chosen := int(C.tinhost_chosen(s.handle))
	runtime.KeepAlive(s)
	return chosen, nil
}

func (s *Session) pieces(ctx context.Context, begin func() error) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := begin(); err != nil {
			yield("", err)
			return
		}
		for {
			if err := ctx.Err(); err != nil {
				s.Cancel()
				yield("", err)
				return
			}
			event, piece, err := s.Step(slice)
			if err != nil {
				yield("", err)
				return
			}
			if piece != "" && !yield(piece, nil) {
				s.Cancel()
				return
			}
			if event == Done || event == Idle {
				return
			}
		}
	}
}

// Event is what came of a step.
type Event int32

// The events.
const (
	Pending Event = C.TINHOST_PENDING // the budget is spent without anything new
	Piece   Event = C.TINHOST_PIECE   // there is more of the answer, and more to come
	Done    Event = C.TINHOST_DONE    // the answer is complete
	Idle    Event = C.TINHOST_IDLE    // no answer is under way
)

// Begin begins what Answers does, for a loop of your own over Step.
func (s *Session) Begin(mostTokens int) error {
	return s.check(C.tinhost_begin(s.handle, int32Of(mostTokens)))
}

// BeginAsk begins what Ask does, for a loop of your own over Step.
func (s *Session) BeginAsk(text string, mostTokens int) error {
	return s.withText(text, func(text *C.char) C.int32_t {
		return C.tinhost_ask(s.handle, text, int32Of(mostTokens))
	})
}

// Step goes on with the answer for about a budget, and returns what it added; 0: until there is a piece, or the end. A
// budget below 0, as what is left of a frame that is over, does the least that makes progress.
func (s *Session) Step(budget time.Duration) (Event, string, error) {
	event := C.tinhost_step(s.handle, microseconds(budget))
	if err := s.check(event); err != nil {
		return Idle, "", err
	}
	defer runtime.KeepAlive(s)
	return Event(event), C.GoString(C.tinhost_piece(s.handle)), nil
}

// microseconds of a budget. A part of one is a whole one, since 0 is no bound.
func microseconds(budget time.Duration) C.int64_t {
	if budget < 0 {
		return -1
	}
	whole := budget.Microseconds()
	if budget%time.Microsecond != 0 {
		whole++
	}
	return C.int64_t(whole)
}

// int32Of is the nearest number of 32 bits, which C refuses where it is out of range.
func int32Of(number int) C.int32_t {
	return C.int32_t(min(max(number, math.MinInt32), math.MaxInt32))
}

// Cancel drops the answer under way: its messages stay.
func (s *Session) Cancel() {
	C.tinhost_cancel(s.handle)
	runtime.KeepAlive(s)
}

// Finish is why an answer ended.
type Finish int32

// The finishes.
const (
	FinishNone       Finish = C.TIN_FINISH_NONE
	FinishEnd        Finish = C.TIN_FINISH_END
	FinishLength     Finish = C.TIN_FINISH_LENGTH
	FinishContext    Finish = C.TIN_FINISH_CONTEXT
	FinishConstraint Finish = C.TIN_FINISH_CONSTRAINT
)

// Answer is an answer so far, and what it took.
type Answer struct {
	Text   string
	Finish Finish
	Tokens int
	Passes int    // how often the model was evaluated
	Digest uint64 // of tokens and the logits they were chosen by: the same on every machine
}

// Answer is the last, or the one under way.
func (s *Session) Answer() Answer {
	defer runtime.KeepAlive(s)
	return Answer{C.GoString(C.tinhost_answer(s.handle)), Finish(C.tinhost_finish(s.handle)),
		int(C.tinhost_tokens(s.handle)), int(C.tinhost_passes(s.handle)), uint64(C.tinhost_digest(s.handle))}
}

// Bytes of memory of the session: all that it will take but for the conversation's texts.
func (s *Session) Bytes() int64 {
	defer runtime.KeepAlive(s)
	return int64(C.tinhost_session_bytes(s.handle))
}

// Save writes messages, adapters and caches. An answer under way is not part of it.
func (s *Session) Save() ([]byte, error) {
	out := make([]byte, max(1, int64(C.tinhost_save_size(s.handle))))
	return out, s.check(C.tinhost_save(s.handle, unsafe.Pointer(&out[0]), C.int64_t(len(out))))
}

// Restore reads what Save wrote for a session of the same file, on any machine. On failure nothing changes.
func (s *Session) Restore(data []byte) error {
	return s.check(C.tinhost_restore(s.handle, unsafe.Pointer(unsafe.SliceData(data)), C.int64_t(len(data))))
}

// CopyFrom makes the session what another of the model is: a fork, or a state to roll back to.
func (s *Session) CopyFrom(from *Session) error {
	defer runtime.KeepAlive(from)
	return s.check(C.tinhost_copy(s.handle, from.handle))
}

func (s *Session) withText(text string, call func(*C.char) C.int32_t) error {
	texts, err := cTexts(text)
	if err != nil {
		return err
	}
	defer freeAll(texts)
	return s.check(call(texts[0]))
}
