--- tinsmith for LuaJIT: LÖVE, Luanti, and programs of your own. Needs libtinhost beside it, and nothing else.
--
--     local tin = require "tin"
--     local model = assert(tin.open "guard.tin")
--     local guard = assert(model:session { context = 512 })
--     assert(guard:ask("Who goes there?", 64))
--     repeat                                       -- each frame
--       local piece, done = assert(guard:step(2000)) -- two milliseconds
--       io.write(piece)
--     until done
--
-- What can fail returns nil, a line that says why, and the status (tin.status has their names); assert shows the
-- line. kernels/host/tin_host.h says what each function does.
--
-- Where `require` is not to be had, as in a mod, the chunk takes the ffi module: loadfile("tin.lua")(ffi).

local given = ...
local ffi = type(given) == "table" and given or require "ffi"

-- Made by scripts/bindings.py of kernels/include/tin_host.h: change that.
local DECLARATIONS = [[
typedef struct tinhost_model tinhost_model;
typedef struct tinhost_session tinhost_session;
tinhost_model *tinhost_open(const char *path, const char *key);
tinhost_model *tinhost_open_memory(const void *file, int64_t file_bytes, const char *signature, const char *key);
void tinhost_close(tinhost_model *model);
const char *tinhost_model_error(tinhost_model *model);
int32_t tinhost_model_status(tinhost_model *model);
const char *tinhost_adapter_name(tinhost_model *model, int32_t k);
const char *tinhost_entry(tinhost_model *model, const char *name);
const char *tinhost_isa(tinhost_model *model);
int64_t tinhost_fingerprint(tinhost_model *model);
tinhost_session *tinhost_session_open(tinhost_model *model, int32_t context, int32_t threads, int32_t adapters, int64_t most_bytes);
void tinhost_session_close(tinhost_session *session);
const char *tinhost_error(tinhost_session *session);
int32_t tinhost_status(tinhost_session *session);
int64_t tinhost_session_bytes(tinhost_session *session);
int32_t tinhost_adapter(tinhost_session *session, const char *name, double scale);
int32_t tinhost_constrained(tinhost_session *session, int32_t on);
int32_t tinhost_sampling(tinhost_session *session, double temperature, double top_p, double repetition, int64_t seed);
int32_t tinhost_duty_cycle(tinhost_session *session, int32_t percent);
int32_t tinhost_think(tinhost_session *session, int32_t mode);
int32_t tinhost_say(tinhost_session *session, int32_t role, const char *text);
int32_t tinhost_image(tinhost_session *session, const void *file, int64_t file_bytes);
int32_t tinhost_pixels(tinhost_session *session, const void *pixels, int64_t pixels_bytes, int32_t width, int32_t height, int32_t channels);
int32_t tinhost_forget(tinhost_session *session, int32_t k);
int32_t tinhost_messages(tinhost_session *session);
const char *tinhost_message(tinhost_session *session, int32_t k);
int32_t tinhost_message_role(tinhost_session *session, int32_t k);
int32_t tinhost_begin(tinhost_session *session, int32_t most_tokens);
int32_t tinhost_ask(tinhost_session *session, const char *text, int32_t most_tokens);
int32_t tinhost_choose(tinhost_session *session, const char *options);
int32_t tinhost_complete(tinhost_session *session, const char *text, int32_t most_tokens);
int32_t tinhost_step(tinhost_session *session, int64_t budget_us);
const char *tinhost_piece(tinhost_session *session);
const char *tinhost_answer(tinhost_session *session);
int32_t tinhost_chosen(tinhost_session *session);
int32_t tinhost_finish(tinhost_session *session);
int32_t tinhost_tokens(tinhost_session *session);
int32_t tinhost_passes(tinhost_session *session);
int64_t tinhost_digest(tinhost_session *session);
void tinhost_cancel(tinhost_session *session);
int64_t tinhost_save_size(tinhost_session *session);
int32_t tinhost_save(tinhost_session *session, void *out, int64_t out_bytes);
int32_t tinhost_restore(tinhost_session *session, const void *data, int64_t data_bytes);
int32_t tinhost_copy(tinhost_session *to, tinhost_session *from);
]]
local STATUSES = {
  [0] = "OK",
  [-1] = "ARGUMENT",
  [-2] = "FORMAT",
  [-3] = "VERSION",
  [-4] = "UNSUPPORTED",
  [-5] = "MEMORY",
  [-6] = "CONTEXT",
  [-7] = "STATE",
  [-8] = "TEXT",
  [-9] = "SIGNATURE",
}
local VALUES = {
  PENDING = 0,
  PIECE = 1,
  DONE = 2,
  IDLE = 3,
  ROLE_SYSTEM = 0,
  ROLE_USER = 1,
  ROLE_ASSISTANT = 2,
  ROLE_TOOL = 3,
  FINISH_NONE = 0,
  FINISH_END = 1,
  FINISH_LENGTH = 2,
  FINISH_CONTEXT = 3,
  FINISH_CONSTRAINT = 4,
}
-- End of the generated part.

