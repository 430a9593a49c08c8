"""Every fuzzer, by name."""

from __future__ import annotations

from tests.fuzz.fuzz_answers import ANSWERS_FUZZER
from tests.fuzz.fuzz_auth import AUTH
from tests.fuzz.fuzz_events import EVENTS
from tests.fuzz.fuzz_forms import FORMS
from tests.fuzz.fuzz_json import JSON
from tests.fuzz.fuzz_lines import LINES
from tests.fuzz.fuzz_paths import PATHS
from tests.fuzz.fuzz_sound import SOUND
from tests.fuzz.fuzz_sse import SSE
from tests.fuzz.fuzzer import Fuzzer

FUZZERS: dict[str, Fuzzer] = {
    one.name: one for one in (JSON, SSE, PATHS, AUTH, FORMS, LINES, ANSWERS_FUZZER, EVENTS, SOUND)
}
