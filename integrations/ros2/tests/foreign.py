"""A peer without ROS, over Cyclone DDS: sends a command to the node, prints its answer in JSON.

python foreign.py NODE COMMAND    NODE as /robot/tin
"""

import json
import os
import sys
import time
from dataclasses import dataclass

# The loopback alone, and no multicast.
os.environ["CYCLONEDDS_URI"] = """<CycloneDDS><Domain id="any">
<General><AllowMulticast>false</AllowMulticast>
<Interfaces><NetworkInterface name="lo" multicast="false"/></Interfaces></General>
<Discovery><ParticipantIndex>auto</ParticipantIndex><Peers><Peer address="127.0.0.1"/></Peers></Discovery>
</Domain></CycloneDDS>"""

from cyclonedds.core import Policy, Qos
from cyclonedds.domain import DomainParticipant
from cyclonedds.idl import IdlStruct
from cyclonedds.pub import DataWriter
from cyclonedds.sub import DataReader
from cyclonedds.topic import Topic
from cyclonedds.util import duration

PATIENCE = 60  # seconds


@dataclass
class String(IdlStruct, typename="std_msgs::msg::dds_::String_"):
    data: str


def ask(node: str, command: str) -> str:
    participant = DomainParticipant(int(os.environ.get("ROS_DOMAIN_ID", "0")))
    reliable = Qos(Policy.Reliability.Reliable(duration(seconds=1)), Policy.History.KeepLast(10))
    heard = DataReader(participant, Topic(participant, f"rt{node}/answers", String), qos=reliable)
    said = DataWriter(participant, Topic(participant, f"rt{node}/commands", String), qos=reliable)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        # What is said before both ends have found each other is lost: it is said again.
        if said.get_matched_subscriptions() and heard.get_matched_publications():
            said.write(String(command))
        for answer in heard.take_iter(timeout=duration(seconds=1)):
            return answer.data
    raise SystemExit("no answer")


if __name__ == "__main__":
    print(json.dumps(ask(*sys.argv[1:])))
