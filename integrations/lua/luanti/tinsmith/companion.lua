-- What Ada is in the world: an entity that walks, digs and places as her mind calls for.
local BLOCKS = { dirt = "default:dirt", stone = "default:stone", wood = "default:wood", torch = "default:torch" }
local SPEED, NEAR, FALL = 3, 1.5, -9.8
local SAVED = core.get_worldpath() .. "/tinsmith_ada"

local companion = {}
local mind, ada, speaker, home

local function tell(words) core.chat_send_all("<Ada> " .. words) end

-- Where someone is; who speaks from the server's console is where she was called.
local function place_of(name)
  local player = core.get_player_by_name(name)
  return player and player:get_pos() or home
end

-- The block before her, at her feet.
local function ahead()
  local position = ada:get_pos()
  local way = core.yaw_to_dir(ada:get_yaw())
  return vector.round(vector.offset(position, way.x, 0.1, way.z))
end

-- Whether she may change a block there for who told her to.
local function may_change(where)
  if not core.is_protected(where, speaker) then return true end
  core.record_protection_violation(where, speaker)
  tell "That is not ours to change."
end

local acts = {}

function acts.come() companion.goal, companion.follows = place_of(speaker), nil end

function acts.follow() companion.follows = speaker end

function acts.stay() companion.goal, companion.follows = nil, nil end

function acts.say(given) tell(given.words) end

function acts.dig(given)
  local where, way = ahead(), core.yaw_to_dir(ada:get_yaw())
  local player = core.get_player_by_name(speaker)
  for _ = 1, given.count do
    local node = core.get_node(where)
    if core.registered_nodes[node.name] and core.registered_nodes[node.name].diggable and node.name ~= "air" then
      if not may_change(where) then return end
      if player then core.node_dig(where, node, player) else core.dig_node(where) end
    end
    where = vector.round(vector.add(where, way))
  end
end

function acts.place(given)
  local name, where = BLOCKS[given.block], ahead()
  if not core.registered_nodes[name] then return tell("There is no " .. given.block .. " in this world.") end
  if core.get_node(where).name ~= "air" then return tell "There is something in the way." end
  if not may_change(where) then return end
  local player = core.get_player_by_name(speaker)
  if player and not core.is_creative_enabled(speaker) then
    if player:get_inventory():remove_item("main", name):is_empty() then
      return tell("You have no " .. given.block .. " for me.")
    end
  end
  core.place_node(where, { name = name })
end

-- Walks towards where she is to be.
local function walk()
  local goal = companion.follows and place_of(companion.follows) or companion.goal
  local velocity = ada:get_velocity()
  local way = goal and vector.subtract(goal, ada:get_pos()) or vector.zero()
  way.y = 0
  if vector.length(way) < NEAR then
    if not companion.follows then companion.goal = nil end
    return ada:set_velocity { x = 0, y = velocity.y, z = 0 }
  end
  ada:set_yaw(core.dir_to_yaw(way))
  way = vector.multiply(vector.normalize(way), SPEED)
  ada:set_velocity { x = way.x, y = velocity.y, z = way.z }
end

local function act(name, given)
  companion.called = { name = name, arguments = given }
  core.log("action", ("[tinsmith] %s has Ada %s %s"):format(speaker, name, core.write_json(given)))
  acts[name](given)
end

local function restore()
  local file = io.open(SAVED, "rb")
  if not file then return end
  local good = mind:restore(file:read "*a")
  file:close()
  core.log(good and "action" or "warning", good and "[tinsmith] Ada remembers what was said"
    or "[tinsmith] what Ada remembers is of another file; she begins anew")
end

--- Calls Ada to a place, beside whom she is then.
function companion.call(where)
  if ada and ada:get_pos() then ada:remove() end
  home = where
  ada = core.add_entity(where, "tinsmith:ada")
  return ada
end

--- Tells her something in somebody's name.
function companion.hear(name, words)
  speaker = name
  local good, why = mind:hear(words)
  if not good then core.chat_send_player(name, "Ada can't follow: " .. why) end
end

function companion.remember() return core.safe_file_write(SAVED, mind:save()) end

local function register_entity()
  core.register_entity("tinsmith:ada", {
    initial_properties = {
      visual = "upright_sprite",
      visual_size = { x = 1, y = 2 },
      textures = { "player.png", "player_back.png" },
      collisionbox = { -0.3, -0.5, -0.3, 0.3, 1.4, 0.3 },
      physical = true,
      stepheight = 1.1,
      nametag = "Ada",
      static_save = false, -- she comes when she is called
    },
    on_activate = function(self)
      self.object:set_acceleration { x = 0, y = FALL, z = 0 }
      self.object:set_armor_groups { immortal = 1 }
    end,
  })
end

--- make: a mind, or nil and why; absent with the reason in `why`, where there is no model.
function companion.register(make, why, budget_us)
  register_entity()
  if make then mind, why = make() end
  if mind then restore() end
  companion.why = why

  core.register_chatcommand("ada", {
    description = "Calls Ada, who takes commands in the chat: “Ada, come here”",
    func = function(name)
      if not mind then return false, "Ada can't think: " .. why end
      local player = core.get_player_by_name(name)
      if not player then return false, "Ada comes to players only" end
      companion.call(player:get_pos())
      return true, "Here I am. Tell me something: “Ada, follow me”"
    end,
  })
  core.register_on_chat_message(function(name, message)
    local words = message:match "^[Aa]da[,:]?%s+(.+)$"
    if not words then return end
    if mind and ada and ada:get_pos() then
      companion.hear(name, words)
    else
      core.chat_send_player(name, mind and "Ada is not here; /ada calls her" or "Ada can't think: " .. why)
    end
  end)
  core.register_globalstep(function()
    if not (mind and ada and ada:get_pos()) then return end
    local called, given = mind:think(budget_us)
    if called then act(called, given) end
    walk()
  end)
  core.register_on_shutdown(function()
    if mind then companion.remember() end
  end)
end

return companion
