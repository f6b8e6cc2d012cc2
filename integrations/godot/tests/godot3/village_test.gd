# The village without a screen: everyone is spoken to at once, and what they do is what the village knows.
extends SceneTree

const TinModel = preload("res://addons/tinsmith/tin_model.gdns")
const TinSession = preload("res://addons/tinsmith/tin_session.gdns")
const SAID = ["make me a shield", "a bed for tonight", "open the gate"]

var village = load("res://village.gd").new()
var wrong = 0


func check(what, is_so):
	print("ok: " if is_so else "WRONG: ", what)
	if not is_so:
		wrong = 1


func _initialize():
	var model = TinModel.new()
	model.file = "res://village.tin"
	check("an adapter for each", Array(model.adapters()) == village.PEOPLE)
	var file = File.new()
	file.open("res://lines.json", File.READ)
	village.lines = JSON.parse(file.get_as_text()).result
	village.settle(model, TinSession)
	for who in village.PEOPLE:
		village.sessions[who].connect("called", village, "on_called", [who])
		village.sessions[who].connect("failed", village, "on_failed", [who])
	get_root().add_child(village)
	run()


func run():
	village.budget_us = 30000
	var answers = {}
	for turn in 2:
		for k in 3:
			check("hears", village.tell(village.PEOPLE[k], SAID[(k + turn) % 3]))
		check("all three think", village.thinking() == 3)
		var frames = 0
		while village.thinking() > 0 and frames < 20000:
			yield(self, "idle_frame")
			frames += 1
		check("the budget is shared", village.sessions.smith.budget_us <= village.budget_us)
		for who in village.PEOPLE:
			answers[who] = village.sessions[who].answer()
			print(who, ": ", answers[who], " -> ", village.speech[who], ", to ", village.where[who])
			check("answers with one call", village.sessions[who].calls().size() == 1)
	check("every call was known: %s" % str(village.faults), village.acted == 6 and village.faults == [])
	village.free()
	quit(wrong)
