"""bundle.py CONFIG [WORD...]: makes the settings of an unprivileged container from an unpacked image's. It runs
WORDs, or the image's own command."""

import json
import sys
from pathlib import Path

path, words = Path(sys.argv[1]), sys.argv[2:]
config = json.loads(path.read_text())
process = config["process"]
process["terminal"], process["noNewPrivileges"], process["capabilities"] = False, True, {}
config["root"]["readonly"] = True
# The image's own words stay beside what takes their place.
own = config.setdefault("annotations", {}).setdefault("own", json.dumps(process["args"]))
process["args"] = words or json.loads(own)
path.write_text(json.dumps(config))