-- A type is declared once, but this file may be loaded again.
local _ = pcall(ffi.typeof, "tinhost_session") or ffi.cdef(DECLARATIONS)

local tin = {
  library = "tinhost", -- a name, or a path with a "/"; loaded with the first model
  status = STATUSES,
}
local role_names = {
  [VALUES.ROLE_SYSTEM] = "system",
  [VALUES.ROLE_USER] = "user",
  [VALUES.ROLE_ASSISTANT] = "assistant",
  [VALUES.ROLE_TOOL] = "tool",
}
local roles = {}
for value, name in pairs(role_names) do roles[name] = value end
local finishes = {
  [VALUES.FINISH_END] = "stop",
  [VALUES.FINISH_LENGTH] = "length",
  [VALUES.FINISH_CONTEXT] = "context",
  [VALUES.FINISH_CONSTRAINT] = "constraint",
}
local C -- the library

local Model, Session = {}, {}
Model.__index, Session.__index = Model, Session

local function text(pointer)
  return pointer ~= nil and ffi.string(pointer) or nil
end

-- A whole number in digits: Lua's numbers hold 53 bits, these have 64.
local function digits(number)
  return (tostring(number):gsub("U?LL$", ""))
end

-- Numbers on their way to C, which takes others modulo 2^32 or as it likes: the nearest that fits, and C refuses it where
-- it is out of range. What is no number becomes the least.
local function within(low, high)
  return function(number) return number >= low and (number <= high and number or high) or low end
end
local int32, int64 = within(-2^31, 2^31 - 1), within(-2^53, 2^53)

-- Microseconds of a budget: a part of one is a whole one, since 0 is no bound.
local function microseconds(budget)
  return int64(budget < 0 and -1 or math.ceil(budget))
end

---- Files ---------------------------------------------------------------------------------------

local function opened(handle, file)
  if handle == nil then return nil, "there is no memory for the model", -5 end
  handle = ffi.gc(handle, C.tinhost_close)
  local status = C.tinhost_model_status(handle)
  if status ~= 0 then return nil, text(C.tinhost_model_error(handle)), status end
  return setmetatable({ handle = handle, file = file }, Model)
end

local function load_library()
  if C then return true end
  local found, library = pcall(ffi.load, tin.library)
  if not found then
    return nil, ("libtinhost is not there as %q; set tin.library to its path (%s)"):format(tin.library, library), -1
  end
  C = library
  -- Garbage is freed in no order: without this the library could be gone before the last handle is closed.
  ffi.tinhost = { library, ffi.tinhost }
  return true
end

--- Opens a .tin, mapped into memory. key: minisign's public key, "RW…"; the file is then refused unless its owner
-- signed it.
function tin.open(path, key)
  local good, why, status = load_library()
  if not good then return nil, why, status end
  return opened(C.tinhost_open(path, key))
end

