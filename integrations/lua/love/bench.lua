-- How much later than its budget the model comes back, frame by frame at 60 Hz, beside a loop that does nothing for as
-- long, in the same frames: what the machine itself does to a program that wants 2 ms.
local FRAME = 1 / 60

local function percentiles(times)
  table.sort(times)
  local function at(share) return times[math.min(#times, math.floor(#times * share) + 1)] or 0 end
  return ('{"p50": %.1f, "p99": %.1f, "p99.9": %.1f, "most": %.1f}'):format(at(0.5), at(0.99), at(0.999), at(1))
end

local function spin(budget_us, now)
  local begun = now()
  while (now() - begun) * 1e6 < budget_us do end
  return (now() - begun) * 1e6 - budget_us
end

--- character: of character.lua, kept talking. Returns JSON, times in microseconds.
return function(character, frames, budget_us, about)
  local now, sleep = love.timer.getTime, love.timer.sleep
  local past, idle, begins, tokens, answers = {}, {}, {}, 0, 0
  local told = { "The flowers are dry.", "I am hungry.", "Someone is at the gate.", "You look tired.", "Go to the well." }
  collectgarbage()
  local first = now()
  local due = first
  for frame = 1, frames do
    due = due + FRAME
    if not character.thinks then
      local begun = now()
      answers = answers + 1
      character:hear(told[answers % #told + 1])
      begins[#begins + 1] = (now() - begun) * 1e6
    end
    if frame % 2 == 0 then idle[#idle + 1] = spin(budget_us, now) end -- neither is always the first after the wait
    local begun = now()
    tokens = tokens + character:think(budget_us)
    local took = (now() - begun) * 1e6
    character:settle()
    if took >= budget_us then past[#past + 1] = took - budget_us end -- else it had nothing more to do
    if frame % 2 == 1 then idle[#idle + 1] = spin(budget_us, now) end
    collectgarbage "step"
    if due > now() then sleep(due - now()) else due = now() end
  end
  local seconds = now() - first
  return ('{"host": "love", "version": "%d.%d", "isa": "%s", "frames": %d, "budget_us": %d, "frames_used_up": %d, '
    .. '"past_us": %s, "idle_past_us": %s, "begin_us": %s, "answers": %d, "tokens": %d, "seconds": %.1f, '
    .. '"tokens_s": %.1f}'):format(about.major, about.minor, about.isa, frames, budget_us, #past, percentiles(past),
    percentiles(idle), percentiles(begins), answers, tokens, seconds, tokens / seconds)
end
