"""The lifecycle node: configure loads the tin, activate starts answering, deactivate cancels goals, cleanup
frees."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import Future
from typing import Any

import rclpy
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.executors import ExternalShutdownException, MultiThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String
from tinsmith_msgs.srv import Ask, Call

from tinsmith.errors import TinsmithError

from . import settings
from .goals import DEEP, Goals, question_of, told, tool_calls
from .mind import Answer, Mind, Question
from .worker import Worker

NAME = "tin"
INACTIVE = "the node is not active; configure and activate it"
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class TinNode(LifecycleNode):
    """Action ~/generate, services ~/ask and ~/call, topics ~/commands in and ~/answers out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(NAME, **options)
        settings.declare(self)
        self.settings = settings.read(self)
        self._mind: Mind | None = None
        self._worker: Worker | None = None
        self._answers = self.create_lifecycle_publisher(String, "~/answers", 10)
        self.create_subscription(String, "~/commands", self._heard, 10)
        # One service at a time waits for its answer, in a thread of the executor.
        waiting = MutuallyExclusiveCallbackGroup()
        self.create_service(Ask, "~/ask", self._ask, qos_profile=DEEP, callback_group=waiting)
        self.create_service(Call, "~/call", self._call, qos_profile=DEEP, callback_group=waiting)
        self._goals = Goals(self, lambda: self._worker, lambda: self.settings.queue)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.settings = settings.read(self)
        try:
            self._mind = Mind(self.settings)
        except TinsmithError as error:
            self.get_logger().error(f"not configured: {error}")
            return FAILURE
        memory = self._mind.scheduler.memory
        self.get_logger().info(f"{self.settings.file}: {memory} bytes beside the file")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        assert self._mind is not None
        budget, period = self.settings.budget * 1e-6, self.settings.period * 1e-6
        self._worker = Worker(self._mind, budget, period, self.get_logger().error)
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop("the node was deactivated")
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        return SUCCESS

    def close(self) -> None:
        """Cancels goals and frees the model; may be called in any state."""
        self._stop("the node was shut down")
        self._free()

    def _stop(self, why: str) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.stop(why)

    def _free(self) -> None:
        if self._mind is not None:
            self._mind.close()
            self._mind = None
            gc.collect()  # the model's file is mapped until its last reference is gone

    def _heard(self, message: String) -> None:
        worker, mind = self._worker, self._mind
        if worker is None or mind is None:
            self.get_logger().warning(f"a command is not answered: {INACTIVE}")
            return
        worker.ask(Question(message.data, call=mind.has_tools), self._say)

    def _say(self, answer: Answer) -> None:
        if answer.error:
            self.get_logger().error(f"a command has no answer: {answer.error}")
        else:
            self._answers.publish(String(data=answer.text))

    def _answered(self, question: Question) -> Answer:
        worker = self._worker
        if worker is None:
            return Answer(error=INACTIVE)
        done: Future[Answer] = Future()
        worker.ask(question, done.set_result)
        return done.result()

    def _ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        return told(self._answered(question_of(request)), response)

    def _call(self, request: Call.Request, response: Call.Response) -> Call.Response:
        answer = self._answered(question_of(request, call=True))
        response.calls = tool_calls(answer)
        return told(answer, response)


def main(args: list[str] | None = None) -> int:
    rclpy.init(args=args)
    node = TinNode()
    executor = MultiThreadedExecutor(num_threads=node.settings.executor_threads)
    executor.add_node(node)
    try:
        if node.settings.autostart and not _started(node):
            return 1
        executor.spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        node.close()
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
    return 0


def _started(node: TinNode) -> bool:
    return node.trigger_configure() == SUCCESS and node.trigger_activate() == SUCCESS


if __name__ == "__main__":
    sys.exit(main())
