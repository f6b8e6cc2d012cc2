# The last frames' times, for the graph: what a player sees of the model, if anything. For Godot 3 and 4 alike.
extends Node

const KEPT = 240

var times = []
var last = 0


func _process(_delta):
	var now = Time.get_ticks_usec()
	if last > 0:
		times.append((now - last) / 1000.0)
		if times.size() > KEPT:
			times.pop_front()
	last = now


# Milliseconds that a share of the frames kept below.
func quantile(share):
	if times.size() == 0:
		return 0.0
	var sorted = times.duplicate()
	sorted.sort()
	return sorted[int(min(sorted.size() - 1, floor(share * sorted.size())))]
