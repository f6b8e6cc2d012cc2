-- The cases on plain LuaJIT: luajit run.lua LIBTINHOST TINS OUT.json
local library, folder, out = ...
package.path = (arg[0]:match "^.*/" or "") .. "?.lua;" .. package.path
local tin, json = require "tin", require "cjson"
tin.library = library

local file = assert(io.open(folder .. "/cases.json"))
local given = json.decode(file:read "*a")
file:close()
local results, failed = require "conformance"(tin, given, folder, { host = "lua", version = jit.version })
file = assert(io.open(out, "w"))
file:write(json.encode(results), "\n")
file:close()
for name, result in pairs(results.cases) do
  if result ~= "passed" then io.stderr:write(name, ": ", result, "\n") end
end

require "extremes"(tin, folder)

-- Memory beside the file, which is mapped: no more than the session's plan and 8 MiB.
local function private()
  local status = assert(io.open "/proc/self/status")
  local kilobytes = status:read("*a"):match "RssAnon:%s+(%d+)"
  status:close()
  return kilobytes * 1024
end
collectgarbage()
local without = private()
do
  local model = assert(tin.open(folder .. "/" .. given.files.plain))
  local session = assert(model:session { context = 512 })
  assert(session:ask("Please shut the port hatch.", 24))
  assert(session:wait())
  local added, planned = private() - without, session:bytes()
  print(("memory: %.1f MiB beside the file, of a session planned at %.1f MiB"):format(added / 2 ^ 20, planned / 2 ^ 20))
  if added > planned + 8 * 2 ^ 20 then failed = failed + 1 end
  session:close()
  model:close()
end

-- A library that is garbage together with its models is there until they are closed.
for k = 1, 100 do
  local again = assert(loadfile(package.searchpath("tin", package.path)))()
  again.library = library
  local opened = again.open(folder .. (k % 2 == 0 and "/nowhere.tin" or "/tiny.tin"))
  if opened then opened:session { context = 64 } end
  if k % 5 == 0 then collectgarbage() end
end

-- What is closed leaves nothing behind.
local function resident()
  local statm = assert(io.open "/proc/self/statm")
  local pages = statm:read("*a"):match "%d+ (%d+)"
  statm:close()
  return pages * 4096
end
local model = assert(tin.open(folder .. "/tiny.tin"))
local function used()
  for _ = 1, 200 do
    local session = assert(model:session { context = 1024 })
    assert(session:constrained(false):ask("the thing", 4))
    assert(session:wait())
    session:close()
  end
  collectgarbage()
  return resident()
end
local before = used()
local grown = used() - before
if grown > 8 * 2 ^ 20 then
  io.stderr:write(("200 sessions more left %d bytes behind\n"):format(grown))
  failed = failed + 1
end
os.exit(failed == 0, true)
