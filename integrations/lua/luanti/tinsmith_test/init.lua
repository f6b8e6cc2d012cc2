-- Checks within a running server, then ends it. The results are in the world: results.txt, conformance.json.
-- Settings: tinsmith_test_lua (folder of tin.lua), tinsmith_test_tins; tinsmith_test_brief, to start and end.
local insecure = assert(core.request_insecure_environment())
local world = core.get_worldpath()
local lua, tins = core.settings:get "tinsmith_test_lua", core.settings:get "tinsmith_test_tins"
local home = vector.new(0, 1, 0)
local lines = {}

local function note(name, good, what) lines[#lines + 1] = ("%s %s %s"):format(good and "ok" or "FAILED", name, what or "") end

local function finish()
  core.safe_file_write(world .. "/results.txt", table.concat(lines, "\n") .. "\nend\n")
  core.request_shutdown("the checks are done", false, 0)
end

-- The cases of integrations/conformance.
local function conformance()
  local tin = assert(insecure.loadfile(lua .. "/tin.lua"))(insecure.require "ffi")
  tin.library = core.settings:get "tinsmith_library"
  local file = assert(insecure.io.open(tins .. "/cases.json"))
  local given = core.parse_json(file:read "*a")
  file:close()
  local about = { host = "luanti", version = core.get_version().string, open = insecure.io.open }
  local results, failed = assert(insecure.loadfile(lua .. "/conformance.lua"))()(tin, given, tins, about)
  core.safe_file_write(world .. "/conformance.json", core.write_json(results))
  for name, result in pairs(results.cases) do
    if result ~= "passed" then note(name, false, result) end
  end
  note("cases", failed == 0)
end

-- A floor of stone around home, and Ada upon it.
local function make_ground()
  for x = -8, 8 do
    for z = -8, 8 do core.set_node(vector.new(x, 0, z), { name = "default:stone" }) end
  end
  tinsmith.call(home):set_yaw(0) -- she looks along z
end

local function say(words)
  tinsmith.called = nil
  for _, heard in ipairs(core.registered_on_chat_messages) do heard("console", words) end
end

-- One after the other: what is said, and what must hold soon afterwards, or the test fails.
local ada
local function ada_at() return ada:get_pos() end
local steps = {
  { "Ada, place a torch", function() return core.get_node(vector.new(0, 1, 1)).name:match "^default:torch" end },
  { "Ada, follow me", function() return tinsmith.called and tinsmith.called.name == "follow" end },
  { "Ada, Come here!", function()
    return tinsmith.called and tinsmith.called.name == "come" and vector.distance(ada_at(), home) < 3
  end, before = function() ada:set_pos(vector.new(6, 1, 6)) end },
  { "Ada, dig three blocks", function() return core.get_node(vector.new(0, 1, 1)).name == "air" end,
    before = function()
      ada:set_pos(home)
      ada:set_yaw(0)
      core.set_node(vector.new(0, 1, 1), { name = "default:dirt" })
    end },
}
local at, waited, begun = 0, 0, false

local function go_on(dtime)
  waited = waited + dtime
  local step = steps[at]
  if step and step[2]() then
    note(step[1], true, core.write_json(tinsmith.called))
  elseif step and waited > 30 then
    note(step[1], false, "did not come about; called: " .. core.write_json(tinsmith.called or {}))
  elseif step then
    return
  end
  at, waited = at + 1, 0
  step = steps[at]
  if not step then
    begun = false
    note("remembers", tinsmith.remember())
    return finish()
  end
  if step.before then step.before() end
  say(step[1])
end

core.register_on_mods_loaded(function()
  core.after(0, function()
    if core.settings:get_bool "tinsmith_test_brief" then return finish() end
    if tinsmith.why then -- there is no model: what a player who calls Ada is told
      local _, told = core.registered_chatcommands.ada.func "console"
      note("told", true, told)
      return finish()
    end
    for x = -1, 0 do
      for z = -1, 0 do core.forceload_block(vector.new(x * 16, 0, z * 16), true) end
    end
    core.emerge_area(vector.new(-16, -16, -16), vector.new(15, 15, 15), function(_, _, left)
      if left > 0 then return end
      local good, why = pcall(conformance)
      if not good then note("cases", false, why) end
      core.after(0.5, function()
        make_ground()
        begun = true
      end)
    end)
  end)
end)

core.register_globalstep(function(dtime)
  if not begun then return end
  ada = ada or tinsmith.call(home)
  if not (ada and ada:get_pos()) then return end
  go_on(dtime)
end)
