"""Many rows answered by one model: what `tinsmith batch` does, and its `--check` proves.

run.py       IN's items in windows, to a crew, to the journal, to OUT
items.py     what the rows of IN ask; where.py which of them
answers.py   a window by one model; ask.py an item in tokens; openai.py in OpenAI's shape
crew.py      who answers windows: this process, or a worker.py a core; ray.py a cluster's actors
journal.py   what is done, whatever kills the run; cache.py what was answered before; output.py OUT
replay.py    answers computed again, and compared
"""
