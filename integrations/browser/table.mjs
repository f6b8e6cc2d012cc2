// Made by scripts/bindings.py of kernels/include/tin_host.h: change that.
// Function to [result, kinds of its arguments].

export const FUNCTIONS = {
  open: ["tinhost_open", "model", ["text", "text"]],
  openMemory: ["tinhost_open_memory", "model", ["data", "text", "text"]],
  close: ["tinhost_close", "nothing", ["model"]],
  modelError: ["tinhost_model_error", "text", ["model"]],
  modelStatus: ["tinhost_model_status", "int", ["model"]],
  adapterName: ["tinhost_adapter_name", "text", ["model", "int"]],
  entry: ["tinhost_entry", "text", ["model", "text"]],
  isa: ["tinhost_isa", "text", ["model"]],
  fingerprint: ["tinhost_fingerprint", "long", ["model"]],
  sessionOpen: ["tinhost_session_open", "session", ["model", "int", "int", "int", "long"]],
  sessionClose: ["tinhost_session_close", "nothing", ["session"]],
  error: ["tinhost_error", "text", ["session"]],
  status: ["tinhost_status", "int", ["session"]],
  sessionBytes: ["tinhost_session_bytes", "long", ["session"]],
  adapter: ["tinhost_adapter", "int", ["session", "text", "double"]],
  constrained: ["tinhost_constrained", "int", ["session", "int"]],
  sampling: ["tinhost_sampling", "int", ["session", "double", "double", "double", "long"]],
  dutyCycle: ["tinhost_duty_cycle", "int", ["session", "int"]],
  think: ["tinhost_think", "int", ["session", "int"]],
  say: ["tinhost_say", "int", ["session", "int", "text"]],
  image: ["tinhost_image", "int", ["session", "data"]],
  pixels: ["tinhost_pixels", "int", ["session", "data", "int", "int", "int"]],
  forget: ["tinhost_forget", "int", ["session", "int"]],
  messages: ["tinhost_messages", "int", ["session"]],
  message: ["tinhost_message", "text", ["session", "int"]],
  messageRole: ["tinhost_message_role", "int", ["session", "int"]],
  begin: ["tinhost_begin", "int", ["session", "int"]],
  ask: ["tinhost_ask", "int", ["session", "text", "int"]],
  choose: ["tinhost_choose", "int", ["session", "text"]],
  complete: ["tinhost_complete", "int", ["session", "text", "int"]],
  step: ["tinhost_step", "int", ["session", "long"]],
  piece: ["tinhost_piece", "text", ["session"]],
  answer: ["tinhost_answer", "text", ["session"]],
  chosen: ["tinhost_chosen", "int", ["session"]],
  finish: ["tinhost_finish", "int", ["session"]],
  tokens: ["tinhost_tokens", "int", ["session"]],
  passes: ["tinhost_passes", "int", ["session"]],
  digest: ["tinhost_digest", "long", ["session"]],
  cancel: ["tinhost_cancel", "nothing", ["session"]],
  saveSize: ["tinhost_save_size", "long", ["session"]],
  save: ["tinhost_save", "int", ["session", "room"]],
  restore: ["tinhost_restore", "int", ["session", "data"]],
  copy: ["tinhost_copy", "int", ["session", "session"]],
};

export const PENDING = 0;
export const PIECE = 1;
export const DONE = 2;
export const IDLE = 3;
export const ROLE_SYSTEM = 0;
export const ROLE_USER = 1;
export const ROLE_ASSISTANT = 2;
export const ROLE_TOOL = 3;
export const FINISH_NONE = 0;
export const FINISH_END = 1;
export const FINISH_LENGTH = 2;
export const FINISH_CONTEXT = 3;
export const FINISH_CONSTRAINT = 4;

// Of status -1, -2, …
export const STATUSES = ["ARGUMENT", "FORMAT", "VERSION", "UNSUPPORTED", "MEMORY", "CONTEXT", "STATE", "TEXT", "SIGNATURE"];
