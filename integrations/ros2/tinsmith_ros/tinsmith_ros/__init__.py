"""A tiny language model as a ROS 2 node: `node` is it, `leaf` asks it from a behaviour tree."""
