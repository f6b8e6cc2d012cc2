"""The action `~/generate`. No thread of the executor waits for an answer: a goal is executed, in ROS's sense,
once its answer is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import RCLError
from rclpy.qos import QoSProfile
from tinsmith_msgs.action import Generate
from tinsmith_msgs.msg import ToolCall

from .mind import Answer, Question

if TYPE_CHECKING:
    from rclpy.action.server import ServerGoalHandle
    from rclpy.node import Node

    from .worker import Ticket, Worker

# Fields of requests, and of answers in results and responses.
PLAIN = ("prompt", "schema", "unconstrained", "call", "adapter", "max_tokens")
DRAWN = ("temperature", "top_p", "repetition_penalty", "seed")
TOLD = ("text", "finish", "tokens", "seconds", "digest", "receipt", "error")
# ROS keeps ten requests, and ten pieces, and drops what comes before they are taken: a burst needs more, at
# both ends.
DEPTH = 2048
DEEP = QoSProfile(depth=DEPTH)
RESULT_KEPT = 300  # seconds that a result waits for its client


def question_of(request: Any, **given: Any) -> Question:
    """Of a goal, or of a service's request that has some of its fields."""
    fields = {name: getattr(request, name) for name in PLAIN + DRAWN if hasattr(request, name)}
    before = [{"role": one.role, "content": one.content} for one in request.before]
    return Question(before=before, choices=list(getattr(request, "choices", ())), **fields, **given)


def tool_calls(answer: Answer) -> list[ToolCall]:
    return [ToolCall(name=name, arguments=arguments) for name, arguments in answer.calls]


def told(answer: Answer, message: Any) -> Any:
    """The message, with those fields of the answer that it has."""
    for name in TOLD:
        if hasattr(message, name):
            setattr(message, name, getattr(answer, name))
    return message


class Goals:
    """worker: gives it while the node is active, else None. queue: the most goals under way."""

    def __init__(self, node: Node, worker: Callable[[], Worker | None], queue: Callable[[], int]) -> None:
        self._worker, self._queue = worker, queue
        self._log = node.get_logger()
        self._tickets: dict[bytes, Ticket] = {}
        self._server = ActionServer(
            node,
            Generate,
            "~/generate",
            execute_callback=lambda goal: Generate.Result(),  # never: each goal brings its own
            goal_callback=self._wanted,
            handle_accepted_callback=self._accepted,
            cancel_callback=self._cancelled,
            goal_service_qos_profile=DEEP,
            result_service_qos_profile=DEEP,
            cancel_service_qos_profile=DEEP,
            feedback_pub_qos_profile=DEEP,
            result_timeout=RESULT_KEPT,
        )

    def _wanted(self, _: Any) -> GoalResponse:
        worker = self._worker()
        if worker is None:
            self._log.warning("a goal is rejected: the node is not active; configure and activate it")
            return GoalResponse.REJECT
        if worker.waiting >= self._queue():
            self._log.warning(f"a goal is rejected: {worker.waiting} are under way; raise the parameter queue")
            return GoalResponse.REJECT
        return GoalResponse.ACCEPT

    def _accepted(self, goal: ServerGoalHandle) -> None:
        end = partial(self._ended, goal)
        worker = self._worker()
        if worker is None:  # deactivated since
            end(Answer(error="the node is not active"))
            return
        question = question_of(goal.request)
        piece = partial(self._piece, goal)
        self._tickets[bytes(goal.goal_id.uuid)] = worker.ask(question, end, piece)

    def _piece(self, goal: ServerGoalHandle, piece: str) -> None:
        goal.publish_feedback(Generate.Feedback(piece=piece))

    def _cancelled(self, goal: ServerGoalHandle) -> CancelResponse:
        worker, ticket = self._worker(), self._tickets.get(bytes(goal.goal_id.uuid))
        if worker is not None and ticket is not None:
            # rclpy marks the goal once this returns; its end must find it marked.
            worker.cancel(ticket, when=lambda: goal.is_cancel_requested)
        return CancelResponse.ACCEPT

    def _ended(self, goal: ServerGoalHandle, answer: Answer) -> None:
        execute = partial(self._result, answer=answer)
        try:
            goal.execute(execute)
        except RCLError:  # a cancel came just now: it is executed as a cancelled one
            goal.execute(execute)

    def _result(self, goal: ServerGoalHandle, answer: Answer) -> Generate.Result:
        self._tickets.pop(bytes(goal.goal_id.uuid), None)
        if goal.is_cancel_requested:
            goal.canceled()
        elif answer.error:
            goal.abort()
        else:
            goal.succeed()
        return told(answer, Generate.Result(calls=tool_calls(answer)))

    def destroy(self) -> None:
        self._server.destroy()
