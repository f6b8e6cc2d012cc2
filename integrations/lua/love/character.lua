-- Pip, who lives by a well: understands what she is told, as one of the things that she can do, does it, and says a word
-- about it. Nothing here draws, and nothing here waits: `think` gets a part of each frame.
local Character = {}
Character.__index = Character

local RULES = "You are Pip, a kind gardener who lives by an old well. Answer in one short sentence."
local CONTEXT, WORDS, FULL = 1024, 24, -6 -- the status of a conversation that has no room

-- What she can do: words for the model, what one may say for it, where she goes for it, and what she must hold.
local DEEDS = {
  { says = "go to the well", for_words = "Come over to the well.", place = "well" },
  { says = "draw water from the well", for_words = "We need a bucket of water.", place = "well", takes = "water" },
  { says = "water the flowers", for_words = "Give the flowers something to drink.", place = "flowers", needs = "water" },
  { says = "pick an apple from the tree", for_words = "Fetch me some fruit.", place = "tree", takes = "an apple" },
  { says = "go to the gate", for_words = "Someone knocks.", place = "gate" },
  { says = "sit down on the bench", for_words = "Have a rest.", place = "bench" },
  { says = "stay here", for_words = "Wait for me." },
}

--- model: of tin.open.
function Character.new(model, seed)
  local session, why = model:session { context = CONTEXT }
  if not session then return nil, why end
  local self = setmetatable({ session = session, seed = seed or 1, x = 400, place = "bench", said = "", talks = 0 },
                            Character)
  self:forget()
  return self
end

function Character:forget()
  assert(self.session:forget())
  assert(self.session:constrained(false))
  assert(self.session:say("system", RULES))
  for _, deed in ipairs(DEEDS) do -- a small model learns more from examples than from rules
    assert(self.session:say("user", deed.for_words))
    assert(self.session:say("assistant", deed.says))
  end
end

--- What she can do now.
function Character:deeds()
  local list = {}
  for _, deed in ipairs(DEEDS) do
    if not deed.needs or deed.needs == self.holds then list[#list + 1] = deed end
  end
  return list
end

local function choose(self, words, deeds)
  self.before = { #self.session:messages(), self.talks }
  local good, why, status = self.session:say("user", words)
  if good then good, why, status = self.session:choose(deeds) end
  if not good then self.session:forget(self.before[1]) end
  return good, why, status
end

--- Tells her something. She begins to think; whatever she was about is given up.
function Character:hear(words)
  self:hush()
  self.options = self:deeds()
  local texts = {}
  for k, deed in ipairs(self.options) do texts[k] = deed.says end
  assert(self.session:sampling {}) -- the likeliest deed; words are drawn
  local good, why, status = choose(self, words, texts)
  if status == FULL then
    self:forget()
    good, why = choose(self, words, texts)
  end
  self.thinks, self.said = good and "deed", why or ""
end

--- What she was told last, if she is still about it, was never said.
function Character:hush()
  if not self.thinks then return end
  local kept, talks = unpack(self.before)
  assert(self.session:forget(kept))
  self.talks, self.thinks, self.done = talks, nil, false
end

local function decided(self)
  local deed = self.options[self.session:chosen()]
  self.deed = deed
  self.place = deed.place or self.place
  self.holds = deed.takes or not deed.needs and self.holds or nil
  self.talks = self.talks + 1
  assert(self.session:sampling { temperature = 0.7, top_p = 0.9, repetition = 1.1, seed = self.seed + self.talks })
  self.thinks = self.session:ask("Say something kind to me.", WORDS) and "words" -- or no word, where there is no room
end

--- Takes an answer that is complete, and begins what follows. think is to be called no more before.
function Character:settle()
  if not self.done then return end
  self.done = false
  if self.thinks == "deed" then decided(self) else self.thinks = nil end
end

--- Goes on for about so many microseconds. Returns the tokens that came.
function Character:think(budget_us)
  if not self.thinks or self.done then return 0 end
  local before = self.session:tokens()
  -- Once: a second step would begin with what had no room in the first.
  local piece, done = assert(self.session:step(budget_us))
  if self.thinks == "words" then self.said = self.said .. piece end
  self.done = done
  return math.max(0, self.session:tokens() - before)
end

--- As a string, for a saved game.
function Character:save()
  return ("%s\n%s\n%d\n"):format(self.place, self.holds or "", self.talks) .. assert(self.session:save())
end

function Character:restore(saved)
  local place, holds, talks, rest = saved:match "^([^\n]*)\n([^\n]*)\n(%d+)\n(.*)$"
  if not place then return nil, "the saved game is damaged" end
  local good, why = self.session:restore(rest)
  if not good then return nil, why end
  self.deed, self.place, self.holds, self.talks = nil, place, holds ~= "" and holds or nil, tonumber(talks)
  self.thinks, self.done, self.said = nil, false, ""
  return self
end

return Character