--- Opens a .tin whose bytes are there already: a string, or a pointer and its size, which LÖVE's FileData gives.
-- signature: the text of its .minisig file.
function tin.open_memory(data, size, signature, key)
  local good, why, status = load_library()
  if not good then return nil, why, status end
  return opened(C.tinhost_open_memory(ffi.cast("const void *", data), size or #data, signature, key), data)
end

--- The names of the file's adapters.
function Model:adapters()
  local names = {}
  repeat
    names[#names + 1] = text(C.tinhost_adapter_name(self.handle, #names))
    local more = C.tinhost_adapter_name(self.handle, #names) ~= nil
  until not more
  return names
end

--- A text entry of the file, such as "manifest.json"; nil where there is none.
function Model:entry(name) return text(C.tinhost_entry(self.handle, name)) end

--- The instruction set in use.
function Model:isa() return text(C.tinhost_isa(self.handle)) end

--- Digits that equal files share.
function Model:fingerprint() return digits(C.tinhost_fingerprint(self.handle)) end

--- An empty conversation. options: context (tokens; the model's own), threads (1), adapters (at once; 1), most_bytes
-- (of memory; any). It is freed when it is collected, which may be late, since Lua does not see its size; or by close.
function Model:session(options)
  options = options or {}
  local handle = C.tinhost_session_open(self.handle, int32(options.context or 0), int32(options.threads or 1),
                                        int32(options.adapters or 1), int64(options.most_bytes or 0))
  if handle == nil then return nil, "there is no memory for the session", -5 end
  local session = setmetatable({ handle = ffi.gc(handle, C.tinhost_session_close), model = self }, Session)
  local status = C.tinhost_status(handle)
  if status ~= 0 then return nil, session:why() end
  return session
end

--- Frees the model at once, or with its last session, instead of when it is collected.
function Model:close()
  C.tinhost_close(ffi.gc(self.handle, nil))
  self.handle = nil
end

---- What the next answer is made by ---------------------------------------------------------------

-- The line and the status of what failed last.
function Session:why()
  return text(C.tinhost_error(self.handle)), C.tinhost_status(self.handle)
end

local function checked(session, status)
  if status < 0 then return nil, session:why() end
  return session
end

function Session:close()
  C.tinhost_session_close(ffi.gc(self.handle, nil))
  self.handle, self.model = nil, nil
end

--- Bytes of memory that it takes, but for its texts.
function Session:bytes() return tonumber(C.tinhost_session_bytes(self.handle)) end

--- Puts an adapter of the file to work (scale 1), takes it off (0), or takes off all (without a name).
function Session:adapter(name, scale) return checked(self, C.tinhost_adapter(self.handle, name, scale or 1)) end

--- Whether answers are held to the file's or the adapter's constraint, as they are to begin with.
function Session:constrained(on) return checked(self, C.tinhost_constrained(self.handle, on and 1 or 0)) end

--- temperature (0: the likeliest token each time), top_p (1), repetition (1), seed (0), a whole number below 2^53.
function Session:sampling(options)
  return checked(self, C.tinhost_sampling(self.handle, options.temperature or 0, options.top_p or 1,
                                          options.repetition or 1, int64(options.seed or 0)))
end

--- Percent of the time, 1 to 100, that its threads work at most where a step has no budget; 100 to begin with.
function Session:duty_cycle(percent) return checked(self, C.tinhost_duty_cycle(self.handle, int32(percent))) end

--- Whether the model thinks before it answers: true, false, or nil for what its template has.
function Session:think(on)
  return checked(self, C.tinhost_think(self.handle, on == nil and 0 or on and 1 or 2))
end

---- The conversation -----------------------------------------------------------------------------

--- Adds a message. role: "system", "user", "assistant" or "tool".
function Session:say(role, words)
  if not roles[role] then
    return nil, ("there is no role %q; roles are system, user, assistant, tool"):format(tostring(role)), -1
  end
  return checked(self, C.tinhost_say(self.handle, roles[role], words))
end

--- Puts an image, a PNG or JPEG file as a string, before the text of the user's message that comes next.
function Session:image(file) return checked(self, C.tinhost_image(self.handle, file, #file)) end

--- As image, of pixels as a string: rows of 3 bytes a pixel (RGB), or 4 (RGBA), as LÖVE's ImageData has them.
function Session:pixels(pixels, width, height, channels)
  return checked(self, C.tinhost_pixels(self.handle, pixels, #pixels, int32(width), int32(height), int32(channels or 4)))
end

--- Forgets all messages behind the first `kept`; without it, all.
function Session:forget(kept) return checked(self, C.tinhost_forget(self.handle, int32(kept or 0))) end

--- The messages: {{role = …, content = …}, …}.
function Session:messages()
  local all = {}
  for k = 1, C.tinhost_messages(self.handle) do
    all[k] = { role = role_names[C.tinhost_message_role(self.handle, k - 1)],
               content = text(C.tinhost_message(self.handle, k - 1)) }
  end
  return all
end

--- Begins an answer to the messages; nothing is computed before step.
function Session:begin(most_tokens) return checked(self, C.tinhost_begin(self.handle, int32(most_tokens))) end

--- Says something as the user, and begins the answer.
function Session:ask(words, most_tokens) return checked(self, C.tinhost_ask(self.handle, words, int32(most_tokens))) end

--- Begins an answer that is one of these: a list of texts, without line breaks.
function Session:choose(options)
  for _, option in ipairs(options) do
    if option:find "\n" then return nil, "an option is one line: " .. option:gsub("\n", "\\n"), -1 end
  end
  return checked(self, C.tinhost_choose(self.handle, table.concat(options, "\n") .. "\n"))
end

--- Begins to continue a text as it stands.
function Session:complete(words, most_tokens)
  return checked(self, C.tinhost_complete(self.handle, words, int32(most_tokens)))
end

--- Goes on with the answer for about so many microseconds; 0 or nothing: until there is more of it; below 0, as what is
-- left of a frame that is over: the least that makes progress. Once a frame: what
-- has no room in one step begins the next, whatever room that has. Returns what is
-- new ("" for nothing), and whether the answer is complete, as it is too where none is under way.
function Session:step(budget_us)
  local event = C.tinhost_step(self.handle, microseconds(budget_us or 0))
  if event < 0 then return nil, self:why() end
  local piece = (event == VALUES.PIECE or event == VALUES.DONE) and text(C.tinhost_piece(self.handle)) or ""
  return piece, event >= VALUES.DONE
end

--- Goes on to the end of the answer, and returns it.
function Session:wait()
  local piece, done, status
  repeat
    piece, done, status = self:step()
    if not piece then return nil, done, status end
  until done
  return self:answer()
end

--- The answer so far.
function Session:answer() return text(C.tinhost_answer(self.handle)) end

--- The option that was chosen, counted from 1; nil before.
function Session:chosen()
  local k = C.tinhost_chosen(self.handle)
  return k >= 0 and k + 1 or nil
end

--- Why the answer ended: "stop", "length", "context" or "constraint"; nil before.
function Session:finish() return finishes[C.tinhost_finish(self.handle)] end

--- Tokens of the answer, and how often the model was evaluated for it.
function Session:tokens() return C.tinhost_tokens(self.handle), C.tinhost_passes(self.handle) end

--- Digits of a number over the answer's tokens and logits, the same on every machine.
function Session:digest() return digits(C.tinhost_digest(self.handle)) end

--- Drops the answer under way.
function Session:cancel() C.tinhost_cancel(self.handle) end

---- Save, restore, fork --------------------------------------------------------------------------

--- The conversation as a string, for a saved game.
function Session:save()
  local size = C.tinhost_save_size(self.handle)
  local bytes = ffi.new("uint8_t[?]", size)
  local good, why, status = checked(self, C.tinhost_save(self.handle, bytes, size))
  if not good then return nil, why, status end
  return ffi.string(bytes, size)
end

--- Becomes the conversation that was saved, with the same file, on any machine.
function Session:restore(saved) return checked(self, C.tinhost_restore(self.handle, saved, #saved)) end

--- Becomes a copy of another session of the model.
function Session:copy(from) return checked(self, C.tinhost_copy(self.handle, from.handle)) end

return tin
