"""bundle.py CONFIG [WORD...]: an unpacked image's settings, as a container without rights that runs them.
Without words it runs the image's own."""

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
