"""A tiny language model as a ROS 2 node (`node`), with a client for behaviour trees (`leaf`)."""
