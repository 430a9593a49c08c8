"""The first example of the documentation, as a Node program sends it: plain ``fetch``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest

from tests.e2e.money import usd
from tests.e2e.provider import report
from tests.e2e.rig import Rig

PROGRAM = """
const answer = await fetch(`${process.env.OPENAI_BASE_URL}/chat/completions`, {
  method: "POST",
  headers: {
    "Content-Type": "application/json",
    Authorization: `Bearer ${process.env.OPENAI_API_KEY}`,
  },
  body: JSON.stringify({
    model: "gpt-3.5-turbo",
    messages: [
      { role: "system", content: "You are a helpful assistant." },
      { role: "user", content: "게이트웨이가 무엇인지 쉽게 설명해 주세요." },
    ],
    max_tokens: 1000,
    temperature: 0.7,
  }),
});
console.log(JSON.stringify({
  status: answer.status,
  headers: Object.fromEntries(answer.headers),
  body: await answer.json(),
}));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_the_first_example_from_node(rig: Rig) -> None:
    tenant = rig.tenant(10**9)
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": tenant.caller.base_url,
        "OPENAI_API_KEY": tenant.key.secret,
    }
    done = subprocess.run(
        ["node", "--input-type=module", "-e", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == 200
    usage = answer["body"]["usage"]
    nano = 500 * usage["prompt_tokens"] + 1500 * usage["completion_tokens"]
    assert answer["headers"]["x-faregate-cost-usd"] == usd(nano)
    assert rig.truth_nano(answer["headers"]["x-faregate-request-id"]) == nano
    content = answer["body"]["choices"][0]["message"]["content"]
    counts = f"{usage['prompt_tokens']} + {usage['completion_tokens']} tokens"
    report(f"{counts}, ${usd(nano)}: {content}")
