-- The well: a small game with someone to talk to. love . FILE.tin [--library PATH]
--   --bench FRAMES [--budget US]   frame times as JSON, without a window
--   --test TINS OUT.json           what integrations/lua/test checks, without a window
--   --shot FILE.png                plays a moment by itself, keeps an image, and ends
package.path = love.filesystem.getSource() .. "/../?.lua;" .. package.path -- a game that ships has tin.lua beside main.lua
local tin = require "tin"
local Character = require "character"

local BUDGET_US = 2000
local PLACES = { bench = 130, well = 300, flowers = 440, tree = 580, gate = 730 }
local options, pip, typed, frames = {}, nil, "", {}

local function read_options(words)
  local k = 1
  while words[k] do
    local name = words[k]:match "^%-%-(%a+)$"
    if name == "test" then
      options.test, options.out, k = words[k + 1], words[k + 2], k + 3
    elseif name then
      options[name], k = words[k + 1], k + 2
    else
      options.file, k = words[k], k + 1
    end
  end
end

function love.load(words)
  read_options(words)
  tin.library = options.library or tin.library
  if options.test then
    local failed = require "check"(tin, options)
    return love.event.quit(failed)
  end
  local model, why = tin.open(options.file or "guard.tin")
  if not model then error(why, 0) end -- LÖVE's own screen of errors
  pip = assert(Character.new(model))
  if options.bench then
    local major, minor = love.getVersion()
    print(require "bench"(pip, tonumber(options.bench), tonumber(options.budget or BUDGET_US),
                          { major = major, minor = minor, isa = model:isa() }))
    return love.event.quit()
  end
  if options.shot then pip:hear "The flowers are dry, Pip." end
end

function love.update(dt)
  local begun = love.timer.getTime()
  pip:think(BUDGET_US)
  local took = love.timer.getTime() - begun
  pip:settle()
  frames[#frames + 1] = { model = took * 1000, frame = dt * 1000 }
  if #frames > 240 then table.remove(frames, 1) end
  local way = PLACES[pip.place] - pip.x
  pip.x = pip.x + math.max(-120 * dt, math.min(120 * dt, way))
  if options.shot and not pip.thinks and way == 0 then
    love.graphics.captureScreenshot(function(image)
      local file = assert(io.open(options.shot, "wb"))
      file:write(image:encode "png":getString())
      file:close()
      love.event.quit()
    end)
  end
end

function love.textinput(text) typed = typed .. text end

function love.keypressed(key)
  if key == "return" and typed ~= "" then
    pip:hear(typed)
    typed = ""
  elseif key == "backspace" then
    typed = typed:gsub("[^\128-\191][\128-\191]*$", "")
  elseif key == "escape" then
    if not pip.thinks then love.event.quit() end
    pip:hush()
  elseif key == "f5" then
    assert(love.filesystem.write("saved", pip:save()))
  elseif key == "f9" and love.filesystem.getInfo "saved" then
    local good, why = pip:restore(love.filesystem.read "saved")
    if not good then pip.said = why end
  end
end

local function draw_place(name, x)
  local g = love.graphics
  if name == "tree" then
    g.setColor(0.36, 0.25, 0.16) g.rectangle("fill", x - 6, 200, 12, 70)
    g.setColor(0.25, 0.5, 0.24) g.circle("fill", x, 180, 44)
    g.setColor(0.8, 0.2, 0.15) g.circle("fill", x - 14, 172, 5) g.circle("fill", x + 18, 190, 5)
  elseif name == "well" then
    g.setColor(0.5, 0.5, 0.52) g.rectangle("fill", x - 26, 240, 52, 30)
    g.setColor(0.4, 0.28, 0.2) g.rectangle("fill", x - 26, 196, 4, 46) g.rectangle("fill", x + 22, 196, 4, 46)
    g.polygon("fill", x - 34, 200, x, 172, x + 34, 200)
  elseif name == "bench" then
    g.setColor(0.5, 0.36, 0.24) g.rectangle("fill", x - 34, 246, 68, 6)
    g.rectangle("fill", x - 28, 252, 5, 18) g.rectangle("fill", x + 23, 252, 5, 18)
  elseif name == "gate" then
    g.setColor(0.42, 0.32, 0.24)
    for k = -2, 2 do g.rectangle("fill", x + k * 14 - 3, 214, 6, 56) end
    g.rectangle("fill", x - 34, 226, 68, 5)
  else
    for k = -2, 2 do
      g.setColor(0.25, 0.45, 0.2) g.rectangle("fill", x + k * 12 - 1, 248, 2, 22)
      g.setColor(0.9, 0.5 + k * 0.1, 0.6) g.circle("fill", x + k * 12, 246, 5)
    end
  end
end

local function draw_pip()
  local g, x = love.graphics, pip.x
  g.setColor(0.3, 0.38, 0.6) g.polygon("fill", x - 14, 270, x, 222, x + 14, 270)
  g.setColor(0.93, 0.78, 0.66) g.circle("fill", x, 216, 11)
  g.setColor(0.85, 0.7, 0.3) g.ellipse("fill", x, 208, 17, 4) g.arc("fill", x, 208, 10, math.pi, 2 * math.pi)
  local said = pip.said ~= "" and pip.said or pip.thinks and "…"
  if not said then return end
  local left = math.max(10, math.min(560, x - 115))
  g.setColor(1, 1, 0.96) g.rectangle("fill", left, 60, 230, 76, 10)
  g.setColor(0.15, 0.15, 0.15) g.printf(said, left + 10, 68, 210)
end

-- The frames' times, as bars: the model's part, and its budget as a line.
local function draw_times()
  local g = love.graphics
  g.setColor(0.1, 0.12, 0.14) g.rectangle("fill", 0, 390, 800, 90)
  for k, one in ipairs(frames) do
    local frame, model = math.min(one.frame, 25) * 3, math.min(one.model, 25) * 3
    g.setColor(0.3, 0.34, 0.38) g.rectangle("fill", 20 + k * 2, 470 - frame, 2, frame)
    g.setColor(0.35, 0.75, 0.95) g.rectangle("fill", 20 + k * 2, 470 - model, 2, model)
  end
  g.setColor(0.95, 0.6, 0.3) g.line(20, 470 - BUDGET_US * 3e-3, 502, 470 - BUDGET_US * 3e-3)
  g.setColor(0.8, 0.8, 0.8)
  g.print("frame and model, ms\nEnter: tell her\nEscape: never mind\nF5, F9: save, restore", 520, 398)
end

function love.draw()
  local g = love.graphics
  g.clear(0.66, 0.82, 0.9)
  g.setColor(0.45, 0.62, 0.34) g.rectangle("fill", 0, 262, 800, 128)
  for name, x in pairs(PLACES) do draw_place(name, x) end
  draw_pip()
  g.setColor(0.12, 0.2, 0.1)
  g.print("> " .. typed .. "_", 20, 340)
  g.print((pip.deed and "Pip: " .. pip.deed.says or "") .. (pip.holds and " (she has " .. pip.holds .. ")" or ""), 20, 362)
  draw_times()
end
