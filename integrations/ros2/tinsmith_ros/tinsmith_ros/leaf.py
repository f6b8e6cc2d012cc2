"""A leaf for py_trees: sends a goal to the node while ticked, and cancels it when interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from action_msgs.msg import GoalStatus
from py_trees.behaviour import Behaviour
from py_trees.common import Access, Status
from rclpy.action import ActionClient
from tinsmith_msgs.action import Generate

if TYPE_CHECKING:
    from rclpy.node import Node
    from rclpy.task import Future


class Ask(Behaviour):
    """RUNNING until there is an answer. SUCCESS: it is on the blackboard, as a Generate.Result. FAILURE:
    `feedback_message` says why.

    node: of the tree, which its owner spins. prompt, answer: keys of the blackboard. goal: fields of Generate's
    goal, such as call=True. Meanwhile `feedback_message` is the text so far.
    """

    def __init__(
        self,
        name: str,
        node: Node,
        *,
        prompt: str = "command",
        answer: str = "answer",
        server: str = "/tin/generate",
        **goal: Any,
    ) -> None:
        super().__init__(name)
        self._client = ActionClient(node, Generate, server)
        self._server, self._goal = server, goal
        self._prompt, self._answer = prompt, answer
        self._board = self.attach_blackboard_client(name)
        self._board.register_key(prompt, access=Access.READ)
        self._board.register_key(answer, access=Access.WRITE)
        self._turn = 0  # of this goal: what comes for an earlier one is not listened to
        self._handle: Any = None
        self._result: Any = None

    def setup(self, **_: Any) -> None:
        """Raises RuntimeError where the node is not there."""
        if not self._client.wait_for_server(timeout_sec=5.0):
            raise RuntimeError(
                f"no action server {self._server} after 5 s; start the node, or give its name as server"
            )

    def initialise(self) -> None:
        self._turn += 1
        self._handle, self._result, self.feedback_message = None, None, ""
        turn = self._turn
        goal = Generate.Goal(prompt=self._board.get(self._prompt), **self._goal)
        sent = self._client.send_goal_async(goal, lambda told: self._told(turn, told.feedback.piece))
        sent.add_done_callback(lambda done: self._accepted(turn, done))

    def update(self) -> Status:
        if self._result is None:
            return Status.RUNNING
        if self._result.status != GoalStatus.STATUS_SUCCEEDED:
            self.feedback_message = self._result.result.error
            return Status.FAILURE
        self._board.set(self._answer, self._result.result)
        return Status.SUCCESS

    def terminate(self, new_status: Status) -> None:
        """Cancels the goal where the tree has left the leaf."""
        if new_status == Status.INVALID and self._result is None:
            self._turn += 1
            if self._handle is not None:
                self._handle.cancel_goal_async()

    def _accepted(self, turn: int, sent: Future) -> None:
        handle = sent.result()
        if not handle.accepted:
            if turn == self._turn:
                self._result = _rejected()
        elif turn != self._turn:  # interrupted meanwhile
            handle.cancel_goal_async()
        else:
            self._handle = handle
            handle.get_result_async().add_done_callback(lambda done: self._done(turn, done))

    def _done(self, turn: int, done: Future) -> None:
        if turn == self._turn:
            self._result = done.result()

    def _told(self, turn: int, piece: str) -> None:
        if turn == self._turn:
            self.feedback_message += piece


def _rejected() -> Any:
    response = Generate.Impl.GetResultService.Response()
    response.status = GoalStatus.STATUS_ABORTED
    response.result.error = "the node rejected the goal: it is not active, or its queue is full"
    return response
