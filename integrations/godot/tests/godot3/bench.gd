# Frames at 60 Hz with a model that answers within a budget, and beside it an idle loop that spins as long: how far
# past the budget each comes. FRAMES, BUDGET_US and FILE in the environment; JSON to OUT.
extends SceneTree

const TinModel = preload("res://addons/tinsmith/tin_model.gdns")
const TinSession = preload("res://addons/tinsmith/tin_session.gdns")
const PERIOD_US = 1000000.0 / 60

var frames = int(OS.get_environment("FRAMES"))
var budget = int(OS.get_environment("BUDGET_US"))
var steps = []
var spins = []
var tokens = 0
var answers = 0
var answering_us = 0


func _init():
	var model = TinModel.new()
	model.file = OS.get_environment("FILE")
	var session = TinSession.new()
	session.model = model
	session.context = 512
	session.max_tokens = 64
	session.constrained = false
	session.temperature = 0.7
	var begun = OS.get_ticks_usec()
	for frame in frames:
		if not session.busy():
			tokens += session.tokens()
			session.forget(0)
			session.seed = frame
			answers += 1
			if session.ask("Tell me about the village, guard.") != 0:
				quit(1)
				return
		# Both once in a frame, in turns first: what one leaves in the caches, the other finds as often.
		if frame % 2:
			spins.append(spin())
			steps.append(step(session))
		else:
			steps.append(step(session))
			spins.append(spin())
		var next = begun + int((frame + 1) * PERIOD_US)
		var left = next - OS.get_ticks_usec()
		if left > 0:
			OS.delay_usec(left)
	tokens += session.tokens()
	report(session, OS.get_ticks_usec() - begun)
	session.free()
	quit()


func step(session):
	var from = OS.get_ticks_usec()
	session.step(budget)
	var took = OS.get_ticks_usec() - from
	answering_us += took
	return took - budget


func spin():
	var from = OS.get_ticks_usec()
	var end = from + budget
	while OS.get_ticks_usec() < end:
		pass
	return OS.get_ticks_usec() - from - budget


# In microseconds past the budget.
func quantiles(times):
	times.sort()
	var found = {}
	for share in [0.5, 0.99, 0.999]:
		found["p%s" % str(share * 100)] = times[int(min(times.size() - 1, floor(share * times.size())))]
	found["most"] = times[-1]
	return found


func report(session, elapsed_us):
	var stepped = quantiles(steps)
	var idle = quantiles(spins)
	var found = {
		"host": "godot3", "frames": frames, "hz": 60, "budget_us": budget, "step_past_us": stepped, "spin_past_us": idle,
		"p99.9_beyond_spin_us": stepped["p99.9"] - idle["p99.9"], "tokens": tokens, "answers": answers,
		"tokens_per_s": tokens * 1000000.0 / elapsed_us, "tokens_per_s_of_budget": tokens * 1000000.0 / answering_us,
		"session_bytes": session.bytes(),
	}
	var text = JSON.print(found, "  ")
	print(text)
	var out = File.new()
	out.open(OS.get_environment("OUT"), File.WRITE)
	out.store_string(text + "\n")
	out.close()
