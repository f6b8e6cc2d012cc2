# What a game does with the addon, in Godot 3.6: signals by frames, calls, a scene saved and loaded, a .pck, faults.
extends SceneTree

const TinModel = preload("res://addons/tinsmith/tin_model.gdns")
const TinSession = preload("res://addons/tinsmith/tin_session.gdns")

var tins = OS.get_environment("TINS")
var given = JSON.parse(text_of(tins.plus_file("cases.json"))).result
var answer = given.cases[0]
var pieces = ""
var said = []
var faults = []
var called = []
var wrong = 0


func text_of(path):
	var file = File.new()
	file.open(path, File.READ)
	return file.get_as_text()


func check(what, is_so):
	print("ok: " if is_so else "WRONG: ", what)
	if not is_so:
		wrong = 1


func session_of(model):
	var session = TinSession.new()
	session.model = model
	session.context = 512
	session.budget_us = 20000
	session.max_tokens = 24
	session.system = answer.messages[0].content
	for signal_name in ["piece", "finished", "failed", "called"]:
		session.connect(signal_name, self, "_on_" + signal_name)
	get_root().add_child(session)
	return session


func _on_piece(text):
	pieces += text


func _on_finished(text):
	said.append(text)


func _on_failed(text):
	faults.append(text)


func _on_called(name, arguments):
	called.append([name, arguments])


func _initialize():
	run()


# A frame at a time, as a game has it.
func until_quiet(session):
	var frames = 0
	yield(self, "idle_frame")
	while session.busy() and frames < 20000:
		yield(self, "idle_frame")
		frames += 1
	return frames


func run():
	var model = TinModel.new()
	model.file = tins.plus_file(given.files.plain)
	check("adapters by name", Array(model.adapters()) == ["a", "b"])
	check("an entry", "tinsmith" in model.entry("manifest.json"))
	var session = session_of(model)
	session.budget_us = 500
	check("asked", session.ask(answer.messages[1].content) == 0)
	check("a second question meanwhile is refused", session.ask("And?") != 0)
	var frames = yield(until_quiet(session), "completed")
	check("took frames: %d" % frames, frames > 3)
	check("the answer that Python gives", said == [answer.expect.text] and str(session.digest()) == answer.expect.digest)
	check("its pieces are the answer", pieces == answer.expect.text)
	yield(scene(session), "completed")
	yield(calls(session), "completed")
	yield(packed(), "completed")
	yield(handlers(model), "completed")
	refusals(model)
	session.free()
	session = null
	model = null
	quit(wrong)


# Saved with the scene, loaded again: the conversation goes on as it would have.
func scene(session):
	var restore = {}
	for case in given.cases:
		if case.name == "restore":
			restore = case
	var packed = PackedScene.new()
	packed.pack(session)
	ResourceSaver.save("user://saved.tscn", packed)
	session.ask(restore.next)
	yield(until_quiet(session), "completed")
	check("goes on", said[-1] == restore.then.text)
	var again = ResourceLoader.load("user://saved.tscn", "", true).instance()
	again.connect("finished", self, "_on_finished")
	get_root().add_child(again)
	said.clear()
	again.ask(restore.next)
	yield(until_quiet(again), "completed")
	check("goes on from the saved scene", said == [restore.then.text] and str(again.digest()) == restore.then.digest)
	again.free()


# The conformance tin answers with an action and a thing, which are no call: that is a fault, and said.
func calls(session):
	faults.clear()
	called.clear()
	session.call_tools("Open it.")
	yield(until_quiet(session), "completed")
	check("what is no call fails", called == [] and faults.size() == 1 and "no calls" in faults[0])
	yield(self, "idle_frame")


func packed():
	var packer = PCKPacker.new()
	packer.pck_start("user://packed.pck")
	packer.add_file("res://models/plain.tin", tins.plus_file("plain.tin"))
	packer.add_file("res://models/plain.tin.minisig", tins.plus_file("plain.tin.minisig"))
	packer.flush()
	check("a .pck is mounted", ProjectSettings.load_resource_pack("user://packed.pck"))
	var model = TinModel.new()
	model.file = "res://models/plain.tin"
	model.key = given["keys"].maker
	check("opens out of a .pck, and is signed: " + model.error(), model.open() == 0)
	var session = session_of(model)
	said.clear()
	session.ask(answer.messages[1].content)
	yield(until_quiet(session), "completed")
	check("answers out of a .pck", said == [answer.expect.text])
	session.free()
	Directory.new().remove("user://packed.pck")


# A receiver of a signal may ask again, cancel, or take the node away.
func handlers(model):
	var session = session_of(model)
	session.choose("Which?", ["yes", "no"])
	session.connect("finished", self, "_on_finished_ask", [session], CONNECT_ONESHOT)
	said.clear()
	yield(until_quiet(session), "completed")
	check("asked again by a receiver", said.size() == 2 and said[0] in ["yes", "no"] and said[1] == session.answer())
	session.connect("piece", self, "_on_piece_free", [session])
	session.ask("?")
	var frames = 0
	while is_instance_valid(session) and frames < 20000:
		yield(self, "idle_frame")
		frames += 1
	check("freed by a receiver of its signal", not is_instance_valid(session))
	session = session_of(model)
	session.ask("?")
	session.cancel()
	check("cancelled, and without its question", session.messages() == 1 and not session.busy())
	session.free()


func _on_finished_ask(_text, session):
	session.ask(answer.messages[1].content)


func _on_piece_free(_text, session):
	session.cancel()
	session.queue_free()


func refusals(model):
	var session = session_of(null)
	faults.clear()
	check("no model", session.ask("?") == -1 and "set the property model" in faults[0])
	session.model = model
	session.adapter = "nobody"
	check("no such adapter", session.ask("?") != 0 and "nobody" in session.error())
	session.adapter = ""
	check("nothing to choose", session.choose("?", []) != 0)
	session.choose("?", ["yes", "no"])
	check("a choice meanwhile is refused", session.choose("?", ["a"]) == -7 and session.busy())
	session.context = 256
	check("another context drops the answer", not session.busy() and session.step(0) == 3)
	check("lines to choose", session.choose("?", ["a\nb"]) == -1)
	check("damaged state", session.restore(PoolByteArray([1, 2, 3])) != 0)
	session.model = Reference.new()
	check("what is no model", session.ask("?") == -1)
	session.free()
