-- What integrations/lua/test checks within LÖVE: the cases, and Pip. Returns how many things failed.
return function(tin, options)
  package.cpath = package.cpath .. ";/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;/usr/lib/aarch64-linux-gnu/lua/5.1/?.so"
  local json = require "cjson"
  local version = ("LÖVE %d.%d"):format(love.getVersion())
  local file = assert(io.open(options.test .. "/cases.json"))
  local given = json.decode(file:read "*a")
  file:close()
  local results, failed = require "conformance"(tin, given, options.test, { host = "love", version = version })
  file = assert(io.open(options.out, "w"))
  file:write(json.encode(results), "\n")
  file:close()

  -- A file out of the game's own archive, as a .love has it.
  local data = love.filesystem.newFileData(assert(io.open(options.test .. "/tiny.tin", "rb")):read "*a", "tiny.tin")
  local model = assert(tin.open_memory(data:getFFIPointer(), data:getSize()))
  model.file = data
  local Character = require "character"
  local function told(pip, words)
    pip:hear(words)
    while pip.thinks do
      pip:think(500)
      pip:settle()
    end
    return pip.place .. ": " .. pip.said
  end
  local pip = assert(Character.new(model))
  told(pip, "The flowers are dry.")
  local saved = pip:save()
  pip:hear "No, wait."
  pip:think(200)
  pip:hush()
  pip:restore(saved)
  pip:hear "No, wait."
  pip:think(200)
  local first = told(pip, "Go to the gate.")
  local other = assert(Character.new(model))
  assert(other:restore(saved))
  local again = told(other, "Go to the gate.")
  if again ~= first then
    print(("a restored Pip: %q is not %q"):format(again, first))
    failed = failed + 1
  end
  for name, result in pairs(results.cases) do
    if result ~= "passed" then print(name, result) end
  end
  print(("%s: %d failed"):format(version, failed))
  return failed
end
