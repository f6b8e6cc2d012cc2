# The village on the screen of Godot 4.
extends Node2D

const COLORS = {"smith": Color(0.85, 0.45, 0.25), "innkeeper": Color(0.45, 0.65, 0.35), "guard": Color(0.4, 0.5, 0.8)}

var village = preload("res://village.gd").new()
var frames = preload("res://frames.gd").new()
var font
var to = 0


func _ready():
	var model = TinModel.new()
	model.file = "res://village.tin"
	village.lines = JSON.parse_string(FileAccess.get_file_as_string("res://lines.json"))
	village.settle(model, TinSession)
	for who in village.PEOPLE:
		village.sessions[who].called.connect(village.on_called.bind(who))
		village.sessions[who].failed.connect(village.on_failed.bind(who))
	add_child(village)
	add_child(frames)
	font = ThemeDB.fallback_font
	$Input.text_submitted.connect(_on_said)
	$Input.grab_focus()


func _on_said(text):
	if text and village.tell(village.PEOPLE[to], text):
		$Input.text = ""


func _input(event):
	if event is InputEventKey and event.pressed and event.keycode == KEY_TAB:
		to = (to + 1) % village.PEOPLE.size()
		get_viewport().set_input_as_handled()


func _process(_delta):
	queue_redraw()


func say(place, text, color = Color.WHITE):
	draw_string(font, place, text, HORIZONTAL_ALIGNMENT_LEFT, -1, 14, color)


func _draw():
	draw_rect(Rect2(0, 0, 640, 430), Color(0.16, 0.2, 0.16))
	for place in village.PLACES:
		draw_rect(Rect2(village.PLACES[place] - Vector2(50, 60), Vector2(100, 40)), Color(0.3, 0.27, 0.22))
		say(village.PLACES[place] + Vector2(-44, -36), place)
	say(village.PLACES.gate + Vector2(-44, -66), village.gate)
	for k in village.PEOPLE.size():
		var who = village.PEOPLE[k]
		draw_circle(village.at[who], 12, COLORS[who])
		if k == to:
			draw_arc(village.at[who], 16, 0, TAU, 24, Color.WHITE, 2.0)
		say(village.at[who] + Vector2(-16, 28), village.NAMES[who])
		say(village.at[who] + Vector2(-16, -18), village.speech[who], Color(1, 1, 0.8))
	say(Vector2(16, 24), "to %s   coins %d   bag: %s" % [village.NAMES[village.PEOPLE[to]], village.coins, ", ".join(PackedStringArray(village.bag))])
	_draw_frames(Rect2(16, 380, 240, 40))
	if village.faults:
		say(Vector2(270, 415), village.faults[-1], Color(1, 0.5, 0.4))


func _draw_frames(box):
	draw_rect(box, Color(0, 0, 0, 0.4))
	for k in frames.times.size():
		var height = min(box.size.y, frames.times[k])
		draw_rect(Rect2(box.position + Vector2(k, box.size.y - height), Vector2(1, height)), Color(0.6, 0.8, 1))
	say(box.position + Vector2(0, -6), "frame ms: p50 %.1f  p99 %.1f  thinking: %d" % [frames.quantile(0.5), frames.quantile(0.99), village.thinking()])
