# The conformance cases in Godot 3.6: cases.json of $TINS to $OUT (integrations/conformance/README.md).
extends SceneTree

const TinModel = preload("res://addons/tinsmith/tin_model.gdns")
const TinSession = preload("res://addons/tinsmith/tin_session.gdns")
const DONE = 2

var tins = OS.get_environment("TINS")
var keys = {}


func _init():
	var given = read(tins.plus_file("cases.json"))
	for name in given.keys:
		keys[name + ".pub"] = given.keys[name]
	var model = opened(tins.plus_file(given.files.plain))
	var results = {}
	for case in given.cases:
		results[case.name] = check(model, case)
	var version = Engine.get_version_info()
	var out = File.new()
	out.open(OS.get_environment("OUT"), File.WRITE)
	out.store_string(JSON.print({"host": "godot3", "version": "Godot " + version.string, "cases": results}, "  ") + "\n")
	out.close()
	var failed = 0
	for name in results:
		if results[name] != "passed":
			failed = 1
			printerr(name, ": ", results[name])
	quit(failed)


func read(path):
	var file = File.new()
	file.open(path, File.READ)
	return JSON.parse(file.get_as_text()).result


func opened(path, key = ""):
	var model = TinModel.new()
	model.file = path
	model.key = key
	return model


func session_of(model, case):
	var session = TinSession.new()
	session.model = model
	session.context = 512
	session.max_tokens = int(case.get("max_tokens", 24))
	session.constrained = case.get("constrained", true)
	session.adapter = case.get("adapter", "")
	var sampling = case.get("sampling")
	if sampling:
		session.temperature = sampling.temperature
		session.top_p = sampling.top_p
		session.repetition = sampling.repetition
		session.seed = int(sampling.seed)
	for message in case.get("messages", []):
		if message.role == "system":
			session.system = message.content
	return session


func question(case):
	return case.messages[-1].content


# Steps to the end, or until there are so many tokens.
func run(session, budget_us = 0, most_tokens = 1000000):
	while session.tokens() < most_tokens:
		var got = session.step(budget_us)
		if got < 0 or got >= DONE:
			break


func found(session, wanted):
	var text = session.answer()
	var is_same = text == wanted.text and session.tokens() == wanted.tokens
	is_same = is_same and session.finish() == wanted.finish and str(session.digest()) == wanted.digest
	is_same = is_same and session.chosen() == wanted.get("chosen", -1)
	if is_same:
		return ""
	return "%s, %d tokens, finish %d, digest %d is not %s" % [text, session.tokens(), session.finish(), session.digest(), wanted]


func refused(model, case):
	var status = 0
	var says = ""
	if case.name == "missing":
		model = opened(tins.plus_file(case.file))
	elif case.name == "key":
		var right = opened(model.file, keys[case.right])
		if right.open() != 0:
			return "the right key was refused: " + right.error()
		model = opened(model.file, keys[case.wrong])
	if case.name == "memory":
		var session = session_of(model, case)
		session.most_bytes = int(case.most_bytes)
		status = session.ask("?")
		says = session.error()
		session.free()
	elif case.has("image"):
		var session = session_of(opened(tins.plus_file(case.file)), case)
		status = session.image(bytes_of(case.image))
		says = session.error()
		session.free()
	else:
		status = model.open()
		says = model.error()
	if status == case.expect.status and case.expect.says in says:
		return "passed"
	return "status %d, %s" % [status, says]


func bytes_of(name):
	var file = File.new()
	file.open(tins.plus_file(name), File.READ)
	return file.get_buffer(file.get_len())


# The file, and its pixels as the engine reads them; an image that is none is refused.
func image(case):
	var model = opened(tins.plus_file(case.file))
	var bytes = bytes_of(case.image)
	var image = Image.new()
	image.load_png_from_buffer(bytes)
	for way in ["image", "pixels"]:
		var session = session_of(model, case)
		if session.image("not an image".to_utf8()) == 0:
			return "what is no image was taken"
		if session.call(way, bytes if way == "image" else image) != 0:
			return "%s: %s" % [way, session.error()]
		session.ask(case.text)
		run(session)
		var wrong = found(session, case.expect)
		session.free()
		if wrong:
			return "%s: %s" % [way, wrong]
	return "passed"


func check(model, case):
	if case.expect.has("status"):
		return refused(model, case)
	if case.name == "image":
		return image(case)
	var session = session_of(model, case)
	if case.name == "choose":
		session.choose(question(case), case.options)
	else:
		session.ask(question(case))
	if case.name == "cancel":
		run(session, 0, int(case.after_tokens))
		session.cancel()
		session.ask(question(case))
	run(session, int(case.get("budget_us", 0)))
	var wrong = found(session, case.expect)
	if case.name == "adapter":
		session.forget(1)
		session.adapter = ""
		session.ask(question(case))
		run(session)
	elif case.name == "restore":
		var saved = session.save()
		session.free()
		session = session_of(model, case)
		session.restore(saved)
		session.ask(case.next)
		run(session)
	if not wrong and case.has("then"):
		wrong = found(session, case.then)
	session.free()
	return wrong if wrong else "passed"
