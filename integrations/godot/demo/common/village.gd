# The village: three characters on one model, each under an adapter of its own. What they do comes from constrained
# calls, so that every answer is something that the village knows. Written for Godot 3 and 4 alike: what differs between
# them (the screen, connecting signals, reading files) is main.gd's.
extends Node

const PEOPLE = ["smith", "innkeeper", "guard"]
const NAMES = {"smith": "Mara", "innkeeper": "Tobin", "guard": "Ilse"}
const SYSTEM = {"smith": "Mara the smith", "innkeeper": "Tobin the innkeeper", "guard": "Ilse the guard"}
const HOMES = {"smith": "forge", "innkeeper": "inn", "guard": "gate"}
const PLACES = {"forge": Vector2(120, 150), "inn": Vector2(480, 130), "gate": Vector2(560, 330), "well": Vector2(300, 260)}

# Microseconds of each frame for all of them together.
var budget_us = 2000
var lines = {}
var sessions = {}
var where = {}
var at = {}
var speech = {}
var gate = "closed"
var coins = 20
var bag = []
var bells = 0
var acted = 0
var faults = []


# `adapters` false: every character is the base alone.
func settle(model, session_class, adapters = true):
	for who in PEOPLE:
		var session = session_class.new()
		session.model = model
		session.system = SYSTEM[who]
		session.adapter = who if adapters else ""
		session.context = 256
		session.max_tokens = 32
		sessions[who] = session
		where[who] = HOMES[who]
		at[who] = PLACES[HOMES[who]]
		speech[who] = ""
		add_child(session)


# What the player says to one of them; false while they think.
func tell(who, text):
	var session = sessions[who]
	if session.busy():
		return false
	# Each question by itself: that is what they learned, and it keeps the prompt short.
	session.forget(1)
	speech[who] = "..."
	return session.call_tools(text) == 0


func thinking():
	var count = 0
	for who in PEOPLE:
		if sessions[who].busy():
			count += 1
	return count


# Each frame: those who think share the budget, and everyone walks on.
func _process(delta):
	var count = thinking()
	for who in PEOPLE:
		if count > 0:
			sessions[who].budget_us = int(budget_us / float(count))
		at[who] = at[who].move_toward(PLACES[where[who]] + Vector2(40 * PEOPLE.find(who) - 40, 0), 90 * delta)


func on_failed(error, who):
	speech[who] = ""
	faults.append(error)


# A call of a character's: one of its tools, with arguments that its schema allows.
func on_called(deed, arguments, who):
	acted += 1
	if deed == "say":
		speech[who] = lines[who].get(arguments["line"], lines["anyone"].get(arguments["line"], ""))
	elif deed == "walk":
		where[who] = arguments["place"]
		speech[who] = "To the %s, then." % arguments["place"]
	elif deed == "forge":
		speech[who] = pay(4, arguments["item"], "One %s, hot from the anvil.")
	elif deed == "pour":
		speech[who] = pay(1, arguments["drink"], "Here is your %s.")
	elif deed == "rent":
		speech[who] = pay(2 * int(arguments["nights"]), "room key", "Yours is the %s up the stairs.")
	elif deed == "gate":
		gate = arguments["state"]
		speech[who] = "The gate is %s." % gate
	elif deed == "ring":
		bells += int(arguments["times"])
		speech[who] = "(the bell rings)"
		if int(arguments["times"]) > 1:
			for other in PEOPLE:
				where[other] = "well"
	else:
		faults.append("%s does not know how to %s" % [NAMES[who], deed])


func pay(price, thing, text):
	if coins < price:
		return "That would be %d coins, and you have %d." % [price, coins]
	coins -= price
	bag.append(thing)
	return text % thing
