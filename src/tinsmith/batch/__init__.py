"""Answers many rows by one model: `tinsmith batch`, whose `--check` verifies its output.

run.py        IN's items in windows, to an executor, to the journal, to OUT
items.py      the rows of IN as items; where.py filters them
engine.py     answers windows by one model; requests.py makes an item's requests; openai.py OpenAI's format
executors.py  in this process, or in a worker.py per core; ray.py on a cluster
journal.py    what is done, across crashes; cache.py earlier answers; output.py OUT
replay.py     computes answers again and compares them
"""
