"""Speech to text: pocketsphinx constrained to a grammar of the home's commands, or Whisper for any words."""

from __future__ import annotations

import math
import re
import wave
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

RATE = 16_000  # Hz that both want
_TAPS = 16


class Ears(Protocol):
    def hear(self, samples: array[int]) -> str:
        """The words in 16-bit samples of RATE; "" where there are none."""


class Sphinx:
    """Recognizes the grammar's sentences only, in hundredths of a second."""

    def __init__(self, grammar: str) -> None:
        """Raises ValueError for words that its dictionary lacks."""
        from pocketsphinx import Decoder

        self._decoder = Decoder(samprate=RATE, lm=None, loglevel="FATAL")
        words = {word for word in _words(grammar) if self._decoder.lookup_word(word) is None}
        if words:
            raise ValueError(
                f"pocketsphinx does not know how to say: {', '.join(sorted(words))}; say it otherwise"
            )
        self._decoder.add_jsgf_string("house", grammar)
        self._decoder.activate_search("house")

    def hear(self, samples: array[int]) -> str:
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return found.hypstr if found else ""


class Whisper:
    """folder: a model in CTranslate2's form, on the disk."""

    def __init__(self, folder: Path, threads: int = 0) -> None:
        from faster_whisper import WhisperModel

        self._model = WhisperModel(
            str(folder), device="cpu", compute_type="int8", cpu_threads=threads, local_files_only=True
        )

    def hear(self, samples: array[int]) -> str:
        import numpy

        floats = numpy.asarray(samples, dtype=numpy.float32) / 32768
        parts, _ = self._model.transcribe(floats, language="en", beam_size=1)
        return " ".join(part.text.strip() for part in parts)


def grammar(devices: Sequence[str], areas: Sequence[str]) -> str:
    """The home's commands in JSGF, with few words: fewer words are recognized better."""
    return f"""#JSGF V1.0;
grammar house;
<area> = {" | ".join(areas)};
<what> = the ({" | ".join(devices)} | <area> lights | lights in the <area>);
public <command> = [please] (turn | switch) ((on | off) <what> | <what> (on | off));
"""


def samples_of(path: Path) -> array[int]:
    """A WAV file's samples at RATE: 16 bits, one channel. Raises ValueError for other files."""
    with wave.open(str(path)) as file:
        rate, shape = file.getframerate(), (file.getsampwidth(), file.getnchannels())
        if shape != (2, 1):
            raise ValueError(f"{path}: {8 * shape[0]} bits in {shape[1]} channels; give 16 bits in one")
        given = array("h", file.readframes(file.getnframes()))
    return given if rate == RATE else resampled(given, rate)


def resampled(given: array[int], rate: int) -> array[int]:
    """At RATE: each a sum of the _TAPS samples on either side, weighted by a windowed sinc."""
    count, pass_band = len(given) * RATE // rate, min(1.0, RATE / rate)
    made = array("h", bytes(2 * count))
    for k in range(count):
        at = k * rate / RATE
        near = range(max(0, int(at) - _TAPS + 1), min(len(given), int(at) + _TAPS + 1))
        value = sum(given[n] * _weight(at - n, pass_band) for n in near)
        made[k] = max(-32768, min(32767, round(value)))
    return made


def _weight(distance: float, pass_band: float) -> float:
    x = math.pi * distance * pass_band
    window = 0.5 + 0.5 * math.cos(math.pi * distance / (_TAPS + 1))
    return pass_band * window * (math.sin(x) / x if x else 1.0)


def _words(grammar: str) -> Iterable[str]:
    """The words of its rules, without their names."""
    rules = (line.partition("=")[2] for line in grammar.splitlines()[2:])
    return re.findall(r"(?<![\w<])[a-z']+(?![\w>])", " ".join(rules))
