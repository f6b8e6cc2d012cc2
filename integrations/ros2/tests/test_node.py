"""The node's states, its tools, its topics."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from robot import ABORTED, GIVEN, PLAIN, TINY, Robot, said, until
from std_msgs.msg import String

TOOLS = [
    {
        "name": "drive",
        "parameters": {
            "type": "object",
            "properties": {
                "way": {"enum": ["forward", "back"]},
                "metres": {"type": "integer", "minimum": 1, "maximum": 9},
            },
            "required": ["way", "metres"],
        },
    },
    {"name": "stop", "parameters": {"type": "object", "properties": {}}},
]


def maps(robot: Robot, file: str) -> bool:
    return Path(file).name in Path(f"/proc/{robot.process.pid}/maps").read_text()


def test_it_answers_while_active_and_frees_the_file_after(tmp_path):
    with Robot(tmp_path, file=TINY) as robot:
        assert robot.state == "unconfigured" and not maps(robot, TINY)
        assert "not active" in robot.ask("hello").error
        assert not robot.send("hello").accepted
        assert robot.change("configure") and maps(robot, TINY)
        assert "not active" in robot.ask("hello").error
        assert robot.change("activate") and robot.state == "active"
        first = robot.ask("hello")
        assert first.text and not first.error
        assert robot.change("deactivate") and not robot.send("hello").accepted
        assert robot.change("cleanup") and not maps(robot, TINY)
        assert robot.started().ask("hello").digest == first.digest
        assert robot.stop() == 0, robot.log


def test_deactivated_it_ends_what_is_under_way(tmp_path):
    with Robot(tmp_path, file=TINY, budget=100, period=100_000).started() as robot:
        handles = [robot.send("tell me", max_tokens=500) for _ in range(6)]
        assert robot.change("deactivate")
        for handle in handles:
            result = robot.peer.wait(handle.get_result_async())
            assert (result.status, result.result.error) == (ABORTED, "the node was deactivated")


def test_an_unsigned_file_is_refused_where_there_is_a_key(tmp_path):
    unsigned = tmp_path / "unsigned.tin"
    shutil.copy(PLAIN, unsigned)
    with Robot(tmp_path, file=str(unsigned), key=GIVEN["keys"]["maker"]) as robot:
        assert not robot.change("configure")
        assert robot.logs(f"not configured: {unsigned}")


def test_started_by_itself(tmp_path):
    with Robot(tmp_path, file=TINY, autostart=True) as robot:
        assert robot.ask("hello").text
    with Robot(tmp_path, file="nowhere.tin", autostart=True) as robot:
        assert robot.process.wait(60) == 1 and "nowhere.tin: no such file" in robot.log


def test_a_parameter_out_of_range_is_refused_by_ros(tmp_path):
    with Robot(tmp_path, file=TINY, slots=1000) as robot:
        assert robot.process.wait(60) != 0 and "slots" in robot.log


def test_tools_of_parameters(tmp_path):
    path = tmp_path / "tools.json"
    path.write_text(json.dumps(TOOLS))
    digests = set()
    for tools in (json.dumps(TOOLS), str(path)):
        with Robot(tmp_path, file=PLAIN, context=1024, tools=tools).started() as robot:
            response = robot.call("Go forward three metres.")
            assert not response.error
            (call,) = response.calls
            digests.add(response.digest)
            assert call.name in ("drive", "stop") and isinstance(json.loads(call.arguments), dict)
            result = robot.generate("Go forward three metres.", call=True).result
            assert result.calls == response.calls and result.digest == response.digest
    assert len(digests) == 1
    with Robot(tmp_path, file=PLAIN, tools="[{]") as robot:
        assert not robot.change("configure") and robot.logs("tools")


def test_a_topic_in_and_one_out(tmp_path):
    heard = []
    with Robot(tmp_path, file=TINY, max_tokens=8).started() as robot:
        node = robot.peer.node
        node.create_subscription(String, f"{robot.name}/answers", heard.append, 10)
        commands = node.create_publisher(String, f"{robot.name}/commands", 10)
        assert until(lambda: said(commands, "hello", heard))
        assert heard[0].data == robot.ask("hello").text
