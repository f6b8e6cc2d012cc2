-- The cases of integrations/conformance, through tin.lua, in whatever host gives what it takes:
--   conformance(tin, given, folder, { host = "lua", version = "…" }) -> results to write as JSON, how many failed
-- given: what cases.json says. folder: has the tins. about.open: in the place of io.open, where that is locked away
return function(tin, given, folder, about)
  local finishes = { "stop", "length", "context", "constraint" }
  local model = assert(tin.open(folder .. "/" .. given.files.plain))

  local function equal(what, got, wanted)
    if got ~= wanted then error(("%s is %q, not %q"):format(what, tostring(got), tostring(wanted)), 0) end
  end

  local function same(session, expect)
    equal("the text", session:answer(), expect.text)
    equal("the number of tokens", (session:tokens()), expect.tokens)
    equal("the finish", session:finish(), finishes[expect.finish])
    equal("the digest", session:digest(), expect.digest)
    if expect.chosen then equal("the choice", session:chosen(), expect.chosen + 1) end
  end

  local function talk(case)
    local session = assert(model:session { context = 512 })
    for _, message in ipairs(case.messages) do assert(session:say(message.role, message.content)) end
    return session
  end

  local function answered(session, case)
    assert(session:begin(case.max_tokens))
    assert(session:wait())
    same(session, case.expect)
    return session
  end

  local function refused(case, made, why, status)
    equal("what was made", made, nil)
    equal("the status", status, case.expect.status)
    if not why:find(case.expect.says, 1, true) then error(("%q does not say %q"):format(why, case.expect.says), 0) end
  end

  local cases = {}

  function cases.answer(case) answered(talk(case), case) end

  function cases.unconstrained(case)
    local session = talk(case)
    assert(session:constrained(false))
    assert(session:sampling(case.sampling))
    answered(session, case)
  end

  function cases.adapter(case)
    local session = talk(case)
    assert(session:adapter(case.adapter))
    answered(session, case)
    assert(session:forget(#case.messages))
    assert(session:adapter(case.adapter, 0))
    answered(session, { max_tokens = case.max_tokens, expect = case["then"] })
  end

  function cases.choose(case)
    local session = talk(case)
    assert(session:choose(case.options))
    assert(session:wait())
    same(session, case.expect)
  end

  function cases.budget(case)
    local session, pieces = talk(case), {}
    assert(session:begin(case.max_tokens))
    repeat
      local piece, done = assert(session:step(case.budget_us))
      pieces[#pieces + 1] = piece
    until done
    equal("the pieces", table.concat(pieces), case.expect.text)
    same(session, case.expect)
  end

  function cases.cancel(case)
    local session = talk(case)
    assert(session:begin(case.max_tokens))
    while session:tokens() < case.after_tokens do assert(session:step()) end
    session:cancel()
    equal("the number of messages", #session:messages(), #case.messages)
    answered(session, case)
  end

  function cases.restore(case)
    local saved = assert(answered(talk(case), case):save())
    local session = assert(model:session { context = 512 })
    assert(session:restore(saved))
    assert(session:ask(case.next, case.max_tokens))
    assert(session:wait())
    same(session, case["then"])
  end

  function cases.missing(case) refused(case, tin.open(folder .. "/" .. case.file)) end

  function cases.key(case)
    local path = folder .. "/" .. given.files.plain
    refused(case, tin.open(path, given.keys[case.wrong:match "^%w+"]))
    assert(tin.open(path, given.keys[case.right:match "^%w+"]))
  end

  function cases.memory(case) refused(case, model:session { context = 512, most_bytes = case.most_bytes }) end

  local function session_of(case)
    return assert(assert(tin.open(folder .. "/" .. case.file)):session { context = 512 })
  end

  local function bytes(name)
    local file = assert((about.open or io.open)(folder .. "/" .. name, "rb"))
    local all = file:read "*a"
    file:close()
    return all
  end

  -- By the image's file, and by its pixels.
  function cases.image(case)
    for _, way in ipairs { "image", "pixels" } do
      local session = session_of(case)
      if way == "image" then assert(session:image(bytes(case.image)))
      else assert(session:pixels(bytes(case.pixels), case.width, case.height, 3)) end
      assert(session:ask(case.text, case.max_tokens))
      assert(session:wait())
      same(session, case.expect)
    end
  end

  local function unseen(case) refused(case, session_of(case):image(bytes(case.image))) end
  cases.damaged, cases.large, cases.blind = unseen, unseen, unseen

  local results, failed = {}, 0
  for _, case in ipairs(given.cases) do
    local good, why = pcall(assert(cases[case.name], case.name), case)
    results[case.name] = good and "passed" or tostring(why)
    failed = failed + (good and 0 or 1)
  end
  model:close()
  return { host = about.host, version = about.version, cases = results }, failed
end
