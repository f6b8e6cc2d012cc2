-- Numbers that Lua has and C has not, at each argument: extremes(tin, folder) raises an error where one is taken for another.
return function(tin, folder)
  local model = assert(tin.open(folder .. "/tiny.tin"))
  local session = assert(model:session { context = 256 })
  assert(session:constrained(false))

  -- Steps of a budget to the end: how many, and the digest.
  local function stepped(budget)
    assert(session:forget())
    assert(session:ask("hello", 24))
    local steps, done = 0, false
    while not done do
      local _, over = assert(session:step(budget))
      steps, done = steps + 1, over
      assert(steps < 1e6, budget)
    end
    return steps, session:digest()
  end

  local _, digest = stepped()
  for _, budget in ipairs { 2 ^ 53, 2 ^ 63, 1e300, math.huge } do
    local steps, same = stepped(budget)
    assert(steps == 1 and same == digest, budget)
  end
  for _, budget in ipairs { -1, -0.25, -2 ^ 63, -1e300, -math.huge, 5e-324, 1e-9, 0.25, 1 } do
    local steps, same = stepped(budget)
    assert(steps > 24 and same == digest, budget)
  end

  local nan = 0 / 0
  local function refused(what, made, why, status)
    assert(made == nil and why and not why:find "\n" and status < 0, what)
  end
  for _, odd in ipairs { 2 ^ 31, 2 ^ 32, 2 ^ 32 + 1, -2 ^ 32, 1e300, math.huge, -1, nan } do
    refused("forget", session:forget(odd))
    refused("duty_cycle", session:duty_cycle(odd))
    refused("threads", model:session { context = 64, threads = odd })
    refused("pixels", session:pixels(("x"):rep(12), odd, 2, 3))
    refused("channels", session:pixels(("x"):rep(12), 2, 2, odd))
  end
  for _, odd in ipairs { -2 ^ 32, -1, 0, nan } do refused("begin", session:begin(odd)) end
  for _, odd in ipairs { -2 ^ 32, -1, nan } do
    refused("context", model:session { context = odd })
    refused("memory", model:session { context = 64, most_bytes = odd })
  end
  for _, odd in ipairs { nan, math.huge, -1, 1e300 } do
    refused("temperature", session:sampling { temperature = odd })
    refused("top_p", session:sampling { top_p = odd })
    refused("scale", session:adapter("a", odd == -1 and -65536 or odd))
  end
  assert(session:adapter("a", 1e-60)) -- which is 0 in float32
  assert(#session:messages() == 2)
  assert(session:begin(2 ^ 32)) -- as many as there is room for
  session:cancel()
  for _, options in ipairs { {}, { "" }, { "yes", "" }, { "", "yes" }, { "yes", "", "no" }, { "yes", "yes" }, { "a\nb" } } do
    refused("options", session:choose(options))
  end
  local _, same = stepped()
  assert(same == digest)
  session:close()
  model:close()
end
