# What a game does with the addon, in Godot 4: signals by frames, a scene saved and loaded, a .pck, faults.
extends SceneTree

var tins := OS.get_environment("TINS")
var given: Dictionary
var said: Array[String] = []
var faults: Array[String] = []
var wrong := 0


func check(what: String, is_so: bool) -> void:
	print("ok: " if is_so else "WRONG: ", what)
	if not is_so:
		wrong = 1


func session_of(model: TinModel) -> TinSession:
	var session := TinSession.new()
	session.model = model
	session.context = 512
	session.budget_us = 20000
	session.max_tokens = 24
	session.system = given.cases[0].messages[0].content
	session.finished.connect(func(text: String) -> void: said.append(text))
	session.failed.connect(func(text: String) -> void: faults.append(text))
	root.add_child(session)
	return session


func until_quiet(session: TinSession) -> int:
	var frames := 0
	while session.busy() and frames < 20000:
		await process_frame
		frames += 1
	return frames


func _initialize() -> void:
	run()


func run() -> void:
	given = JSON.parse_string(FileAccess.get_file_as_string(tins.path_join("cases.json")))
	var first: Dictionary = given.cases[0]
	var model := TinModel.new()
	model.file = tins.path_join(given.files.plain)
	check("adapters by name", Array(model.adapters()) == ["a", "b"])
	var session := session_of(model)
	var pieces := PackedStringArray()
	session.piece.connect(func(text: String) -> void: pieces.append(text))
	session.budget_us = 500
	check("asked", session.ask(first.messages[1].content) == 0)
	check("took frames", await until_quiet(session) > 3)
	check("the answer that Python gives", said == [first.expect.text] and str(session.digest()) == first.expect.digest)
	check("its pieces are the answer", "".join(pieces) == first.expect.text)
	await scene(session)
	await packed(first)
	refusals(model)
	session.free()
	quit(wrong)


func scene(session: TinSession) -> void:
	var restore: Dictionary
	for one in given.cases:
		if one.name == "restore":
			restore = one
	var kept := PackedScene.new()
	kept.pack(session)
	ResourceSaver.save(kept, "user://saved.tscn")
	var loaded: PackedScene = ResourceLoader.load("user://saved.tscn", "", ResourceLoader.CACHE_MODE_IGNORE)
	var again: TinSession = loaded.instantiate()
	root.add_child(again)
	again.ask(restore.next)
	await until_quiet(again)
	check("goes on from the saved scene", str(again.digest()) == restore.then.digest)
	again.free()
	session.ask(restore.next)
	session.cancel()
	check("cancelled, without its question", not session.busy())


func packed(first: Dictionary) -> void:
	var packer := PCKPacker.new()
	packer.pck_start("user://packed.pck")
	packer.add_file("res://models/plain.tin", tins.path_join("plain.tin"))
	packer.add_file("res://models/plain.tin.minisig", tins.path_join("plain.tin.minisig"))
	packer.flush()
	check("a .pck is mounted", ProjectSettings.load_resource_pack("user://packed.pck"))
	var model := TinModel.new()
	model.file = "res://models/plain.tin"
	model.key = given["keys"].maker
	check("opens out of a .pck, and is signed: " + model.error(), model.open() == 0)
	var session := session_of(model)
	said.clear()
	session.ask(first.messages[1].content)
	await until_quiet(session)
	check("answers out of a .pck", said == [first.expect.text])
	session.free()
	DirAccess.remove_absolute("user://packed.pck")


func refusals(model: TinModel) -> void:
	faults.clear()
	var session := session_of(null)
	check("no model", session.ask("?") == -1 and "set the property model" in faults[0])
	session.model = model
	session.adapter = "nobody"
	check("no such adapter", session.ask("?") != 0 and "nobody" in session.error())
	session.adapter = ""
	check("a choice", session.choose("Which?", ["yes", "no"]) == 0)
	session.most_bytes = 100000
	check("too little memory", session.ask("?") == -5)
	session.free()
	var missing := TinModel.new()
	missing.file = "res://nowhere.tin"
	check("no such file", missing.open() != 0 and "nowhere.tin" in missing.error())
