-- Ada's mind: a conversation in which every answer is one call out of tools.json, which the file holds it to.
local RULES = "You are Ada, a helper in a world of blocks. Answer each command with one call."
local CONTEXT, TOKENS, MOST_MESSAGES = 512, 64, 9

local Mind = {}
Mind.__index = Mind

local function begin_again(self)
  assert(self.session:forget())
  assert(self.session:say("system", RULES))
end

--- Hears a command; what she thought about is given up.
function Mind:hear(words)
  if self.thinks then assert(self.session:forget(self.kept)) end
  if #self.session:messages() >= MOST_MESSAGES then begin_again(self) end
  self.kept = #self.session:messages()
  assert(self.session:ask(words, TOKENS))
  self.thinks = true
end

--- Thinks for about so many microseconds. Returns the call once it is there: its name and its arguments.
function Mind:think(budget_us)
  if not self.thinks then return end
  local stop = core.get_us_time() + budget_us
  repeat
    local _, done = assert(self.session:step(math.max(1, stop - core.get_us_time())))
    if done then
      self.thinks = false
      local call = core.parse_json(self.session:answer())
      return call.name, call.arguments
    end
  until core.get_us_time() >= stop
end

function Mind:save() return self.session:save() end

--- Goes on with a conversation that was saved. False where it is another file's, or damaged: she begins anew.
function Mind:restore(saved) return self.session:restore(saved) ~= nil end

return function(model)
  local session, why = model:session { context = CONTEXT }
  if not session then return nil, why end
  local self = setmetatable({ session = session }, Mind)
  begin_again(self)
  return self
end
