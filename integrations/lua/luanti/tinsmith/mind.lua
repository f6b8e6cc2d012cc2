-- Ada's mind: a conversation in which every answer is one call out of tools.json, which the file holds it to.
local RULES = "You are Ada, a helper in a world of blocks. Answer each command with one call."
local CONTEXT, TOKENS, FULL = 768, 64, -6 -- the status of a conversation that has no room

-- What a conversation begins with: a small model learns more from examples than from rules.
local SHOWN = {
  { "Here, to me.", '{"name":"come","arguments":{}}' },
  { "Walk behind me.", '{"name":"follow","arguments":{}}' },
  { "Wait there.", '{"name":"stay","arguments":{}}' },
  { "Dig two blocks.", '{"name":"dig","arguments":{"count":2}}' },
  { "Put a stone there.", '{"name":"place","arguments":{"block":"stone"}}' },
  { "Hello!", '{"name":"say","arguments":{"words":"Hello, my friend."}}' },
}

local Mind = {}
Mind.__index = Mind

local function begin_again(self)
  assert(self.session:forget())
  assert(self.session:say("system", RULES))
  for _, shown in ipairs(SHOWN) do
    assert(self.session:say("user", shown[1]))
    assert(self.session:say("assistant", shown[2]))
  end
end

--- Hears a command; what she thought about is given up. nil and why, where it is too long.
function Mind:hear(words)
  if self.thinks then assert(self.session:forget(self.kept)) end
  local good, why, status = self.session:ask(words, TOKENS)
  if status == FULL then
    begin_again(self)
    good, why = self.session:ask(words, TOKENS)
  end
  self.kept = #self.session:messages() - 1
  self.thinks = good ~= nil
  return good, why
end

--- Thinks for about so many microseconds. Returns the call once it is there: its name and its arguments.
function Mind:think(budget_us)
  if not self.thinks then return end
  local _, done = assert(self.session:step(budget_us))
  if not done then return end
  self.thinks = false
  local call = core.parse_json(self.session:answer())
  return call.name, call.arguments
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
