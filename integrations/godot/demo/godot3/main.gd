# The village on the screen of Godot 3.
extends Node2D

const TinModel = preload("res://addons/tinsmith/tin_model.gdns")
const TinSession = preload("res://addons/tinsmith/tin_session.gdns")
const COLORS = {"smith": Color(0.85, 0.45, 0.25), "innkeeper": Color(0.45, 0.65, 0.35), "guard": Color(0.4, 0.5, 0.8)}

var village = preload("res://village.gd").new()
var frames = preload("res://frames.gd").new()
var font
var to = 0


func _ready():
	var model = TinModel.new()
	model.file = "res://village.tin"
	var file = File.new()
	file.open("res://lines.json", File.READ)
	village.lines = JSON.parse(file.get_as_text()).result
	village.settle(model, TinSession)
	for who in village.PEOPLE:
		village.sessions[who].connect("called", village, "on_called", [who])
		village.sessions[who].connect("failed", village, "on_failed", [who])
	add_child(village)
	add_child(frames)
	font = $Input.get_font("font")
	$Input.connect("text_entered", self, "_on_said")
	$Input.grab_focus()


func _on_said(text):
	if text and village.tell(village.PEOPLE[to], text):
		$Input.text = ""


func _input(event):
	if event is InputEventKey and event.pressed and event.scancode == KEY_TAB:
		to = (to + 1) % village.PEOPLE.size()
		get_tree().set_input_as_handled()


func _process(_delta):
	update()


func say(place, text, color = Color.white):
	draw_string(font, place, text, color)


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
			draw_arc(village.at[who], 16, 0, TAU, 24, Color.white, 2.0)
		say(village.at[who] + Vector2(-16, 28), village.NAMES[who])
		say(village.at[who] + Vector2(-16, -18), village.speech[who], Color(1, 1, 0.8))
	say(Vector2(16, 24), "to %s   coins %d   bag: %s" % [village.NAMES[village.PEOPLE[to]], village.coins, PoolStringArray(village.bag).join(", ")])
	_draw_frames(Rect2(16, 380, 240, 40))
	if village.faults:
		say(Vector2(270, 415), village.faults[-1], Color(1, 0.5, 0.4))


func _draw_frames(box):
	draw_rect(box, Color(0, 0, 0, 0.4))
	for k in frames.times.size():
		var height = min(box.size.y, frames.times[k])
		draw_rect(Rect2(box.position + Vector2(k, box.size.y - height), Vector2(1, height)), Color(0.6, 0.8, 1))
	say(box.position + Vector2(0, -6), "frame ms: p50 %.1f  p99 %.1f  thinking: %d" % [frames.quantile(0.5), frames.quantile(0.99), village.thinking()])
