-- Ada: /ada calls her; "Ada, come here" in the chat tells her something. The insecure environment is used to load
-- libtinhost, and is not handed on.
local path = core.get_modpath "tinsmith"
local insecure = core.request_insecure_environment()

local function setting(name) return core.settings:get("tinsmith_" .. name) or "" end

-- The model, or nil and why she can't think.
local function open()
  if not insecure then return nil, "it may not load libtinhost; add tinsmith to secure.trusted_mods in minetest.conf" end
  if setting "file" == "" then return nil, "it has no file; set tinsmith_file in minetest.conf to the path of a .tin" end
  local chunk, why = insecure.loadfile(path .. "/tin.lua")
  if not chunk then return nil, why end
  local tin = chunk(insecure.require "ffi")
  tin.library = setting "library" ~= "" and setting "library" or path .. "/libtinhost.so"
  return tin.open(setting "file", setting "key")
end

local model, why = open()
if not model then core.log("error", "[tinsmith] " .. why) end
local new_mind = dofile(path .. "/mind.lua")
tinsmith = dofile(path .. "/companion.lua") -- call, hear, called: for other mods too
tinsmith.register(model and function() return new_mind(model) end, why, tonumber(setting "budget_us") or 5000)
insecure = nil
